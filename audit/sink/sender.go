package sink

import (
	"context"
	"fmt"
	"time"

	"shellagent/audit"
)

// sender delivers to one kind of receiver. It is for one goroutine.
type sender interface {
	// send delivers lines in their order. The first done of them were taken, or
	// are among the rejected, which can never be; the others are for the next
	// call, whether there is an error or not.
	send(ctx context.Context, lines []audit.Entry) (outcome, error)
	close()
}

// outcome is what became of lines.
type outcome struct {
	done     int
	rejected []rejection
}

// rejection is a line that the receiver does not take, whenever it is sent.
type rejection struct {
	index int
	why   string
}

// waitError is a receiver's wish to be left alone for a while.
type waitError struct {
	wait time.Duration
	err  error
}

func (e *waitError) Error() string { return fmt.Sprintf("%v; it asks for %v", e.err, e.wait) }
func (e *waitError) Unwrap() error { return e.err }

func (c Config) newSender() (sender, error) {
	switch c.Type {
	case TypeFile:
		return &fileSender{path: c.Path}, nil
	case TypeJournald:
		return &journaldSender{address: c.Address, timeout: c.Timeout}, nil
	case TypeSyslog:
		return &syslogSender{cfg: c}, nil
	case TypeHTTPS:
		return newHTTPSender(c, c.URL, plainBody{array: c.Format == "json"})
	case TypeElasticsearch:
		return newHTTPSender(c, bulkURL(c.URL), bulkBody{index: c.Index})
	default:
		return nil, fmt.Errorf("%q is no type of sink", c.Type)
	}
}
