package forward

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

func framed(text string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(text))), text...)
}

func TestRequestsThatAreUnderstood(t *testing.T) {
	for text, want := range map[string]Request{
		`{"open":"tcp","host":"db.example","port":5432}`:                 {Open: TCP, Host: "db.example", Port: 5432},
		`{"open":"tcp","host":"fe80::1%eth0","port":1}`:                  {Open: TCP, Host: "fe80::1%eth0", Port: 1},
		`{"open":"unix","path":"/run/x.sock"}`:                           {Open: Unix, Path: "/run/x.sock"},
		`{"listen":"tcp","host":"127.0.0.1","port":0}`:                   {Listen: TCP, Host: "127.0.0.1"},
		`{"listen":"tcp"}`:                                               {Listen: TCP},
		`{"listen":"unix","path":"/tmp/x.sock","unlink":true}`:           {Listen: Unix, Path: "/tmp/x.sock", Unlink: true},
		`{"listen":"agent"}`:                                             {Listen: Agent},
		`{"open":"unix","path":"/run/x.sock","of a later version":[{}]}`: {Open: Unix, Path: "/run/x.sock"},
	} {
		in := bytes.NewBuffer(append(framed(text), "then bytes"...))
		got, err := ReadRequest(in)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if in.String() != "then bytes" {
			t.Errorf("%s: %q is left", text, in)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{}`, ` {"listen":"agent"}`, `{"listen":"agent"} ` + "x", `{"open":"tcp"`,
		`{"open":"tcp","listen":"tcp","host":"a","port":1}`,
		`{"open":"tcp","host":"a","host":"b","port":1}`,
		`{"open":"tcp","host":"a"}`, `{"open":"tcp","port":1}`,
		`{"open":"tcp","host":"a","port":65536}`, `{"open":"tcp","host":"a","port":-1}`, `{"open":"tcp","host":"a","port":"1"}`,
		`{"open":"tcp","host":"a b","port":1}`, `{"open":"tcp","host":"a\u0000","port":1}`, `{"open":"tcp","host":"[::1]","port":1}`,
		`{"open":"tcp","host":"` + strings.Repeat("a", 300) + `","port":1}`,
		`{"open":"tcp","host":"a","port":1,"path":"/x"}`, `{"open":"unix","path":"/x","port":1}`,
		`{"open":"unix","path":"x"}`, `{"open":"unix","path":""}`, `{"open":"unix","path":"/x\u0000"}`, `{"open":"unix","path":"/x","unlink":true}`,
		`{"open":"agent"}`, `{"listen":"agent","path":"/x"}`, `{"listen":"udp","host":"a","port":1}`,
		"{\"open\":\"unix\",\"path\":\"/\xff\"}",
	} {
		_, err := ReadRequest(bytes.NewReader(framed(text)))
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Code != CodeInvalid {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

func TestHeadersAreBounded(t *testing.T) {
	long := framed(`{"open":"unix","path":"/` + strings.Repeat("x", MaxHeader) + `"}`)
	var refusal *Refusal
	if _, err := ReadRequest(bytes.NewReader(long)); !errors.As(err, &refusal) {
		t.Errorf("a header that is too long: %v", err)
	}
	if err := write(io.Discard, Request{Open: Unix, Path: "/" + strings.Repeat("x", MaxHeader)}); err == nil {
		t.Error("wrote a header that is too long")
	}
	whole := framed(`{"listen":"agent"}`)
	for n := range whole {
		if _, err := ReadRequest(bytes.NewReader(whole[:n])); err == nil || errors.As(err, &refusal) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	var out bytes.Buffer
	if err := WriteAnswer(&out, No(CodeFailed, strings.Repeat("\x01ä", 4000))); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadAnswer(&out); err != nil || got.Code != CodeFailed || len(got.Detail) < 500 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnswers(t *testing.T) {
	for text, want := range map[string]Answer{
		`{}`:                           {},
		`{"listener":1,"port":41231}`:  {Listener: 1, Port: 41231},
		`{"listener":2,"path":"/a/b"}`: {Listener: 2, Path: "/a/b"},
		`{"code":"denied","detail":"the source does not allow it"}`: No(CodeDenied, "the source does not allow it"),
	} {
		got, err := ReadAnswer(bytes.NewReader(framed(text)))
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if (got.Err() != nil) != (want.Code != "") {
			t.Errorf("%s: error %v", text, got.Err())
		}
		var out bytes.Buffer
		if err := WriteAnswer(&out, want); err != nil || out.String() != string(framed(text)) {
			t.Errorf("%+v is written as %q, %v", want, &out, err)
		}
	}
	if _, err := ReadAnswer(bytes.NewReader(framed(`null`))); err == nil {
		t.Error("null is a yes")
	}
	if _, err := ReadAccepted(bytes.NewReader(framed(`{}`))); err == nil {
		t.Error("a connection of no listener")
	}
}

// What is read and valid is written so that it is read as the same.
func FuzzHeaders(f *testing.F) {
	for _, text := range []string{
		`{"open":"tcp","host":"db.example","port":5432}`, `{"listen":"unix","path":"/tmp/x.sock","unlink":true}`, `{"listen":"agent"}`,
		`{"accepted":7,"from":"127.0.0.1:4711"}`, `{"listener":1,"port":41231}`, `{"code":"denied","detail":"no"}`, `null`,
	} {
		f.Add(framed(text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, err := ReadRequest(bytes.NewReader(in)); err == nil {
			var out bytes.Buffer
			if err := write(&out, r); err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			if again, err := ReadRequest(&out); err != nil || again != r {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
		}
		if a, err := ReadAccepted(bytes.NewReader(in)); err == nil {
			var out bytes.Buffer
			if err := write(&out, a); err != nil {
				return // what was escaped less than Go does
			}
			if again, err := ReadAccepted(&out); err != nil || again != a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
		if a, err := ReadAnswer(bytes.NewReader(in)); err == nil && len(a.Detail) <= maxDetail {
			var out bytes.Buffer
			if err := WriteAnswer(&out, a); err != nil {
				return
			}
			if again, err := ReadAnswer(&out); err != nil || again != a {
				t.Fatalf("%+v became %+v, %v", a, again, err)
			}
		}
	})
}
