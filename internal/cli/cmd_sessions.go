package cli

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shellagent/shell"
	"shellagent/shell/shellhttp"
)

func sessionsCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "sessions TARGET",
		Short: "List your sessions on a target",
		Long: `List the sessions on a target that your keys may see: those that they opened.
An ended one is listed until its exit has been told.`,
		Example: `  agent sessions myhost
  agent sessions --json myhost | jq -r '.sessions[].sid'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeTarget(s, r),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			all, done, err := s.sessions(ctx, r, args[0])
			if err != nil {
				return err
			}
			defer done()
			list := summaries(all)
			if asJSON {
				return s.printJSON(struct {
					Version  int                    `json:"version"`
					Sessions []shell.SessionSummary `json:"sessions"`
				}{1, list})
			}
			return s.print(SessionTable(list, time.Now(), false))
		},
	}
	r.register(c)
	jsonFlag(c, &asJSON)
	return c
}

// owned is a session and the client whose key may end it.
type owned struct {
	shell.SessionSummary
	client *shellhttp.Client
}

// sessions lists what any of the keys may see, oldest first; done closes the
// clients. An agent that refuses every key is an error.
func (s *surroundings) sessions(ctx context.Context, r *reach, address string) (all []owned, done func(), err error) {
	_, name, err := addressArgs([]string{address})
	if err != nil {
		return nil, nil, err
	}
	c, err := s.address(r, name)
	if err != nil {
		return nil, nil, err
	}
	if err := c.settle(ctx); err != nil {
		return nil, nil, err
	}
	var clients []*shellhttp.Client
	done = func() {
		for _, client := range clients {
			client.Close()
		}
	}
	taken := false
	var refusal error
	for _, key := range c.keys {
		client, err := c.client(key)
		if err != nil {
			done()
			return nil, nil, failWith(codeTransport, err)
		}
		clients = append(clients, client)
		list, err := client.Sessions(ctx)
		switch {
		case err == nil:
			taken = true
		case isUnauthorized(err):
			refusal = err
		default:
			done()
			return nil, nil, c.refused(ctx, err)
		}
		for _, one := range list {
			all = append(all, owned{one, client})
		}
	}
	if !taken {
		done()
		return nil, nil, c.refused(ctx, refusal)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Started < all[j].Started })
	return all, done, nil
}

// SessionTable is for people; --json is for programs. With whose it tells also
// who opened each session.
func SessionTable(list []shell.SessionSummary, now time.Time, whose bool) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(id, who string, cells ...string) {
		if whose {
			id += "\t" + clean(who)
		}
		for i := range cells {
			cells[i] = clean(cells[i])
		}
		fmt.Fprintln(w, id+"\t"+strings.Join(cells, "\t"))
	}
	row("ID", "WHO", "SOURCE", "USER", "FROM", "AGE", "STATE", "COMMAND")
	for _, one := range list {
		who := one.Subject
		if who == "" {
			who = one.Key
		}
		row(clean(one.ID), who, one.Source, one.User, one.Remote, age(now.Sub(time.UnixMilli(one.Started))), stateOf(one), commandOf(one))
	}
	w.Flush()
	return b.String()
}

func stateOf(one shell.SessionSummary) string {
	switch {
	case one.Ended && one.Exit != nil:
		return fmt.Sprintf("ended %d", one.Exit.Code)
	case one.Ended:
		return "ended"
	case one.Attached:
		return "attached"
	default:
		return "detached"
	}
}

// maxCommand bounds a command in a table, in characters.
const maxCommand = 60

func commandOf(one shell.SessionSummary) string {
	command := []rune(one.Command)
	if len(command) == 0 {
		return "(shell)"
	}
	if len(command) > maxCommand {
		return string(command[:maxCommand]) + "…"
	}
	return one.Command
}

// age is short enough for a table.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
