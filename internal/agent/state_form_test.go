package agent

import (
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"shellagent/internal/handover"
)

// A reader refuses a field that it does not know. So a change of what a state has
// is another version of it, which the program before refuses by its number, at the
// first question and not in the middle of the state: raise [handover.Version], say
// in its package what the version before lacks, and write the form anew (the test
// prints it).
func TestFormOfTheStateHasItsVersion(t *testing.T) {
	var b strings.Builder
	fmt.Fprintln(&b, "version", handover.Version)
	form(&b, "head", reflect.TypeFor[stateHead](), nil)
	form(&b, "session", reflect.TypeFor[sessionRecord](), nil)
	path := filepath.Join("testdata", "state-form.txt")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the form of the state is not that of %s:\n%s", path, b.String())
	}
}

// form writes a line for each field that a type has in JSON.
func form(b *strings.Builder, name string, of reflect.Type, within []reflect.Type) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Array {
		of = of.Elem()
	}
	ptr := reflect.PointerTo(of)
	own := ptr.Implements(reflect.TypeFor[json.Marshaler]()) || ptr.Implements(reflect.TypeFor[encoding.TextMarshaler]())
	if of.Kind() != reflect.Struct || own {
		fmt.Fprintln(b, name, of)
		return
	}
	for _, outer := range within {
		if outer == of {
			return
		}
	}
	within = append(within, of)
	for i := range of.NumField() {
		f := of.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !f.IsExported():
		case f.Anonymous && tag == "":
			form(b, name, f.Type, within)
		case tag == "":
			form(b, name+"."+f.Name, f.Type, within)
		default:
			form(b, name+"."+tag, f.Type, within)
		}
	}
}
