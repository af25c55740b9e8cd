package jwtauth_test

import (
	"bytes"
	"context"
	"testing"

	"shellagent/jwtauth"
)

// Counters and moments with all numbers of digits that there may be make
// requests of one size, which are taken like any other, under a MAC and without.
func TestSizedRequestsAreOfOneSize(t *testing.T) {
	const size = 512
	for _, tagged := range []bool{true, false} {
		a := agree(t)
		signer := a.signer
		if !tagged {
			signer = jwtauth.NewRequestSigner(a.key)
		}
		for i := range 1200 {
			issued := jwtauth.NumericDate(macTime/1000*1000 + i%1000)
			r := jwtauth.Request{Method: "POST", Target: "/v1/sessions/x/stdin", Body: bytes.Repeat([]byte{7}, i%90)}
			token, body, err := signer.SignSized(context.Background(), issued, r, size)
			if err != nil {
				t.Fatal(err)
			}
			padding := make([]byte, size-len(token)-i%90)
			if !bytes.Equal(body, append(r.Body, padding...)) {
				t.Fatalf("tagged %v, request %d: a token of %d bytes and a body of %d", tagged, i, len(token), len(body))
			}
			if !tagged {
				got := mustVerify(t, a.key.PublicKey(), token)
				if err := got.CheckRequest(r.Method, r.Target, body); err != nil {
					t.Fatal(err)
				}
			} else if err := a.take(token, jwtauth.Request{Method: r.Method, Target: r.Target, Body: body}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSizedRequestThatDoesNotFit(t *testing.T) {
	a := agree(t)
	_, _, err := a.signer.SignSized(context.Background(), macTime, jwtauth.Request{Method: "POST", Target: "/", Body: make([]byte, 400)}, 512)
	if err == nil {
		t.Error("a body of 400 bytes fits beside a token")
	}
}
