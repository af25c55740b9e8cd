package config

import (
	"errors"
	"fmt"
	"testing"
)

func pointed(pointer, text string) error { return Pointed(pointer, errors.New(text)) }

func TestLocatePlacesEveryErrorInTheFileThatHasMostOfIt(t *testing.T) {
	var into example
	first, err := Decode("agent.json", []byte("{\n\"stateDir\": \"/x\",\n\"sources\": {\"a\": {\"shell\": \"/a\"}}}"), &into)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Decode("b.json", []byte("{\"sources\": {\n\"b\": {\"shell\": \"/b\"}}}"), &into)
	if err != nil {
		t.Fatal(err)
	}
	plain := errors.New("no place")
	joined := errors.Join(
		pointed("/sources/b/shell", "no such shell; install it"),
		errors.Join(plain, fmt.Errorf("wrapped: %w", pointed("/stateDir", "gone"))),
		pointed("/sources/a/shell", "no such shell either"),
	)
	const want = "agent.json:2:13: wrapped: gone\n" +
		"agent.json:3:28: no such shell either\n" +
		"b.json:2:16: no such shell; install it\n" +
		"no place"
	got := Locate(joined, first, second)
	if got == nil || got.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", got, want)
	}
	if !errors.Is(got, plain) {
		t.Error("the error without a pointer is lost")
	}
	var placed *Error
	if !errors.As(got, &placed) || placed.File != "agent.json" || placed.Line != 2 || placed.Column != 13 {
		t.Errorf("As gave %+v", placed)
	}
}

func TestLocateOfNothingIsNil(t *testing.T) {
	if err := Locate(nil); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestLocateWithoutFilesKeepsTheErrors(t *testing.T) {
	if err := Locate(pointed("/x", "text")); err == nil || err.Error() != "text" {
		t.Errorf("got %v", err)
	}
}

func TestErrorfPointsAtTheValue(t *testing.T) {
	f, err := Decode("x.json", []byte(`{"stateDir": "/x"}`), new(example))
	if err != nil {
		t.Fatal(err)
	}
	err = f.Errorf("/stateDir", "%s is missing; make it", "/x")
	if err.Error() != "x.json:1:14: /x is missing; make it" {
		t.Errorf("got %v", err)
	}
}

func TestPointerEscapes(t *testing.T) {
	if got := Pointer("sources", "a/b~c", "exec"); got != "/sources/a~1b~0c/exec" {
		t.Errorf("got %s", got)
	}
	if got := Pointer(); got != "" {
		t.Errorf("got %s", got)
	}
}
