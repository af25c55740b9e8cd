package socks

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// spoken is a client that says its part at once, and what it is answered.
type spoken struct {
	io.Reader
	bytes.Buffer
}

func (s *spoken) Read(p []byte) (int, error) { return s.Reader.Read(p) }

func say(text string) *spoken { return &spoken{Reader: strings.NewReader(text)} }

const (
	hello5 = "\x05\x01\x00"
	told5  = "\x05\x00"
)

func TestAccept(t *testing.T) {
	long := strings.Repeat("n", 255)
	for name, test := range map[string]struct{ said, address, told string }{
		"4":                 {"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "127.0.0.1:80", ""},
		"4, with a user":    {"\x04\x01\x01\xbb\x0a\x01\x02\x03alice\x00", "10.1.2.3:443", ""},
		"4A":                {"\x04\x01\x00\x50\x00\x00\x00\x01\x00example.org\x00", "example.org:80", ""},
		"4A, with a user":   {"\x04\x01\x00\x50\x00\x00\x00\xffbob\x00h\x00", "h:80", ""},
		"0.0.0.0 is no 4A":  {"\x04\x01\x00\x50\x00\x00\x00\x00\x00", "0.0.0.0:80", ""},
		"5, IPv4":           {hello5 + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "127.0.0.1:80", told5},
		"5, IPv6":           {hello5 + "\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x50", "[::1]:80", told5},
		"5, a name":         {hello5 + "\x05\x01\x00\x03\x0bexample.org\x1f\x90", "example.org:8080", told5},
		"5, the longest":    {hello5 + "\x05\x01\x00\x03\xff" + long + "\xff\xff", long + ":65535", told5},
		"5, of methods one": {"\x05\x03\x01\x02\x00" + "\x05\x01\x00\x03\x01h\x00\x01", "h:1", told5},
	} {
		t.Run(name, func(t *testing.T) {
			s := say(test.said + "GET /")
			r, err := Accept(s)
			if err != nil || r.Address() != test.address {
				t.Fatalf("it asks for %q, %v; want %q", r.Address(), err, test.address)
			}
			if s.String() != test.told {
				t.Errorf("it is told %q, want %q", s.String(), test.told)
			}
			if rest, _ := io.ReadAll(s.Reader); string(rest) != "GET /" {
				t.Errorf("what follows is %q", rest)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	const no4 = "\x00\x5b\x00\x00\x00\x00\x00\x00"
	no5 := func(code byte) string { return told5 + "\x05" + string(code) + "\x00\x01\x00\x00\x00\x00\x00\x00" }
	for name, test := range map[string]struct{ said, told string }{
		"HTTP":                        {"GET / HTTP/1.1\r\n\r\n", ""},
		"version 6":                   {"\x06\x01\x00", ""},
		"4, BIND":                     {"\x04\x02\x00\x50\x7f\x00\x00\x01\x00", no4},
		"4, port 0":                   {"\x04\x01\x00\x00\x7f\x00\x00\x01\x00", no4},
		"4, a user without end":       {"\x04\x01\x00\x50\x7f\x00\x00\x01" + strings.Repeat("u", 300), ""},
		"4A, no name":                 {"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00", no4},
		"4A, a name without end":      {"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + strings.Repeat("n", 300), ""},
		"4A, a name with a newline":   {"\x04\x01\x00\x50\x00\x00\x00\x01\x00a\nb\x00", no4},
		"5, no methods":               {"\x05\x00", "\x05\xff"},
		"5, a password":               {"\x05\x01\x02", "\x05\xff"},
		"5, then 4":                   {hello5 + "\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x50", told5},
		"5, UDP":                      {hello5 + "\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", no5(7)},
		"5, BIND":                     {hello5 + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", no5(7)},
		"5, addresses of type 2":      {hello5 + "\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50", no5(8)},
		"5, no name":                  {hello5 + "\x05\x01\x00\x03\x00\x00\x50", no5(1)},
		"5, port 0":                   {hello5 + "\x05\x01\x00\x03\x01h\x00\x00", no5(1)},
		"5, a zero byte in a name":    {hello5 + "\x05\x01\x00\x03\x03a\x00b\x00\x50", no5(1)},
		"5, a name that is no text":   {hello5 + "\x05\x01\x00\x03\x02\xff\xfe\x00\x50", no5(1)},
		"5, what is reserved is used": {hello5 + "\x05\x01\x01\x01\x7f\x00\x00\x01\x00\x50", told5},
	} {
		t.Run(name, func(t *testing.T) {
			s := say(test.said)
			if r, err := Accept(s); !errors.Is(err, ErrProtocol) {
				t.Errorf("%q, %v; want %v", r.Address(), err, ErrProtocol)
			}
			if s.String() != test.told {
				t.Errorf("it is told %q, want %q", s.String(), test.told)
			}
		})
	}
}

func TestCutShort(t *testing.T) {
	for _, whole := range []string{
		"\x04\x01\x00\x50\x00\x00\x00\x01bob\x00host\x00",
		hello5 + "\x05\x01\x00\x03\x0bexample.org\x1f\x90",
	} {
		for n := range len(whole) {
			if _, err := Accept(say(whole[:n])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the first %d bytes: %v", n, err)
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	accepted := func(text string) Request {
		r, err := Accept(say(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	four := accepted("\x04\x01\x00\x50\x7f\x00\x00\x01\x00")
	five := accepted(hello5 + "\x05\x01\x00\x03\x01h\x00\x50")
	for _, test := range []struct {
		answer func(io.Writer) error
		told   string
	}{
		{four.Grant, "\x00\x5a\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return four.Refuse(w, Denied) }, "\x00\x5b\x00\x00\x00\x00\x00\x00"},
		{five.Grant, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, Failed) }, "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, Denied) }, "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, NetworkUnreachable) }, "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, HostUnreachable) }, "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, Refused) }, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"},
		{func(w io.Writer) error { return five.Refuse(w, TimedOut) }, "\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00"},
	} {
		var b bytes.Buffer
		if err := test.answer(&b); err != nil || b.String() != test.told {
			t.Errorf("told %q, %v; want %q", b.String(), err, test.told)
		}
	}
}

// FuzzAccept: what is taken can be answered, and nothing behind it was read.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{
		"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "\x04\x01\x00\x50\x00\x00\x00\x01bob\x00host\x00",
		hello5 + "\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", hello5 + "\x05\x01\x00\x03\x01h\x00\x01",
		hello5 + "\x05\x01\x00\x04" + strings.Repeat("\x20", 18), "\x05\x00", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		s := say(string(said))
		r, err := Accept(s)
		if s.Len() > 12 {
			t.Fatalf("%q is answered with %d bytes", said, s.Len())
		}
		if err != nil {
			return
		}
		if r.Port < 1 || r.Port > 65535 || r.Host == "" || len(r.Host) > maxName || strings.ContainsAny(r.Host, "\x00\n \x7f") {
			t.Fatalf("%q asks for %q, port %d", said, r.Host, r.Port)
		}
		rest, _ := io.ReadAll(s.Reader)
		if again, err := Accept(say(string(said[:len(said)-len(rest)]))); err != nil || again != r {
			t.Fatalf("without what follows it asks for %v, %v; not %v", again, err, r)
		}
		if r.Grant(s) != nil || r.Refuse(s, Denied) != nil {
			t.Fatal("it cannot be answered")
		}
	})
}
