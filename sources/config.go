package sources

import (
	"time"

	"shellagent/config"
	"shellagent/shell"
)

// Config is policy as it is written. It is decoded by package config; the zero
// value has no sources and lets nobody in. Lists that were left out are nil,
// which differs from empty ones.
type Config struct {
	// Exec holds for every source, overridden field by field by the source's.
	Exec    Exec              `json:"exec"`
	Sources map[string]Source `json:"sources"`
	// VerifyKeys are good for every source, unless an entry names some.
	VerifyKeys []KeyEntry `json:"verifyKeys"`
	// VerifyKeysDir has files *.pub and *.keys with one OpenSSH key a line, good
	// for every source. A relative path is beside the configuration.
	VerifyKeysDir  string          `json:"verifyKeysDir"`
	VerifyCommands []VerifyCommand `json:"verifyCommands"`
	// JWTRule has to hold for every source, besides the source's own.
	JWTRule string `json:"jwtRule"`
	// RevokedKeys and the lines of RevokedKeysFile are thumbprints, OpenSSH
	// fingerprints ("SHA256:…") or whole keys that open nothing, wherever they
	// are listed.
	RevokedKeys     []string `json:"revokedKeys"`
	RevokedKeysFile string   `json:"revokedKeysFile"`
}

// Source is one named way in.
type Source struct {
	Exec Exec `json:"exec"`
	// Shell is what runs when nothing else is asked for: as a string a login
	// shell, as a list a program with its arguments. Left out it is the user's
	// own shell, as with sshd.
	Shell          Program         `json:"shell"`
	VerifyKeys     []KeyEntry      `json:"verifyKeys"`
	VerifyCommands []VerifyCommand `json:"verifyCommands"`
	JWTRule        string          `json:"jwtRule"`
	// Commands, unless nil, are all that may be run, and no shell. Each is a list
	// of arguments, or a string that is split by quotes: * stands for exactly one
	// argument, ** at the end for any that are left. A client's command string is
	// split likewise, refused when anything unquoted in it has a meaning to a
	// shell, and run without one.
	Commands []Program `json:"commands"`
	// ForceCommand runs in place of whatever was asked for. What that was is in
	// SHELLAGENT_ORIGINAL_COMMAND and SSH_ORIGINAL_COMMAND.
	ForceCommand Program `json:"forceCommand"`
	// Allow is what may be asked of the source; nil means a shell, commands and
	// SFTP, with Commands those alone, and with ForceCommand no SFTP. Forwards are
	// only where it names them.
	Allow *Allow `json:"allow"`
	// AcceptEnv are patterns with * and ? of variables that the client may set;
	// nil means LANG, LC_*, COLORTERM and NO_COLOR.
	AcceptEnv []string `json:"acceptEnv"`

	// Banner is text that a client shows before a session begins.
	Banner Banner `json:"banner"`

	// Record is whether and how sessions are recorded; a change holds for those
	// that begin.
	Record Record `json:"record"`
	// Drain is whether output is sent to the sinks of the audit trail; a change
	// holds for sessions that begin.
	Drain Drain `json:"drain"`
	// AnnounceWatch tells a session that it is watched; nil means true. Whoever
	// watches is in the audit trail either way.
	AnnounceWatch *bool `json:"announceWatch"`
	// Labels go with every session into its recording. LabelClaims are claims of
	// the token that do as well, under their own names.
	Labels      map[string]string `json:"labels"`
	LabelClaims []string          `json:"labelClaims"`

	// MaxSessions bounds live sessions; nil means 128.
	MaxSessions *int `json:"maxSessions"`
	// MaxProcesses bounds the processes and threads of a session, where the host
	// delegates cgroup v2's pids controller; nil means 4096, and a quarter of
	// what all sessions together may have at most.
	MaxProcesses *int `json:"maxProcesses"`
	// IdleTimeout and MaxDuration end a session; 0 means never.
	IdleTimeout time.Duration `json:"idleTimeout"`
	MaxDuration time.Duration `json:"maxDuration"`
	// Linger is how long a session outlives its connection; nil means 60 s,
	// 0 ends it at once.
	Linger *time.Duration `json:"linger"`
	// KillOnExit ends what the program left running; nil means true.
	KillOnExit *bool `json:"killOnExit"`
	// Cover is whether clients may hide when keys are typed: "on", which "" means
	// too, "off", or "required", which asks clients to take no --cover off.
	Cover string `json:"cover"`
}

// Elsewhere implements [config.Elsewhere].
func (Source) Elsewhere() map[string]string {
	return map[string]string{"setEnv": `variables are in "exec": {"env": {"NAME": "value"}}`}
}

var _ config.Elsewhere = Source{}

// Exec says as whom and in what surroundings programs run.
type Exec struct {
	// User is a name, or "$subject": whom the key's entry names.
	User string `json:"user"`
	// Group replaces the user's primary group.
	Group string `json:"group"`
	// Env are variables; a source's are added to the global ones, variable by
	// variable. They win over what the client sends.
	Env map[string]string `json:"env"`
	// EnvInherit adds the agent's own environment, without what belongs to the
	// agent alone; nil means false.
	EnvInherit *bool `json:"envInherit"`
	// WorkDir is where programs start; "" means the user's home.
	WorkDir string `json:"workDir"`
}

// Defaults of a [Source].
const (
	DefaultMaxSessions = shell.DefaultMaxSessions // 128
	DefaultLinger      = 60 * time.Second
)

// SubjectUser as a user means whom the key's entry names.
const SubjectUser = "$subject"
