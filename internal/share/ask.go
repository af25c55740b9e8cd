package share

import (
	"fmt"

	"shellagent/shell"
)

// Do is what a guest asks a holder for.
type Do string

const (
	// DoOpen opens a session.
	DoOpen Do = "open"
	// DoStatus tells what the holder does.
	DoStatus Do = "status"
	// DoStop has the holder take no more guests and end with the last one.
	DoStop Do = "stop"
	// DoExit has the holder hang up every session and end.
	DoExit Do = "exit"
	// DoForward has the holder forward what [Ask.Forwards] says, as ssh's -O.
	DoForward Do = "forward"
	// DoCancel has it end that.
	DoCancel Do = "cancel"
	// DoStay keeps the holder while the guest stays.
	DoStay Do = "stay"
)

// Ask is a guest's first message.
type Ask struct {
	Do Do `json:"do"`
	// Source and Request are the session's.
	Source  string            `json:"source,omitempty"`
	Request shell.OpenRequest `json:"request,omitzero"`
	// InputReady says that there is input at once, for which a connection is begun.
	InputReady bool `json:"inputReady,omitempty"`
	// Forwards are what DoForward and DoCancel are for.
	Forwards []string `json:"forwards,omitempty"`
}

// Level says how much somebody must want to know something.
type Level string

const (
	LevelDebug   Level = "debug"   // only who asked for every step
	LevelNote    Level = "note"    // who did not ask for silence
	LevelWarning Level = "warning" // everybody
)

// saying is something for the person.
type saying struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

// Failure is why a session could not be opened, or ended before its program did.
type Failure struct {
	// Code is the exit code that the guest ends with.
	Code int `json:"code"`
	// Lines are what the person is told.
	Lines []string `json:"lines"`
	// Lost says that the agent was not reached again.
	Lost bool `json:"lost,omitempty"`
	// Full says that the holder has as many sessions as it may: nothing was tried.
	Full bool `json:"full,omitempty"`
}

// Error implements error with the first line.
func (f *Failure) Error() string {
	if len(f.Lines) == 0 {
		return fmt.Sprintf("the session failed with %d", f.Code)
	}
	return f.Lines[0]
}

// Status is what a holder tells of itself. Times are Unix milliseconds.
type Status struct {
	Version int    `json:"version"` // of this form: 1
	PID     int    `json:"pid"`
	Target  string `json:"target"`
	URL     string `json:"url"`
	Started int64  `json:"startedMs"`
	// Idle is how long it stays without a session, in milliseconds; 0 is for good.
	Idle int64 `json:"idleMs"`
	// Ends is when it ends unless a session is opened, 0 while it has any.
	Ends int64 `json:"endsMs,omitempty"`
	// Stopping says that it takes no more guests.
	Stopping bool `json:"stopping,omitempty"`
	// Opened counts the sessions since it started.
	Opened   uint64          `json:"opened"`
	Sessions []StatusSession `json:"sessions"`
	// Forwards are what the holder itself forwards, each as its option has it.
	Forwards []string `json:"forwards,omitempty"`
	// Ports are those that were chosen, in an answer to DoForward.
	Ports []int `json:"ports,omitempty"`
}

// StatusSession is a session that goes through a holder.
type StatusSession struct {
	ID       string `json:"sid"`
	Source   string `json:"source"`
	User     string `json:"user"`
	Command  string `json:"command,omitempty"`
	Terminal bool   `json:"terminal,omitempty"`
	Started  int64  `json:"startedMs"`
	// Guest is the process that shows it.
	Guest int `json:"guestPid"`
}
