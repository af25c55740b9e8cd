package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shellagent/internal/share"
)

func shareCommand(s *surroundings) *cobra.Command {
	c := &cobra.Command{
		Use:   "share",
		Short: "Look after connections that calls share",
		Long: `Look after the connections that calls share ("--share" of shell and exec, or
"share" of a target in the configuration). Each is held by a process in the
background, which ends when nobody has used it for as long as it was told.`,
	}
	c.AddCommand(shareStatusCommand(s), shareStopCommand(s), shareHoldCommand(s))
	return c
}

func shareStatusCommand(s *surroundings) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [TARGET]",
		Short: "List shared connections and the sessions that go through them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := s.holders(share.DoStatus, args)
			if err != nil {
				return err
			}
			if asJSON {
				return s.printJSON(struct {
					Version int            `json:"version"`
					Holders []share.Status `json:"connections"`
				}{1, all})
			}
			return s.print(holderTable(all, time.Now()))
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func shareStopCommand(s *surroundings) *cobra.Command {
	var now bool
	c := &cobra.Command{
		Use:   "stop [TARGET]",
		Short: "Share no longer: end connections once their sessions have ended",
		Long: `End shared connections, of one target or all of them: no more sessions are
opened through them, and they end with the last one. With --now sessions are hung
up.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			do := share.DoStop
			if now {
				do = share.DoExit
			}
			all, err := s.holders(do, args)
			if err != nil {
				return err
			}
			for _, one := range all {
				s.ui.note("the connection to %s is shared no longer (%s)", one.Target, plural(len(one.Sessions), "session", "sessions"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&now, "now", false, "hang up the sessions that go through them")
	return c
}

// shareHoldCommand is what a call that shares starts; see share.Start.
func shareHoldCommand(s *surroundings) *cobra.Command {
	r := &reach{}
	var socket string
	var idle time.Duration
	c := &cobra.Command{
		Use:    "hold TARGET",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return s.hold(ctx, r, args[0], socket, idle)
		},
	}
	r.register(c)
	c.Flags().StringVar(&socket, "socket", "", "")
	c.Flags().DurationVar(&idle, "idle", 0, "")
	c.Flags().BoolVar(&r.cover, "cover", true, "")
	return c
}

// holders asks all that hold a connection of this user's, or those of one target.
func (s *surroundings) holders(do share.Do, args []string) ([]share.Status, error) {
	dir, err := share.Dir(s.getenv)
	if err != nil {
		return nil, err
	}
	places, err := share.Places(dir)
	if err != nil {
		return nil, err
	}
	all := []share.Status{}
	for _, place := range places {
		one, err := askHolder(place, do, args)
		switch {
		case errors.Is(err, share.ErrNobody):
		case err != nil:
			s.ui.warn("%s: %v", place.Socket, err)
		case isMeant(one, args):
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b share.Status) int { return strings.Compare(a.Target+a.URL, b.Target+b.URL) })
	return all, nil
}

func isMeant(one share.Status, args []string) bool {
	return len(args) == 0 || one.Target == args[0] || one.URL == args[0]
}

// askHolder asks first who it is: only those who are meant are stopped.
func askHolder(place share.Place, do share.Do, args []string) (share.Status, error) {
	conn, err := share.Dial(place)
	if err != nil {
		return share.Status{}, err
	}
	one, err := conn.Status(share.DoStatus)
	if errors.Is(err, share.ErrVersion) {
		return one, fmt.Errorf("%w: process %d; end it with kill", err, conn.PID)
	}
	if err != nil || do == share.DoStatus || !isMeant(one, args) {
		return one, err
	}
	if conn, err = share.Dial(place); err != nil {
		return one, err
	}
	return conn.Status(do)
}

// holderTable is for people; --json is for programs.
func holderTable(all []share.Status, now time.Time) string {
	if len(all) == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tPID\tAGE\tOPENED\tENDS\tSESSIONS")
	for _, one := range all {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%d\n", clean(one.Target), one.PID, age(now.Sub(time.UnixMilli(one.Started))),
			one.Opened, endOf(one, now), len(one.Sessions))
		for _, session := range one.Sessions {
			command := clean(session.Command)
			if command == "" {
				command = "(shell)"
			}
			fmt.Fprintf(w, "  %s\t%d\t%s\t\t\t%s as %s: %s\n", clean(session.ID), session.Guest, age(now.Sub(time.UnixMilli(session.Started))),
				clean(session.Source), clean(session.User), command)
		}
		for _, forward := range one.Forwards {
			fmt.Fprintf(w, "  forward\t%d\t\t\t\t%s\n", one.PID, clean(forward))
		}
	}
	w.Flush()
	return b.String()
}

func endOf(one share.Status, now time.Time) string {
	switch {
	case one.Stopping:
		return "with its sessions"
	case one.Ends > 0:
		return "in " + age(time.UnixMilli(one.Ends).Sub(now))
	default:
		return "later"
	}
}
