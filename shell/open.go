package shell

import "strings"

// Winsize is the size of a terminal: TIOCSWINSZ's struct winsize. Pixels may
// be zero when the terminal does not tell them.
type Winsize struct {
	Cols   uint16 `json:"cols"`
	Rows   uint16 `json:"rows"`
	XPixel uint16 `json:"xpixel,omitempty"`
	YPixel uint16 `json:"ypixel,omitempty"`
}

// Terminal asks for a pty of the given type (TERM) and size.
type Terminal struct {
	Term string `json:"term"`
	Winsize
}

// Values of [OpenRequest.Subsystem]. The first two are files, and [ActionSFTP]: what
// a source allows of the one it allows of the other.
const (
	SubsystemSFTP    = string(ActionSFTP)
	SubsystemCopy    = "copy"
	SubsystemForward = string(ActionForward)
)

// OpenRequest is the JSON body of an open. At most one of Argv, Command and
// Subsystem is set; with none, the source's shell runs as the session.
type OpenRequest struct {
	// Argv runs a program directly, without a shell.
	Argv []string `json:"argv,omitempty"`
	// Command runs `SHELL -c Command`.
	Command string `json:"command,omitempty"`
	// Subsystem is what the agent has built in and serves in place of a program:
	// "sftp" (SFTP, version 3), "copy" (that of agent cp), "forward" (connections
	// through the host), or "".
	Subsystem string `json:"subsystem,omitempty"`
	// Terminal is nil for a program on pipes.
	Terminal *Terminal `json:"terminal,omitempty"`
	// NoInput ends the input of a program on pipes before its first byte.
	NoInput bool `json:"noInput,omitempty"`
	// Env are variables the client offers; the source's acceptEnv decides.
	Env map[string]string `json:"env,omitempty"`
}

// Asked is what the session was opened for, as people read it: "" is the shell.
func (o OpenRequest) Asked() string {
	if o.Command != "" {
		return o.Command
	}
	return strings.Join(o.Argv, " ") + o.Subsystem
}

// Bounds of an open, checked before policy is asked.
const (
	MaxOpenBody  = 256 << 10 // bytes of JSON
	MaxArgv      = 4096      // arguments
	MaxOpenEnv   = 64        // variables
	MaxTermName  = 64        // bytes of TERM
	MaxWinsize   = 4096      // columns or rows
	MaxStdinData = 1 << 20   // bytes of data in one stdin request
	MaxBanner    = 16 << 10  // bytes of [SessionInfo.Banner]
)

// Exit is how a session's program ended.
type Exit struct {
	// Code is the exit status 0–255; 128+n when a signal ended the program.
	Code int `json:"code"`
	// Signal is the name without SIG ("KILL"), empty for a plain exit.
	Signal string `json:"signal,omitempty"`
	// Core says that a core was dumped.
	Core bool `json:"core,omitempty"`
	// Reason says why the agent ended the session ("idle timeout", "killed by
	// its owner", "agent is stopping"); empty when the program ended by itself.
	Reason string `json:"reason,omitempty"`
}

// Notice is a line for the person at the terminal.
type Notice struct {
	// Code is stable: "stopping", "max_duration", "idle", "policy", "killed",
	// "taken_over", "watched", "banner".
	Code string `json:"code"`
	Text string `json:"text"`
}

// SessionInfo is the first frame of every stream.
type SessionInfo struct {
	// ID is the session: the RFC 7638 thumbprint of the session key of the open.
	ID string `json:"sid"`
	// Token is signed by the host key (typ shellagent-host+jwt): aud is the
	// thumbprint of the caller's session key, sid the session, oth the base64url
	// SHA-256 of the token that opened this stream, iat the agent's clock.
	Token string `json:"token"`
	// From is the output offset at which this stream starts.
	From uint64 `json:"from"`
	// End is the output offset that the session had reached by then.
	End uint64 `json:"end"`
	// Stdin is the next input offset the agent expects.
	Stdin uint64 `json:"stdin"`
	// Linger is how long a detached session is kept, in milliseconds.
	Linger int64 `json:"lingerMs"`
	// Terminal says whether the program runs on a pty.
	Terminal bool `json:"terminal"`
	// Cover is not empty where the agent takes input under keystroke cover.
	Cover string `json:"cover,omitempty"`
	// Banner is text to show before the session's output, at most once.
	Banner string `json:"banner,omitempty"`
	// Source, User and Host are for the client's messages.
	Source string `json:"source"`
	User   string `json:"user"`
	Host   string `json:"host"`
	// NextHostKey announces a rotation of the host key.
	NextHostKey *NextHostKey `json:"nextHostKey,omitempty"`
}

// Values of [SessionInfo.Cover].
const (
	CoverOffered  = "on"
	CoverRequired = "required" // clients are asked to insist on it
)

// NextHostKey says which host key comes next, by the word of both keys:
// jwtauth's Succession, which verifies it.
type NextHostKey struct {
	HostKey string `json:"hostKey"` // OpenSSH line
	Promise string `json:"promise"`
	Consent string `json:"consent"`
}

// ControlRequest is the JSON body of a control request. Seq orders the
// requests of one client: one that is not above the last taken is answered
// like it and does nothing, so that a repeated request is safe.
type ControlRequest struct {
	Seq uint64 `json:"seq"`
	// Ack acknowledges output up to this offset; 0 acknowledges nothing.
	Ack    uint64         `json:"ack,omitempty"`
	Resize *Winsize       `json:"resize,omitempty"`
	Signal *SignalRequest `json:"signal,omitempty"`
	// Close hangs the session up.
	Close bool `json:"close,omitempty"`
	// Detach says the client leaves and the session should stay.
	Detach bool `json:"detach,omitempty"`
}

// SignalRequest asks for a signal to the foreground process group (pty) or the
// program's process group, once input up to After has been given to it.
type SignalRequest struct {
	Name  string `json:"name"` // without SIG: "INT", "TERM", "KILL", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT", "WINCH", "ALRM", "PIPE"
	After uint64 `json:"after"`
}

// SessionSummary is one line of the list of sessions.
type SessionSummary struct {
	ID       string `json:"sid"`
	Source   string `json:"source"`
	Subject  string `json:"subject"`
	Key      string `json:"key"`
	User     string `json:"user"`
	Command  string `json:"command,omitempty"`
	Remote   string `json:"remote"`
	Started  int64  `json:"startedMs"` // Unix milliseconds
	Attached bool   `json:"attached"`
	Terminal bool   `json:"terminal"`
	Ended    bool   `json:"ended"`
	Exit     *Exit  `json:"exit,omitempty"`
	Output   uint64 `json:"outputBytes"`
	Input    uint64 `json:"inputBytes"`
}
