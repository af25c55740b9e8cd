package config

import (
	"reflect"
	"slices"
	"strings"
)

// fieldNames returns the JSON names of a struct's fields, also of embedded ones.
func fieldNames(t reflect.Type) []string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" && field.IsExported() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Elsewhere is implemented by a struct that people look for settings in under
// names that it does not have. It says by name where they are.
type Elsewhere interface{ Elsewhere() map[string]string }

// remedy is what to do about an unknown key of a struct.
func remedy(name string, t reflect.Type) string {
	if t != nil && t.Kind() == reflect.Struct {
		if e, ok := reflect.Zero(t).Interface().(Elsewhere); ok && e.Elsewhere()[name] != "" {
			return e.Elsewhere()[name]
		}
	}
	return suggestion(name, fieldNames(t))
}

// suggestion is the remedy for an unknown key: the known one that is nearest,
// or all of them.
func suggestion(name string, known []string) string {
	best, bestDistance := "", 3
	for _, k := range known {
		d := distance(plain(name), plain(k))
		// Half of a short name changed is another name.
		if d < bestDistance && d*2 < max(len(k), 2) {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return `did you mean "` + best + `"?`
	}
	if len(known) == 0 {
		return "remove it"
	}
	return "known here: " + strings.Join(known, ", ")
}

// plain removes what is confused most: case and separators.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// distance is the number of bytes to insert, remove, replace, or swap with the
// neighbour to make one name from the other. Names longer than any key of ours
// are infinitely far.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
