package playback

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"shellagent/internal/cli"
	"shellagent/jwtauth"
	"shellagent/record"
	"shellagent/targets"
)

func verifyCommand() *cobra.Command {
	v := &verification{}
	cmd := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Find out whether recordings and the audit trail are what was written",
		Long: `Find out whether recordings and audit trails are what their agent wrote: any byte
that was changed, removed, moved or cut off is found, and where. Nothing is decrypted.

A trail is given as its folder, or as its files in their order. Lines cut off behind
the last one leave no gap: the time and the number that are printed say up to where it
goes, which a copy of the trail elsewhere shows to be too little.

Recordings and trails name their agent's host key. That key is believed when it is given with
--host-key, when it is this host's own, or when it stands in your known_hosts file.

The exit code is 1 when something does not hold, or just ends.`,
		Example: `  agent verify /var/lib/shellagent/recordings/2030/01/02/*
  agent verify /var/lib/shellagent/audit
  agent verify --host-key web1.pub SESSION.cast.zst
  agent verify --json SESSION.cast.zst`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args) },
	}
	cmd.Flags().StringArrayVar(&v.hostKeys, "host-key", nil, "believe this host key: an OpenSSH line, a fingerprint, or a `FILE` of them")
	cmd.Flags().StringVar(&v.stateDir, "state-dir", "/var/lib/shellagent", "the agent's state `DIRECTORY`, where this host's own key is")
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON, a line for each file")
	return cmd
}

type verification struct {
	hostKeys []string
	stateDir string
	json     bool
}

// verdict is what was found out about one file.
type verdict struct {
	Version  int       `json:"version"`
	File     string    `json:"file"`
	Holds    bool      `json:"holds"`
	Complete bool      `json:"complete"`
	Session  string    `json:"session,omitzero"`
	Subject  string    `json:"subject,omitzero"`
	Source   string    `json:"source,omitzero"`
	User     string    `json:"user,omitzero"`
	Host     string    `json:"host,omitzero"`
	HostKey  string    `json:"hostKey,omitzero"` // thumbprint
	Started  time.Time `json:"started,omitzero"`
	// Until is up to when after the start everything holds, in milliseconds.
	Until    int64  `json:"untilMs"`
	Segments uint64 `json:"segments"`
	// Offset and Segment are where it stops holding.
	Offset  int64  `json:"offset,omitzero"`
	Segment uint64 `json:"segment,omitzero"`
	// Of a trail: how many lines hold, the last one's number in the trail, the hash of the chain
	// there, and when it was written; Line is where it stops holding.
	Trail  bool      `json:"trail,omitzero"`
	Lines  uint64    `json:"lines,omitzero"`
	Number uint64    `json:"number,omitzero"`
	Sum    string    `json:"sum,omitzero"`
	Last   time.Time `json:"last,omitzero"`
	Line   int       `json:"line,omitzero"`
	Error  string    `json:"error,omitzero"`
}

func (v *verification) run(cmd *cobra.Command, paths []string) error {
	known, err := v.knower(os.Getenv)
	if err != nil {
		return err
	}
	bad := 0
	for _, result := range judgeAll(paths, known) {
		if !result.Holds || !result.Complete {
			bad++
		}
		if v.json {
			b, err := json.Marshal(result)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", b)
			continue
		}
		fmt.Fprintln(cmd.OutOrStdout(), cli.Clean(result.String()))
	}
	if bad > 0 {
		return cli.Exit(1)
	}
	return nil
}

// String is the verdict in a line.
func (v verdict) String() string {
	switch {
	case v.Holds && v.Trail:
		return fmt.Sprintf("%s: holds: %d lines, up to line %d of %s", v.File, v.Lines, v.Number, v.Last.Local().Format(time.DateTime))
	case v.Holds && v.Complete:
		return fmt.Sprintf("%s: holds: session %s of %s on %s, %s, %d segments",
			v.File, v.Session, v.who(), v.Host, time.Duration(v.Until)*time.Millisecond, v.Segments)
	case v.Holds:
		return fmt.Sprintf("%s: CUT at byte %d, %v after the start; what is before that holds: session %s of %s on %s",
			v.File, v.Offset, time.Duration(v.Until)*time.Millisecond, v.Session, v.who(), v.Host)
	default:
		return fmt.Sprintf("%s: DOES NOT HOLD: %s", v.File, v.Error)
	}
}

func (v verdict) who() string {
	if v.Subject == "" {
		return v.User + " by " + v.Source
	}
	return v.Subject + " as " + v.User + " by " + v.Source
}

func judge(path string, known record.Knower) verdict {
	result := verdict{Version: 1, File: path}
	in, err := os.Open(path)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	defer in.Close()
	r, err := record.NewReader(in, known)
	if err == nil {
		h := r.Header()
		result.Session, result.Subject, result.Source, result.User = h.Session, h.Subject, h.Source, h.User
		result.Host, result.Started = h.Host, h.Started
		if key, _, err := jwtauth.ParsePublicKey(h.HostKey); err == nil {
			result.HostKey = key.Thumbprint()
		}
	}
	for err == nil {
		var s *record.Segment
		if s, err = r.Next(); err == nil {
			result.Segments, result.Until = s.N, s.Closed.Milliseconds()
		}
	}
	var d *record.Damage
	switch {
	case err == io.EOF:
		result.Holds, result.Complete = true, true
	case errors.As(err, &d):
		result.Segment, result.Offset, result.Error = d.Segment, d.Offset, d.Error()
		result.Holds = errors.Is(err, record.ErrCut) && result.Segments > 0
	default:
		result.Error = err.Error()
	}
	return result
}

// judgeAll judges recordings one by one, and the files of a trail together.
func judgeAll(paths []string, known record.Knower) []verdict {
	var all []verdict
	var trail []string
	for _, path := range paths {
		switch files, isTrail, err := trailFiles(path); {
		case err != nil:
			all = append(all, verdict{Version: 1, File: path, Error: err.Error()})
		case isTrail:
			trail = append(trail, files...)
		default:
			all = append(all, judge(path, known))
		}
	}
	if len(trail) > 0 {
		all = append(all, judgeTrail(trail, known))
	}
	return all
}

// knower collects the host keys that are believed.
func (v *verification) knower(getenv func(string) string) (record.Knower, error) {
	given := v.hostKeys
	if len(given) == 0 {
		given = ownKeys(v.stateDir)
	}
	var keys []string
	for _, text := range given {
		if b, err := os.ReadFile(text); err == nil {
			keys = append(keys, strings.Split(strings.TrimSpace(string(b)), "\n")...)
			continue
		}
		keys = append(keys, text)
	}
	var hosts *targets.KnownHosts
	if len(v.hostKeys) == 0 {
		var err error
		if hosts, err = targets.ReadKnownHosts(targets.DefaultPaths(getenv).KnownHosts()); err != nil {
			return nil, err
		}
	}
	return func(k jwtauth.PublicKey) error {
		for _, text := range keys {
			if line, _, err := jwtauth.ParsePublicKey(text); err == nil && line.Equal(k) || k.MatchesFingerprint(text) {
				return nil
			}
		}
		if hosts != nil && len(hosts.With(k)) > 0 {
			return nil
		}
		return fmt.Errorf("it names the host key %s, which is not known here: if it is the agent's, give --host-key %s", k.Thumbprint(), k.Thumbprint())
	}, nil
}

// ownKeys are the files with this host's own keys.
func ownKeys(stateDir string) []string {
	files, _ := filepath.Glob(filepath.Join(stateDir, "host_key*.pub"))
	return files
}
