// Package record keeps what a session showed, so that it can be played again and
// proved: an asciicast v2 in a zstd file that is written segment by segment,
// each linked to the one before and sealed (package seal).
//
// A recording is read from the session by a cursor, as a client reads it; it is
// not a second way that output takes. So a disk that stands still stalls a
// session whose recording is required, as a client that stands still would, and
// leaves every other one a gap.
//
// # The file
//
// A recording is a zstd file (RFC 8878): "zstd -dc FILE" prints the asciicast,
// unless it is encrypted, with a mark in the place of each part of a flood. What
// is ours are skippable frames, which zstd passes over:
//
//	0x184D2A5C  a flood, followed by a zstd frame with the line that marks it
//	0x184D2A5D  once, first: the header, JSON
//	0x184D2A5E  before every segment: its head, 85 bytes
//	0x184D2A5F  a segment that is encrypted with age, instead of a zstd frame
//
// A segment is one frame with whole lines of asciicast, or a flood: more than
// 64 KiB of events as they came, each a code (1 byte), the time in microseconds (8
// bytes, big endian), the length (4) and the data. A flood's first byte says
// whether they are packed (1: a zstd frame) or not (0). Floods are what does not
// become smaller, and what is more than 1 MiB at once and 1 MiB a second: to
// quote and compress that would take longer than to show it, and only [Export]
// makes lines of it.
//
// The head that precedes
// it has, big endian, the number from 1 (8 bytes), when it was closed in
// milliseconds after the session's start (8), flags (1; bit 0: nothing follows),
// the length of the frame (4), and the signature (64) of the link of the chain
// that the frame's bytes and then the head's first 21 make. The chain begins
// with the header's bytes.
//
// Lines have asciicast's event codes: o is output, i input, r a new size, m a
// mark, x the exit. Output of stderr of a session without a terminal is e, which
// players pass over; [Export] makes it o.
package record
