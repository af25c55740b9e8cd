package measure

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"shellagent/bench/cost"
	"shellagent/bench/driver"
)

// block is the unit of sizes: what cat and dd read at once.
const block = 128 << 10

// Download is a file that comes out of the client.
type Download struct {
	// Path is the file at the server.
	Path string
	// Want is what has to arrive; it differs from the file's content where a
	// terminal puts a carriage return before each end of line.
	Want []byte
	// Terminal says that the client has one.
	Terminal bool
	// Wire, when not nil, counts bytes on the way.
	Wire func() int64
}

// Command is what a Download has to be asked with. It waits to be told to begin
// and to end, so that neither set-up nor leaving is in the time.
func (d Download) Command() string {
	quiet := ""
	if d.Terminal {
		quiet = "stty -echo; "
	}
	return quiet + "echo ready; read x; cat " + d.Path + "; read x"
}

// Turn takes the time and the processor time of the transfer.
func (d Download) Turn(ctx context.Context, s Subject, _ int) (Values, error) {
	start, ready := driver.OnPipes, "ready\n"
	if d.Terminal {
		start, ready = driver.OnTerminal, "ready\r\n"
	}
	c, err := start(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Await(ready); err != nil {
		return nil, err
	}
	got := make([]byte, len(d.Want))
	clear(got) // its pages are there before the clock runs
	wire := int64(0)
	if d.Wire != nil {
		wire = d.Wire()
	}
	before, err := meterOf(c, s)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := c.Send([]byte("\n")); err != nil {
		return nil, err
	}
	at, err := c.Fill(got)
	if err != nil {
		return nil, err
	}
	used, err := before.used()
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(got) != sha256.Sum256(d.Want) {
		return nil, errors.New("what arrived is not what was sent: its SHA-256 differs")
	}
	values := rates(len(d.Want), at.Sub(began), used)
	if d.Wire != nil {
		values["wire KiB"] = float64(d.Wire()-wire) / 1024
	}
	if err := c.Send([]byte("\n")); err != nil {
		return nil, err
	}
	_, err = c.Wait()
	return values, err
}

// Upload is data that goes into the client.
type Upload struct {
	// Path is the file at the server that it is written to.
	Path string
	// Size is how much, in bytes: a multiple of 128 KiB.
	Size int
	// Data is what the transfers are cut from: Size bytes and some more, since no
	// two send the same.
	Data []byte
}

// Command is what an Upload has to be asked with. The file keeps its pages from
// one transfer to the next.
func (u Upload) Command() string {
	return fmt.Sprintf("echo ready; dd iflag=fullblock bs=%d count=%d conv=notrunc of=%s 2>/dev/null; echo done; read x", block, u.Size/block, u.Path)
}

// Turn takes the time and the processor time of the transfer, until the server
// has said that all of it is there.
func (u Upload) Turn(ctx context.Context, s Subject, round int) (Values, error) {
	from := (round * 4099) % (len(u.Data) - u.Size + 1)
	data := u.Data[from : from+u.Size]
	c, err := driver.OnPipes(ctx, s.Command)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Await("ready\n"); err != nil {
		return nil, err
	}
	before, err := meterOf(c, s)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- c.Send(data) }()
	at, err := c.Await("done\n")
	if err != nil {
		c.Close()
		<-sent
		return nil, err
	}
	used, err := before.used()
	if err := errors.Join(err, <-sent); err != nil {
		return nil, err
	}
	if err := sameAs(u.Path, data); err != nil {
		return nil, err
	}
	if err := c.Send([]byte("\n")); err != nil {
		return nil, err
	}
	_, err = c.Wait()
	return rates(u.Size, at.Sub(began), used), err
}

func sameAs(path string, data []byte) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if [sha256.Size]byte(sum.Sum(nil)) != sha256.Sum256(data) {
		return errors.New("what arrived is not what was sent: its SHA-256 differs")
	}
	return nil
}

// both meters the client and the server, not what the user runs.
type both struct{ client, server cost.Meter }

func meterOf(c *driver.Client, s Subject) (both, error) {
	server, err := serverMeter(s)
	if err != nil {
		return both{}, err
	}
	client, err := cost.NewMeter(c.PID())
	return both{client, server}, err
}

func serverMeter(s Subject) (cost.Meter, error) {
	pids, err := s.Servers()
	if err != nil {
		return nil, err
	}
	return cost.NewMeter(pids...)
}

// spent is processor time.
type spent struct{ client, server time.Duration }

func (b both) used() (spent, error) {
	client, err := b.client.Used()
	if err != nil {
		return spent{}, err
	}
	server, err := b.server.Used()
	return spent{client, server}, err
}

func rates(size int, took time.Duration, used spent) Values {
	gb := float64(size) / 1e9
	return Values{
		"MB/s":            float64(size) / 1e6 / took.Seconds(),
		"CPU s/GB":        (used.client + used.server).Seconds() / gb,
		"server CPU s/GB": used.server.Seconds() / gb,
	}
}
