package broker

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"shellagent/shell"
)

func exampleCalls() []shell.Call {
	return []shell.Call{
		{},
		{Method: "POST", Target: "/v1/shell/debug", Token: "a.b.c", Remote: netip.MustParseAddrPort("192.0.2.1:4242"), Size: 24},
		{Method: "GET", Target: "/v1/sessions/x/stream?from=7", Remote: netip.MustParseAddrPort("[2001:db8::1]:443")},
		{Method: "DELETE", Remote: netip.MustParseAddrPort("[::ffff:192.0.2.1]:1"), Size: shell.MaxCallBody},
		{
			Method: strings.Repeat("M", shell.MaxMethod), Target: strings.Repeat("/", shell.MaxTarget),
			Token: strings.Repeat("\xff", shell.MaxToken), Remote: netip.MustParseAddrPort("[ff::]:65535"), Size: 1,
		},
	}
}

func TestCallRoundTrip(t *testing.T) {
	for _, want := range exampleCalls() {
		b, err := appendCall(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > maxHeader {
			t.Errorf("header of %d bytes is over the bound", len(b))
		}
		var got shell.Call
		if err := decodeCall(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("decoded %+v, want %+v", got, want)
		}
		for n := range b {
			if decodeCall(b[:n], &got) == nil {
				t.Fatalf("a call cut to %d of %d bytes was accepted", n, len(b))
			}
		}
		if decodeCall(append(b, 0), &got) == nil {
			t.Error("a call with a byte more was accepted")
		}
	}
}

func TestCallBounds(t *testing.T) {
	for name, c := range map[string]shell.Call{
		"method": {Method: strings.Repeat("x", shell.MaxMethod+1)},
		"target": {Target: strings.Repeat("x", shell.MaxTarget+1)},
		"token":  {Token: strings.Repeat("x", shell.MaxToken+1)},
		"size":   {Size: shell.MaxCallBody + 1},
		"below":  {Size: -1},
	} {
		if _, err := appendCall(nil, &c); !errors.Is(err, errCodec) {
			t.Errorf("%s over its bound: %v", name, err)
		}
	}
}

func TestReplyRoundTrip(t *testing.T) {
	for _, want := range []shell.Reply{
		{},
		{Status: 200, Body: []byte(`{"next":7}`)},
		{Status: 401, Code: "stale", Detail: "the token's time is not the agent's", Nonce: strings.Repeat("n", maxNonce), Wait: shell.MaxWait},
		{Status: 999, Code: strings.Repeat("c", maxCode), Detail: strings.Repeat("d", maxDetail), Body: make([]byte, maxReplyBody)},
	} {
		for _, stream := range []io.ReadCloser{nil, &blocked{}} {
			want.Stream = stream
			b, err := appendReply(nil, &want)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > maxReply {
				t.Errorf("reply of %d bytes is over the bound", len(b))
			}
			got, follows, err := decodeReply(b)
			if err != nil || follows != (stream != nil) {
				t.Fatalf("decoded with stream %v, %v", follows, err)
			}
			if got.Stream = stream; !reflect.DeepEqual(*got, want) {
				t.Errorf("decoded %+v, want %+v", got, want)
			}
		}
	}
}

func FuzzDecodeCall(f *testing.F) {
	for _, c := range exampleCalls() {
		b, _ := appendCall(nil, &c)
		f.Add(b)
	}
	f.Add([]byte{4, 'G', 'E', 'T'})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c shell.Call
		if decodeCall(b, &c) != nil {
			return
		}
		again, err := appendCall(nil, &c)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x, %v", b, c, again, err)
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	b, _ := appendReply(nil, &shell.Reply{Status: 200, Code: "c", Detail: "d", Nonce: "n", Body: []byte("b"), Stream: &blocked{}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, stream, err := decodeReply(b)
		if err != nil {
			return
		}
		if stream {
			r.Stream = &blocked{}
		}
		again, err := appendReply(nil, r)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %+v, which encodes to %x, %v", b, r, again, err)
		}
	})
}
