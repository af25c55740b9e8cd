package agent

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"shellagent/sources"
)

// changes says, a line each, in what two configurations differ: settings by
// their names, and who may open what.
func changes(ctx context.Context, before, after *loaded, now time.Time) []string {
	names := differing("", reflect.ValueOf(before.settings), reflect.ValueOf(after.settings))
	slices.Sort(names)
	lines := make([]string, 0, len(names))
	for _, name := range names {
		lines = append(lines, "changed: "+name)
	}
	return append(lines, admissions(before.policy.Summary(ctx, now), after.policy.Summary(ctx, now))...)
}

// differing returns the names, as a file writes them, of the settings in which
// two values of one type differ.
func differing(prefix string, a, b reflect.Value) []string {
	switch {
	case a.Kind() == reflect.Map && a.Type().Elem().Kind() == reflect.Struct:
		return differingEntries(prefix, a, b)
	case a.Kind() == reflect.Struct && hasNames(a.Type()):
		return differingFields(prefix, a, b)
	case reflect.DeepEqual(a.Interface(), b.Interface()):
		return nil
	default:
		return []string{strings.TrimSuffix(prefix, ".")}
	}
}

func differingFields(prefix string, a, b reflect.Value) []string {
	var names []string
	for i := range a.NumField() {
		f := a.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, differing(prefix, a.Field(i), b.Field(i))...)
		case !clientsPart[name]:
			names = append(names, differing(prefix+name+".", a.Field(i), b.Field(i))...)
		}
	}
	return names
}

// clientsPart are the settings that a file may hold for the client.
var clientsPart = map[string]bool{"signingKeyPath": true, "share": true, "signingCommands": true, "targets": true, "groups": true}

// hasNames says whether a struct is written as an object of named settings.
func hasNames(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); !f.Anonymous && (f.Tag.Get("json") == "" || f.Tag.Get("json") == "-") {
			return false
		}
	}
	return true
}

func differingEntries(prefix string, a, b reflect.Value) []string {
	var names []string
	for _, key := range a.MapKeys() {
		name := prefix + key.String()
		if after := b.MapIndex(key); after.IsValid() {
			names = append(names, differing(name+".", a.MapIndex(key), after)...)
		} else {
			names = append(names, name+" (removed)")
		}
	}
	for _, key := range b.MapKeys() {
		if !a.MapIndex(key).IsValid() {
			names = append(names, prefix+key.String()+" (new)")
		}
	}
	return names
}

// admissions says whose way in came, went or became another.
func admissions(before, after sources.Summary) []string {
	was, is := waysIn(before), waysIn(after)
	both := maps.Clone(was)
	maps.Copy(both, is)
	var lines []string
	for _, who := range slices.Sorted(maps.Keys(both)) {
		switch old, now := was[who], is[who]; {
		case old == now:
		case old == "":
			lines = append(lines, fmt.Sprintf("%s: %s", who, now))
		case now == "":
			lines = append(lines, fmt.Sprintf("%s: may not come any more (%s)", who, old))
		default:
			lines = append(lines, fmt.Sprintf("%s: %s (%s)", who, now, old))
		}
	}
	return lines
}

// waysIn tells by source and key what each key may do.
func waysIn(sum sources.Summary) map[string]string {
	ways := make(map[string]string)
	for _, s := range sum.Sources {
		for _, k := range s.Keys {
			who := k.Thumbprint
			if name := nameOf(k); name != "" {
				who = fmt.Sprintf("%s (%s)", name, k.Thumbprint)
			}
			ways[s.Name+": "+who] = keyText(k)
		}
	}
	return ways
}

// nameOf is what a key goes by: its subject, else its label.
func nameOf(k sources.KeySummary) string {
	if k.Subject != "" {
		return k.Subject
	}
	return k.Label
}
