package sink

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/audit"
)

// journaldSender speaks journald's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram for each event, with
// its fields, and the line itself as SHELLAGENT_LINE.
type journaldSender struct {
	address string
	timeout time.Duration
	conn    *net.UnixConn
}

func (s *journaldSender) send(ctx context.Context, lines []audit.Entry) (out outcome, err error) {
	if s.conn == nil {
		s.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.address, Net: "unixgram"})
		if err != nil {
			return out, err
		}
	}
	for _, l := range lines {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if err := s.datagram(journalFields(l)); err != nil {
			s.close()
			return out, err
		}
		out.done++
	}
	return out, nil
}

func (s *journaldSender) datagram(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	if !errors.Is(err, unix.EMSGSIZE) && !errors.Is(err, unix.ENOBUFS) {
		return err
	}
	return s.passFile(b)
}

// passFile hands over what is too long for a datagram: a sealed memory file
// whose descriptor is sent with an empty one.
func (s *journaldSender) passFile(b []byte) error {
	fd, err := unix.MemfdCreate("shellagent-audit", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for rest := b; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	raw, err := s.conn.SyscallConn() // package net sends no descriptors over a connected one
	if err != nil {
		return err
	}
	var sent error
	err = raw.Write(func(socket uintptr) bool {
		sent = unix.Sendmsg(int(socket), nil, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		return !errors.Is(sent, unix.EAGAIN)
	})
	return errors.Join(err, sent)
}

func (s *journaldSender) close() {
	if s.conn != nil {
		_ = s.conn.Close() // datagrams are gone or were refused
		s.conn = nil
	}
}

// journalFields is an event in the native protocol.
func journalFields(l audit.Entry) []byte {
	e := &l.Event
	var b bytes.Buffer
	field := func(name, value string) {
		if value == "" {
			return
		}
		b.WriteString(name)
		if strings.ContainsRune(value, '\n') {
			b.WriteByte('\n')
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(value)))
			b.WriteString(value + "\n")
			return
		}
		b.WriteString("=" + value + "\n")
	}
	field("MESSAGE", e.String())
	field("PRIORITY", strconv.Itoa(severity(e.Kind)))
	field("SYSLOG_IDENTIFIER", "shellagent")
	field("SYSLOG_FACILITY", strconv.Itoa(facilities["authpriv"]))
	field("SYSLOG_TIMESTAMP", e.Time.Format(time.RFC3339Nano))
	for _, f := range [][2]string{
		{"EVENT", string(e.Kind)}, {"SESSION", e.Session}, {"OPERATION", e.Operation}, {"SOURCE", e.Source},
		{"SUBJECT", e.Subject}, {"KEY", e.Key}, {"USER", e.User}, {"REMOTE", e.Remote}, {"REASON", e.Reason},
		{"COMMAND", e.Command}, {"NUMBER", strconv.FormatUint(l.Number, 10)}, {"LINE", string(l.Raw)},
	} {
		field("SHELLAGENT_"+f[0], f[1])
	}
	return b.Bytes()
}
