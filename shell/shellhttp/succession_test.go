package shellhttp

import (
	"errors"
	"testing"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// Streams signed by the next host key are accepted once it was announced and
// believed.
func TestStreamsOfTheNextHostKey(t *testing.T) {
	next, err := jwtauth.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ believed, ok bool }{"believed": {true, true}, "not believed": {false, false}} {
		t.Run(name, func(t *testing.T) {
			b := newTestBroker(t, map[string]script{"wait": waitScript})
			heard := 0
			client := serve(t, b).client(t, func(cfg *ClientConfig) {
				cfg.Succeeds = func(s *jwtauth.Succession) jwtauth.PublicKey {
					heard++
					if s != nil {
						t.Errorf("heard %+v", s)
					}
					if c.believed {
						return next.PublicKey()
					}
					return jwtauth.PublicKey{}
				}
			})
			open(t, client, "wait", shell.OpenRequest{})
			b.signer.Store(next)
			s, err := openErr(client, "wait", shell.OpenRequest{})
			if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrHost) {
				t.Errorf("after the switch: %v", err)
			}
			if err == nil {
				s.Close()
			}
			if heard == 0 {
				t.Error("nobody was asked")
			}
			other, err := jwtauth.GeneratePrivateKey()
			if err != nil {
				t.Fatal(err)
			}
			b.signer.Store(other)
			if _, err := openErr(client, "wait", shell.OpenRequest{}); !errors.Is(err, ErrHost) {
				t.Errorf("another key: %v", err)
			}
		})
	}
}
