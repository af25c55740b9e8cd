package main

import (
	"bytes"
	"path/filepath"
	"time"

	"shellagent/bench/measure"
	"shellagent/bench/peers"
	"shellagent/internal/longline"
)

// Contestants as the lines of the table name them.
const (
	ours     = "ours"
	oursCLI  = "ours (agent-cli)"
	openssh  = "openssh"
	opensshG = "openssh aes128-gcm"
	raised   = "openssh (raised limits)"
	dropbear = "dropbear"
	local    = "two local ptys"
)

const aes128 = "aes128-gcm@openssh.com"

// all is everybody with the same ask.
func (s *scene) all(a peers.Ask) []measure.Contestant {
	return []measure.Contestant{
		{Name: ours, Peer: s.ours, Ask: a}, {Name: oursCLI, Peer: s.oursCLI, Ask: a}, {Name: openssh, Peer: s.ssh, Ask: a},
		{Name: dropbear, Peer: s.dropbear, Ask: a}, {Name: local, Peer: s.local, Ask: a},
	}
}

// two are this agent and OpenSSH with the same ask.
func (s *scene) two(a peers.Ask) []measure.Contestant {
	return []measure.Contestant{{Name: ours, Peer: s.ours, Ask: a}, {Name: openssh, Peer: s.ssh, Ask: a}}
}

// ciphers are the same two, and OpenSSH with its quickest cipher.
func (s *scene) ciphers(a peers.Ask) []measure.Contestant {
	quick := a
	quick.Cipher = aes128
	return append(s.two(a), measure.Contestant{Name: opensshG, Peer: s.ssh, Ask: quick})
}

// experiments are all that can be run, in the order of the report.
func (s *scene) experiments() []measure.Experiment {
	long := make([]measure.Experiment, 0, 25)
	long = append(long, s.starting()...)
	long = append(long, s.typing()...)
	long = append(long, s.output()...)
	long = append(long, s.recording()...)
	long = append(long, s.transfers("", nil)...)
	long = append(long, s.transfers(" at 50 ms", s.long)...)
	return append(long, s.crowds()...)
}

func (s *scene) starting() []measure.Experiment {
	n := s.size.rounds
	return []measure.Experiment{
		{Name: "prompt", Rounds: 2 * n, Limit: 30 * time.Second, Contestants: s.all(peers.Ask{}), Turn: measure.Prompt},
		{Name: "exec true", Rounds: 2 * n, Limit: 30 * time.Second, Contestants: s.all(peers.Ask{Command: "true"}), Turn: measure.Whole},
		{Name: "prompt shared", Rounds: 2 * n, Limit: 30 * time.Second, Contestants: s.shared(peers.Ask{}), Turn: measure.Prompt},
		{Name: "exec true shared", Rounds: 2 * n, Limit: 30 * time.Second, Contestants: s.shared(peers.Ask{Command: "true"}), Turn: measure.Whole},
		{Name: "exec true shared at 50 ms", Rounds: n, Limit: 30 * time.Second, Contestants: s.sharedFar(), Turn: measure.Whole},
		{Name: "prompt at 50 ms", Rounds: n, Limit: 30 * time.Second, Contestants: s.all(peers.Ask{Line: s.long}), Turn: measure.Prompt},
	}
}

// shared are both clients and OpenSSH's over a connection that is there.
func (s *scene) shared(a peers.Ask) []measure.Contestant {
	a.Shared = true
	return []measure.Contestant{
		{Name: ours, Peer: s.ours, Ask: a}, {Name: oursCLI, Peer: s.oursCLI, Ask: a}, {Name: openssh, Peer: s.ssh, Ask: a},
	}
}

// sharedFar are both clients over a connection that is there, at a distance.
// OpenSSH's master is of the near address.
func (s *scene) sharedFar() []measure.Contestant {
	a := peers.Ask{Command: "true", Shared: true, Line: s.long}
	return []measure.Contestant{{Name: ours, Peer: s.ours, Ask: a}, {Name: oursCLI, Peer: s.oursCLI, Ask: a}}
}

func (s *scene) typing() []measure.Experiment {
	quick := measure.Typing{Keys: s.size.keys, From: 3 * time.Millisecond, To: 20 * time.Millisecond}
	human := measure.Typing{Keys: s.size.keys / 2, From: 40 * time.Millisecond, To: 160 * time.Millisecond}
	plain := peers.Ask{Command: measure.EchoCommand, Terminal: true, Cover: "off"}
	cover := peers.Ask{Command: measure.EchoCommand, Terminal: true, Cover: "on"}
	return []measure.Experiment{
		{Name: "echo", Rounds: s.size.rounds/2 + 1, Limit: 2 * time.Minute, Contestants: s.all(plain), Turn: quick.Echo},
		{Name: "echo under cover", Rounds: s.size.rounds/2 + 1, Limit: 4 * time.Minute, Contestants: s.two(cover), Turn: human.Echo},
		{
			Name: "ctrl-c at 50 ms", Rounds: s.size.rounds, Limit: time.Minute,
			Contestants: s.two(peers.Ask{Line: s.long}), Turn: measure.Interrupt(s.size.interrupts),
		},
	}
}

func (s *scene) output() []measure.Experiment {
	shown := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }
	screen := measure.Download{Path: s.textFile, Want: shown(s.text), Terminal: true}
	wire := measure.Download{Path: s.textFile + "-wire", Terminal: true}
	if len(s.text) > 0 {
		wire.Want, wire.Wire = shown(s.text[:s.size.wire]), s.wire.Bytes
	}
	packed := peers.Ask{Command: wire.Command(), Terminal: true, Line: s.wire, Compress: true}
	plain := packed
	plain.Compress = false
	return []measure.Experiment{
		{
			Name: "output", Rounds: s.size.rounds, Limit: time.Minute,
			Contestants: s.all(peers.Ask{Command: screen.Command(), Terminal: true}), Turn: screen.Turn,
		},
		{
			Name: "text on the wire", Rounds: 3, Limit: time.Minute,
			Contestants: append(s.two(packed), measure.Contestant{Name: "ours without -C", Peer: s.ours, Ask: plain},
				measure.Contestant{Name: "openssh without -C", Peer: s.ssh, Ask: plain}),
			Turn: wire.Turn,
		},
	}
}

func (s *scene) transfers(name string, line *longline.Line) []measure.Experiment {
	down := measure.Download{Path: s.noiseFile}
	if len(s.noise) > 0 {
		down.Want = s.noise[:s.size.bulk]
	}
	up := measure.Upload{Path: filepath.Join(filepath.Dir(s.noiseFile), "up"), Size: s.size.bulk, Data: s.noise}
	rounds := s.size.rounds
	if line != nil {
		rounds = rounds/2 + 1
	}
	experiment := func(what, command string) measure.Experiment {
		return measure.Experiment{
			Name: what + name, Rounds: rounds, Limit: 2 * time.Minute,
			Contestants: s.ciphers(peers.Ask{Command: command, Line: line}),
		}
	}
	downs, ups := experiment("down", down.Command()), experiment("up", up.Command())
	downs.Turn, ups.Turn = down.Turn, up.Turn
	return []measure.Experiment{downs, ups}
}

func (s *scene) crowds() []measure.Experiment {
	idle := measure.Idle{Sessions: s.size.sessions, Settle: s.size.settle}
	crowd := peers.Ask{Command: "true"}
	return []measure.Experiment{
		{
			Name: "idle memory", Rounds: max(1, s.size.rounds/5), Limit: 5 * time.Minute,
			Contestants: []measure.Contestant{
				{Name: ours, Peer: s.oursIdle, Ask: peers.Ask{Many: true}}, {Name: openssh, Peer: s.ssh, Ask: peers.Ask{Many: true}},
			},
			Turn: idle.Turn,
		},
		{
			Name: "crowd", Rounds: s.size.rounds, Limit: time.Minute,
			Contestants: append(s.two(crowd), measure.Contestant{Name: raised, Peer: s.sshRaised, Ask: crowd}),
			Turn:        measure.Crowd(s.size.crowd),
		},
	}
}
