//go:build !race

package shellhttp

const underRace = false
