package broker

import (
	"errors"
	"testing"

	"shellagent/shell"
)

// A session of forwards lives on as long as it may do all that it could.
func TestForwardsKeepWhatIsGranted(t *testing.T) {
	rule := func(host string) shell.Destination { return shell.Destination{Host: host, Low: 80, High: 80} }
	of := func(hosts ...string) *shell.Forward {
		f := &shell.Forward{}
		for _, h := range hosts {
			f.Local = append(f.Local, rule(h))
		}
		return f
	}
	for _, tt := range []struct {
		now, was *shell.Forward
		ends     bool
	}{
		{of("a"), of("a"), false}, {of("a", "b"), of("a"), false}, {of("*"), of("a"), false}, {of("a"), nil, false},
		{of("b"), of("a"), true}, {of(), of("a"), true}, {nil, of("a"), true}, {nil, of(), true},
	} {
		err := keeps(shell.Grant{Forward: tt.now}, shell.Grant{Forward: tt.was})
		var denied *shell.Denied
		if (err != nil) != tt.ends || err != nil && (!errors.As(err, &denied) || denied.Reason != shell.ReasonAction) {
			t.Errorf("%+v after %+v: %v", tt.now, tt.was, err)
		}
	}
}
