package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"shellagent/bench/peers"
	"shellagent/bench/report"
	"shellagent/internal/longline"
)

// scene is everything that the experiments run against.
type scene struct {
	site *peers.Site
	// long has a round trip of 50 ms; wire has none to speak of and counts.
	long, wire    *longline.Line
	ours, oursCLI *peers.Ours
	// Another agent, which has done nothing else when its memory is taken.
	oursIdle, laptopIdle *peers.Ours
	ssh, sshRaised       *peers.OpenSSH
	dropbear             *peers.Dropbear
	local                *peers.Local
	size                 sizes
	noise                []byte // random, for transfers
	noiseFile            string
	text                 []byte // what terminals show
	textFile             string
	bulkText             []byte  // the same, as much of it as of noise
	load                 float64 // of the machine, before anything was started
}

const roundTrip = 50 * time.Millisecond

// sizes are how much of everything is done.
type sizes struct {
	rounds, keys       int
	bulk, text, wire   int // bytes
	sessions, crowd    int
	settle, interrupts time.Duration
}

var (
	full  = sizes{15, 300, 256 << 20, 32 << 20, 2 << 20, 200, 100, 10 * time.Second, 2 * time.Second}
	quick = sizes{5, 100, 64 << 20, 16 << 20, 1 << 20, 200, 100, 4 * time.Second, time.Second}
)

// open starts all servers and makes the data. close takes all away.
func open(ctx context.Context, o *options) (*scene, error) {
	s := &scene{size: full}
	if o.quick {
		s.size = quick
	}
	if o.list {
		return s, nil
	}
	if err := s.open(ctx, o); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *scene) open(ctx context.Context, o *options) (err error) {
	s.load = loadAverage()
	if s.site, err = peers.NewSite(peers.Config{Agent: o.agent, Client: o.client, Root: o.peers}); err != nil {
		return err
	}
	if s.long, err = s.site.Line(0, roundTrip/2); err != nil {
		return err
	}
	if s.wire, err = s.site.Line(1, 0); err != nil {
		return err
	}
	s.site.Addresses = []netip.Addr{s.long.Near(), s.wire.Near()}
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.data()
}

func (s *scene) start(ctx context.Context) (err error) {
	if s.ours, s.oursCLI, err = peers.StartOurs(ctx, s.site, "agent"); err != nil {
		return err
	}
	if s.oursIdle, s.laptopIdle, err = peers.StartOurs(ctx, s.site, "idle"); err != nil {
		return err
	}
	if s.ssh, s.sshRaised, err = peers.StartOpenSSH(ctx, s.site); err != nil {
		return err
	}
	if s.dropbear, err = peers.StartDropbear(ctx, s.site); err != nil {
		return err
	}
	s.local, err = peers.NewLocal(s.site)
	return err
}

// data makes what is transferred: noise, which nothing compresses, and text.
func (s *scene) data() error {
	s.noise = make([]byte, s.size.bulk+1<<20)
	if _, err := rand.Read(s.noise); err != nil {
		return err
	}
	s.text = terminalText(s.size.text)
	s.noiseFile, s.textFile = filepath.Join(s.site.Files, "noise"), filepath.Join(s.site.Files, "text")
	if err := os.WriteFile(s.noiseFile, s.noise[:s.size.bulk], 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(s.textFile, s.text, 0o644); err != nil {
		return err
	}
	s.bulkText = terminalText(s.size.bulk)
	if err := os.WriteFile(s.textFile+"-bulk", s.bulkText, 0o644); err != nil {
		return err
	}
	return os.WriteFile(s.textFile+"-wire", s.text[:s.size.wire], 0o644)
}

// terminalText is what a search through this project's sources looks like, with
// colours, over and over.
func terminalText(size int) []byte {
	var once bytes.Buffer
	for _, pattern := range []string{"*.md", "*/*.go", "*/*/*.go"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			number := 0
			for line := range bytes.Lines(content) {
				number++
				fmt.Fprintf(&once, "\x1b[35m%s\x1b[0m:\x1b[32m%d\x1b[0m:%s\n", name, number, bytes.TrimRight(line, "\n"))
			}
		}
	}
	if once.Len() == 0 {
		once.WriteString("no sources here: run bench in the project's directory\n")
	}
	return bytes.Repeat(once.Bytes(), size/once.Len()+1)[:size]
}

// loadAverage returns that of the last minute (proc_loadavg(5)), 0 if unknown.
func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

func (s *scene) close() {
	if s.site != nil {
		s.site.Close()
	}
}

func (s *scene) machine() report.Machine {
	m := report.Machine{Processors: runtime.NumCPU(), Load: s.load, Versions: make(map[string]string)}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = strings.TrimRight(string(name.Release[:]), "\x00")
	}
	if s.site != nil {
		m.Versions["openssh"] = s.ssh.Version()
	}
	return m
}
