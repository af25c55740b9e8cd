package main

import (
	"bytes"
	"context"
	"path/filepath"
	"time"

	"shellagent/bench/measure"
	"shellagent/bench/peers"
)

// Contestants of the experiments about recording; the one they are held against
// is ours.
const (
	recorded  = "ours, recorded"
	encrypted = "ours, recorded for age"
)

// threefold is this agent with the same ask: not recorded, recorded, and recorded
// for the holder of an age identity.
func (s *scene) threefold(a peers.Ask) []measure.Contestant {
	plain, sealed := a, a
	plain.Recorded, sealed.Recorded = peers.RecordedPlain, peers.RecordedEncrypted
	return []measure.Contestant{
		{Name: ours, Peer: s.ours, Ask: a}, {Name: recorded, Peer: s.ours, Ask: plain}, {Name: encrypted, Peer: s.ours, Ask: sealed},
	}
}

// recording is what recording costs.
func (s *scene) recording() []measure.Experiment {
	n := s.size.rounds
	quick := measure.Typing{Keys: s.size.keys, From: 3 * time.Millisecond, To: 20 * time.Millisecond}
	shown := bytes.ReplaceAll(s.text, []byte("\n"), []byte("\r\n"))
	screen := measure.Download{Path: s.textFile, Want: shown, Terminal: true}
	text := measure.Download{Path: s.textFile + "-bulk", Want: s.bulkText}
	noise := measure.Download{Path: s.noiseFile}
	if len(s.noise) > 0 {
		noise.Want = s.noise[:s.size.bulk]
	}
	up := measure.Upload{Path: filepath.Join(filepath.Dir(s.noiseFile), "up"), Size: s.size.bulk, Data: s.noise}
	type turn = func(context.Context, measure.Subject, int) (measure.Values, error)
	experiment := func(name string, rounds int, a peers.Ask, t turn) measure.Experiment {
		return measure.Experiment{
			Name: name, Rounds: rounds, Limit: 2 * time.Minute, Contestants: s.threefold(a),
			Turn: func(ctx context.Context, subject measure.Subject, round int) (measure.Values, error) {
				defer s.ours.Forget()
				return t(ctx, subject, round)
			},
		}
	}
	return []measure.Experiment{
		experiment("recorded echo", n, peers.Ask{Command: measure.EchoCommand, Terminal: true, Cover: "off"}, quick.Echo),
		experiment("recorded output", n, peers.Ask{Command: screen.Command(), Terminal: true}, screen.Turn),
		experiment("recorded text", n, peers.Ask{Command: text.Command()}, text.Turn),
		experiment("recorded down", n, peers.Ask{Command: noise.Command()}, noise.Turn),
		experiment("recorded down at 50 ms", n/2+1, peers.Ask{Command: noise.Command(), Line: s.long}, noise.Turn),
		experiment("recorded up", n, peers.Ask{Command: up.Command()}, up.Turn),
	}
}
