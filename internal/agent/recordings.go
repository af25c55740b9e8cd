package agent

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"shellagent/broker"
	"shellagent/record"
	"shellagent/shell"
	"shellagent/sources"
)

const (
	recordingsDir = "recordings"
	// beginLimit is how long an open waits for a recording to begin.
	beginLimit = 5 * time.Second
	// endLimit is how long the agent's end waits for recordings to be written.
	endLimit = 5 * time.Second
	// mostLate bounds the opens that left something waiting for a disk that does
	// not answer: each holds a thread.
	mostLate = 64
)

// recordings are those of the live sessions.
type recordings struct {
	dir     string // where a source names none
	host    string
	sealer  record.Sealer
	log     *slog.Logger
	observe func(shell.Event)

	look chan struct{} // has one when what is kept has changed
	disk chan struct{} // has one while recordings are removed, or may not be
	late atomic.Int32  // beginnings that a disk does not answer

	mu      sync.Mutex
	live    map[string]*recording // by session id
	thaw    []func()
	keeping []sources.Keep
}

func newRecordings(stateDir string, sealer record.Sealer, log *slog.Logger, observe func(shell.Event)) *recordings {
	return &recordings{
		dir: filepath.Join(stateDir, recordingsDir), host: hostName(), sealer: sealer, log: log, observe: observe,
		live: make(map[string]*recording), look: make(chan struct{}, 1), disk: make(chan struct{}, 1),
	}
}

// recording is one session's.
type recording struct {
	of      *recordings
	id      string
	grant   shell.Grant
	remote  netip.Addr
	path    string
	writer  *record.Writer // nil when it could not begin
	failed  error          // why not
	session *shell.Session
	run     *record.Recorder
}

var _ broker.Recording = (*recording)(nil)

// begin is the broker's RecordFunc. A disk that does not answer delays this open,
// and no other.
func (r *recordings) begin(id string, grant shell.Grant, open shell.OpenRequest, remote netip.AddrPort) (broker.Recording, error) {
	c := &recording{of: r, id: id, grant: grant, remote: remote.Addr()}
	now := time.Now()
	c.path = c.place(r.dir, now, "")
	c.writer, c.failed = c.start(open)
	if errors.Is(c.failed, fs.ErrExist) {
		// A client may use its session key again, which shall not keep its second
		// session from being recorded.
		c.path = c.place(r.dir, now, now.UTC().Format(".150405.000000000"))
		c.writer, c.failed = c.start(open)
	}
	if c.failed == nil {
		return c, nil
	}
	c.tell(c.failed, false)
	if grant.Record.Required {
		return nil, shell.Deny(shell.ReasonRecording, c.failed)
	}
	return c, nil
}

// start creates the file within bounds.
func (c *recording) start(open shell.OpenRequest) (*record.Writer, error) {
	r := c.of
	if r.late.Load() >= mostLate {
		return nil, fmt.Errorf("%s: the disk has not answered %d sessions before", c.path, mostLate)
	}
	type begun struct {
		w   *record.Writer
		err error
	}
	done := make(chan begun, 1)
	go func() {
		w, err := c.create(open)
		done <- begun{w, err}
	}()
	late := time.NewTimer(beginLimit)
	defer late.Stop()
	select {
	case b := <-done:
		return b.w, b.err
	case <-late.C:
	}
	r.late.Add(1)
	go func() {
		defer r.late.Add(-1)
		if b := <-done; b.w != nil {
			b.w.Abandon()
			_ = os.Remove(c.path)
		}
	}()
	return nil, fmt.Errorf("%s: nothing was written within %v", c.path, beginLimit)
}

// place is the recording's file: a folder a day, in UTC; again tells it from
// another of the same day.
func (c *recording) place(dir string, now time.Time, again string) string {
	if d := c.grant.Record.Dir; d != "" {
		dir = d
	}
	ending := ".cast.zst"
	if len(c.grant.Record.Recipients) > 0 {
		ending = ".cast.age"
	}
	return filepath.Join(dir, now.UTC().Format("2006/01/02"), c.id+again+ending)
}

func (c *recording) create(open shell.OpenRequest) (*record.Writer, error) {
	g := &c.grant
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	if t := open.Terminal; t != nil {
		o.Cols, o.Rows, o.Term = int(t.Cols), int(t.Rows), t.Term
	}
	h := record.Header{
		Session: c.id, Operation: g.Operation, Host: c.of.host, Source: g.Source, Subject: g.Subject, Key: g.Key,
		User: g.Credential.User, Command: open.Command, Argv: g.Argv, Terminal: open.Terminal != nil,
		Input: g.Record.Input, Sampled: g.Record.Sample > 0, Recipients: g.Record.Recipients, Labels: g.Labels,
		Started: time.Now().UTC(),
	}
	if h.Operation == "" {
		h.Operation = c.id
	}
	if c.remote.IsValid() {
		h.Remote = c.remote.Unmap().String()
	}
	return record.Create(c.path, h, c.of.sealer, o)
}

func (c *recording) options() (o record.Options, err error) {
	if o.Recipients, err = record.ParseRecipients(c.grant.Record.Recipients); err != nil {
		return o, err
	}
	source := c.grant.Source
	o.Wrote = func(n int) {
		c.of.observe(shell.Event{Kind: shell.EventSegment, Time: time.Now(), Source: source, Output: uint64(n)})
	}
	return o, nil
}

// Tap implements [broker.Recording].
func (c *recording) Tap() *shell.TapOptions {
	if c.writer == nil {
		return nil
	}
	return &shell.TapOptions{Hold: c.grant.Record.Required, Input: c.grant.Record.Input}
}

// Follow implements [broker.Recording].
func (c *recording) Follow(s *shell.Session) {
	c.session = s
	if c.writer == nil {
		s.Notify(unrecordedNotice("this session is not recorded", c.failed))
		return
	}
	r := c.of
	r.mu.Lock()
	r.live[c.id] = c
	c.run = record.Follow(c.writer, s.Tap(), record.RecorderOptions{Sample: c.grant.Record.Sample, Ended: c.ended})
	r.mu.Unlock()
	c.observe(shell.EventRecording, shell.Detail{Recording: c.path}, nil)
}

// Discard implements [broker.Recording].
func (c *recording) Discard() {
	if c.writer == nil {
		return
	}
	c.writer.Abandon()
	if err := os.Remove(c.path); err != nil {
		c.of.log.Warn("the recording of a session that did not start is left", "err", err)
	}
}

// ended is called when nothing is recorded any more.
func (c *recording) ended(end record.Result) {
	r := c.of
	r.mu.Lock()
	delete(r.live, c.id)
	r.mu.Unlock()
	if end.Err != nil {
		c.tell(end.Err, true)
		c.giveUp(end.Err)
		return
	}
	c.observe(shell.EventRecorded, shell.Detail{
		Recording: c.path, Sealed: base64.RawURLEncoding.EncodeToString(end.Link.Sum[:]),
	}, nil)
}

// giveUp does what the source says of a session that is not recorded any more.
func (c *recording) giveUp(err error) {
	if !c.grant.Record.Required {
		c.session.Notify(unrecordedNotice("this session is not recorded any more", err))
		return
	}
	c.session.Notify(unrecordedNotice("this session ends, because it has to be recorded", err))
	c.session.Cut("recording failed: " + plainCause(err))
}

// tell logs a failure and counts it; begun says that there was a recording.
func (c *recording) tell(err error, begun bool) {
	g := &c.grant
	c.of.log.Error("a session cannot be recorded", "session", c.id, "source", g.Source, "subject", g.Subject, "key", g.Key,
		"file", c.path, "required", g.Record.Required, "err", err)
	d := shell.Detail{Recording: c.path}
	if g.Record.Required {
		d.Why = "required"
	}
	if begun {
		c.observe(shell.EventRecordingFailed, d, err, 1)
	} else {
		c.observe(shell.EventRecordingFailed, d, err)
	}
}

func (c *recording) observe(kind shell.EventKind, d shell.Detail, err error, count ...uint64) {
	g := &c.grant
	e := shell.Event{
		Kind: kind, Time: time.Now(), Session: c.id, Source: g.Source, Subject: g.Subject, Key: g.Key,
		User: g.Credential.User, UID: g.Credential.UID, Remote: c.remote, Err: err, Detail: &d,
	}
	for _, n := range count {
		e.Count += n
	}
	c.of.observe(e)
}

func unrecordedNotice(what string, err error) shell.Notice {
	return shell.Notice{Code: "recording", Text: what + ": " + plainCause(err)}
}

// plainCause is an error without the host's paths.
func plainCause(err error) string {
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number.Error()
	case errors.Is(err, fs.ErrExist):
		return "there is one already"
	}
	return "the agent's log says why"
}

// wait waits until all that is being recorded is written, within bounds.
func (r *recordings) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	for _, c := range r.all() {
		select {
		case <-c.run.Done():
		case <-ctx.Done():
			r.log.Warn("a recording was not written to its end", "session", c.id, "file", c.path)
		}
	}
}

func (r *recordings) all() (list []*recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.live {
		list = append(list, c)
	}
	return list
}
