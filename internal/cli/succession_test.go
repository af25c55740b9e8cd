//go:build linux

package cli

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"shellagent/jwtauth"
	"shellagent/shell"
)

// theAgent is the agent among a script's values.
const theAgent = "agent"

// announce is "announce WHAT": the agent announces another host key from now
// on, "truly", in another agent's name ("forged"), or one that did not agree
// ("taken"); or nothing any more ("nothing"). The key is $NEXT then.
func announce(ts *testscript.TestScript, neg bool, args []string) {
	a := ts.Value(theAgent).(*fakeAgent)
	if args[0] == "nothing" {
		a.next.Store(nil)
		return
	}
	next, err := jwtauth.GeneratePrivateKey()
	ts.Check(err)
	other, err := jwtauth.GeneratePrivateKey()
	ts.Check(err)
	by := a.host
	if args[0] == "forged" {
		by = other
	}
	s, err := jwtauth.SignSuccession(by, next, time.Now())
	ts.Check(err)
	if args[0] == "taken" {
		s.Consent = s.Promise
	}
	a.next.Store((*shell.NextHostKey)(&s))
	ts.Setenv("NEXT", next.PublicKey().Thumbprint())
	ts.Setenv("NEXTKEY", next.PublicKey().AuthorizedKey(""))
}
