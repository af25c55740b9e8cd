package shell

import "time"

// Credential is who a program runs as: resolved numbers, so that nothing is
// looked up between the decision and the start.
type Credential struct {
	User   string
	Group  string
	UID    uint32
	GID    uint32
	Groups []uint32
	Home   string
}

// Limits bound one session. A zero duration means no limit, except Linger,
// where zero ends a detached session at once.
type Limits struct {
	// MaxSessions bounds the live sessions of the source; 0 means
	// [DefaultMaxSessions].
	MaxSessions int
	// MaxProcesses bounds the processes and threads of a session, on a host that
	// delegates cgroup v2's pids controller to the agent; 0 means the default
	// (4096, and a quarter of what all sessions may have at most). It holds for
	// sessions that begin.
	MaxProcesses int
	IdleTimeout  time.Duration
	MaxDuration  time.Duration
	Linger       time.Duration
	// KillOnExit ends the whole process tree when the session's program ended.
	KillOnExit bool
}

// Grant is what policy allows for one session. It is a value: policy that
// changes makes a new one.
type Grant struct {
	// Source is the way in; Subject the person as configured, or "" when the
	// key is a plain one; Key the thumbprint of the identity key; Label that
	// key's comment, which proves nothing.
	Source  string
	Subject string
	Key     string
	Label   string

	// Credential, Path, Argv, Env and Dir are what is started. Path is what
	// is executed; a Path without a slash is searched on PATH of Env as the
	// user. Argv[0] is what the program sees as its name.
	Credential Credential
	Path       string
	Argv       []string
	Env        []string
	Dir        string
	// Forced says that this is the source's command, whatever was asked for.
	Forced bool `json:",omitzero"`
	// Files, unless nil, has the agent serve files in place of a Path.
	Files *Files `json:",omitzero"`
	// Forward, unless nil, has the agent forward connections in place of a Path.
	Forward *Forward `json:",omitzero"`

	Limits Limits
	// Cover is [CoverOffered], [CoverRequired], or "" for no keystroke cover.
	Cover string

	// Banner is text that the client shows before the session, of at most
	// [MaxBanner] bytes; "" for none.
	Banner string `json:",omitzero"`

	// WatchQuietly: the session is not told that it is watched.
	WatchQuietly bool

	// Record is how the session is recorded, nil for not at all.
	Record *Record
	// Drain is how its output goes to the sinks of the audit trail, nil for not at all.
	Drain *Drain
	// Operation is the one that the session is a part of, as the key's holder
	// says; "" means the session's id. Labels go with it.
	Operation string
	Labels    map[string]string
	// Email is the person's, as far as it is known; "" when it is not.
	Email string
}

// Drain is how a session's output goes to sinks. Nobody changes it.
type Drain struct {
	// Required: the program waits when its output cannot be written down.
	Required bool
	// Redact are regular expressions; what they match in a line is left out.
	Redact []string
}

// Record is how a session is recorded. Nobody changes it.
type Record struct {
	// Required: a session that cannot be recorded does not go on.
	Required bool
	// Input: what is typed is recorded, as far as it is shown.
	Input bool
	// Recipients are age public keys; without any a recording is not encrypted.
	Recipients []string
	// Sample is how many bytes of output are recorded in a second; 0 means all.
	Sample int64
	// Dir is an absolute path; "" means the state directory's.
	Dir string
}
