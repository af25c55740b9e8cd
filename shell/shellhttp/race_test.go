//go:build race

package shellhttp

// underRace says that the race detector makes everything ten times slower.
const underRace = true
