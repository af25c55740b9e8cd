package record

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A segment has one of two forms. Usually it is the lines of an asciicast,
// compressed. To quote and compress takes longer than to show the same, though,
// so what is much in a short time, or does not become smaller, is kept as its
// events: a skippable frame, behind which a line says to zstd's readers what
// they do not see. What becomes very small is compressed in any case, which is
// then quick.
const (
	// Up to linesBurst bytes, and linesRate more in each second, are made lines.
	linesBurst = 1 << 20
	linesRate  = 1 << 20 // a second

	// Of segments larger than sampledFrom a part is compressed to see what that
	// would be good for.
	sampledFrom = 64 << 10
	sampleSize  = 8 << 10

	// Forms of a flood's events.
	floodPlain  = 0
	floodPacked = 1

	maxMicroseconds = 1<<53 - 1
)

// allowance is how much may still be made lines.
type allowance struct {
	spent int // of linesBurst
	at    time.Duration
}

// grants says whether n bytes of events at a time may be made lines, and counts
// them if so.
func (a *allowance) grants(n int, at time.Duration) bool {
	if passed := at - a.at; passed > 0 {
		a.spent = int(max(0, int64(a.spent)-int64(min(passed, time.Minute))*linesRate/int64(time.Second)))
		a.at = at
	}
	if a.spent+n > linesBurst {
		return false
	}
	a.spent += n
	return true
}

// flood says whether events are to be kept as such, and whether to compress
// them then.
func (a *allowance) flood(p *press, events []byte, at time.Duration) (flood, pack bool) {
	if len(events) <= sampledFrom {
		return false, false
	}
	middle := (len(events) - sampleSize) / 2
	p.packed = p.pack(p.packed[:0], events[middle:middle+sampleSize])
	switch {
	case len(p.packed) > sampleSize*15/16:
		return true, false
	case a.grants(len(events), at):
		return false, false
	}
	return true, len(p.packed) < sampleSize/16
}

// appendLines appends the lines of asciicast that events stand for.
func appendLines(b, events []byte) ([]byte, error) {
	for len(events) > 0 {
		if len(events) < eventHead {
			return nil, fmt.Errorf("%w: an event without its head", ErrFormat)
		}
		code, us, n := events[0], binary.BigEndian.Uint64(events[1:]), int64(binary.BigEndian.Uint32(events[9:]))
		events = events[eventHead:]
		switch {
		case !plain[code]:
			return nil, fmt.Errorf("%w: an event of the kind %#x", ErrFormat, code)
		case us > maxMicroseconds:
			return nil, fmt.Errorf("%w: an event %d µs after the start", ErrFormat, us)
		case n > int64(len(events)):
			return nil, fmt.Errorf("%w: an event of %d bytes, of which %d are there", ErrFormat, n, len(events))
		case int64(len(b))+6*n > maxLines: // "\u0000"
			return nil, fmt.Errorf("%w: a segment of more than %d bytes of lines", ErrFormat, maxLines)
		}
		b = appendEvent(b, time.Duration(us)*time.Microsecond, code, events[:n])
		events = events[n:]
	}
	return b, nil
}

// finishFlood makes what b has behind frontSize bytes a flood's frame, and
// appends what zstd's readers see of its size bytes.
func finishFlood(b []byte, form byte, at time.Duration, size int) []byte {
	head := b[frontFree:]
	binary.LittleEndian.PutUint32(head, magicFlood)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(b)-frontSize+1))
	head[frameHeader] = form
	var line [128]byte
	text := appendEvent(line[:0], at, 'm', fmt.Appendf(nil, "a flood of %d bytes: agent export shows it", size))
	// A frame with one block, as it is (RFC 8878 §3.1.1).
	b = append(b, 0x28, 0xB5, 0x2F, 0xFD, 0x20, byte(len(text)))
	b = append(b, 1|byte(len(text))<<3, byte(len(text)>>5), 0)
	return append(b, text...)
}

// floodLines are the lines of a flood's frame.
func floodLines(frame []byte) ([]byte, error) {
	n := int64(binary.LittleEndian.Uint32(frame[4:]))
	if frame = frame[frameHeader:]; n < 1 || n > int64(len(frame)) {
		return nil, fmt.Errorf("%w: a flood of %d bytes in a frame of %d", ErrFormat, n, len(frame))
	}
	form, events := frame[0], frame[1:n]
	switch form {
	case floodPlain:
	case floodPacked:
		var err error
		if events, err = unpack(events); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%w: a flood of the form %d", ErrFormat, form)
	}
	return appendLines(nil, events)
}
