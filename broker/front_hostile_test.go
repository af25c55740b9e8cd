package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/time/rate"

	"shellagent/shell"
)

// waitRestarts waits until n fronts were started.
func waitRestarts(t *testing.T, w *watched, n uint64) {
	t.Helper()
	eventually(t, "the front to be replaced", func() bool { return w.starts.Load() >= n })
}

func TestFrontThatSendsNonsenseIsReplaced(t *testing.T) {
	for name, packet := range map[string]string{
		"unknown kind":      "\xff",
		"a broker's kind":   string([]byte{byte(controlSetup)}) + "{}",
		"over the bound":    string(bytes.Repeat([]byte{byte(controlRefused)}, maxReport+1)),
		"no point":          string([]byte{byte(controlLeafRequest)}) + "abc",
		"point off curve":   string([]byte{byte(controlLeafRequest)}) + "\x04" + string(make([]byte, 64)),
		"unknown reason":    string([]byte{byte(controlRefused), 255, 0, 0, 0, 1, 0}),
		"no refusals":       string([]byte{byte(controlRefused), 0, 0, 0, 0, 0, 0}),
		"truncated refusal": string([]byte{byte(controlRefused), 0, 0}),
		"empty packet":      "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, nil, "packets", hex.EncodeToString([]byte(packet)))
			waitRestarts(t, w, 2)
			if w.refused.Load() != 0 {
				t.Error("nonsense was counted")
			}
		})
	}
}

func TestFrontThatFloodsItsBroker(t *testing.T) {
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := leaf.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, packet := range map[string][]byte{
		"refusals": append([]byte{byte(controlRefused)}, appendRefusals(nil, []refusals{{shell.ReasonOrigin, flooder, 1}})...),
		"leaves":   append([]byte{byte(controlLeafRequest)}, request...),
		"ready":    {byte(controlReady)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var packets []string
			for range 100 {
				packets = append(packets, hex.EncodeToString(packet))
			}
			w := watch(t, nil, "packets", packets...)
			waitRestarts(t, w, 2)
			if n := w.refused.Load(); n > 2*reportBurst+2 {
				t.Errorf("%d refusals were counted", n)
			}
		})
	}
}

func TestFrontThatBreaksItsConnection(t *testing.T) {
	w := watch(t, nil, "nonsense")
	waitRestarts(t, w, 2)
	eventually(t, "the reason in the log", func() bool { return strings.Contains(w.log.String(), "call header of") })
}

func TestFrontThatHoardsConnections(t *testing.T) {
	w := watch(t, func(c *FrontConfig) { c.MaxConns = 20 }, "dials")
	eventually(t, "connections to be taken", func() bool { return len(w.conns) == 20 })
	w.kill9(t)
	eventually(t, "connections to be taken again", func() bool { return len(w.conns) == 20 })
}

func TestFrontThatDoesNotListenToItsBroker(t *testing.T) {
	for _, act := range []string{"mute", "deaf"} {
		t.Run(act, func(t *testing.T) {
			t.Parallel()
			waitRestarts(t, watch(t, nil, act), 2)
		})
	}
}

func TestListenerThatAFrontShutDown(t *testing.T) {
	// Each front finds the socket listening, whatever the one before did.
	w := watch(t, nil, "shutdown")
	eventually(t, "three fronts", func() bool { return w.ready.Load() >= 3 })
}

// FuzzFrontMessage gives the broker arbitrary control messages.
func FuzzFrontMessage(f *testing.F) {
	f.Add([]byte{byte(controlReady)})
	f.Add([]byte{byte(controlDial)})
	f.Add(append([]byte{byte(controlRefused)}, appendRefusals(nil, []refusals{{shell.ReasonOrigin, flooder, 7}})...))
	f.Add([]byte{byte(controlLeafRequest), 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || len(b) > maxReport {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		front := &Front{cfg: FrontConfig{
			Handler: handlerFunc(echo),
			Refused: func(r shell.Reason, _ netip.Addr, n uint64) {
				if r.Refusal().Reason != r || n == 0 {
					t.Errorf("counted %d of %q", n, r)
				}
			},
		}, conns: make(chan struct{}, 1)}
		r := &frontRun{
			front: front, serve: ctx, log: slog.New(slog.DiscardHandler), out: make(chan outgoing, 1),
			leaves: rate.NewLimiter(rate.Inf, 1), reports: rate.NewLimiter(rate.Inf, 1),
			broken: make(chan error, 1), gone: make(chan struct{}),
		}
		_ = r.handle(controlKind(b[0]), b[1:])
		close(r.gone)
		select {
		case o := <-r.out:
			o.close()
		default:
		}
		cancel()
		front.serving.Wait()
	})
}

func FuzzRefusals(f *testing.F) {
	f.Add(appendRefusals(nil, []refusals{{shell.ReasonOrigin, flooder, 7}, {shell.ReasonNoToken, netip.Addr{}, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := decodeRefusals(b)
		if err != nil {
			return
		}
		if again := appendRefusals(nil, all); !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %v, which encodes to %x", b, all, again)
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add(appendList(nil, [][]byte{[]byte("leaf"), []byte("host")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeList(b)
		if err != nil {
			return
		}
		if again := appendList(nil, list); !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %x, which encodes to %x", b, list, again)
		}
	})
}

func TestFrontOutputIsBounded(t *testing.T) {
	var log lockedBuffer
	long := bytes.Repeat([]byte("x"), 3*maxOutputLine)
	out := append(append([]byte("\x1b[31mred\x00\n"), long...), '\n')
	out = append(out, bytes.Repeat([]byte("again\n"), 10000)...)
	relayOutput(io.NopCloser(bytes.NewReader(out)), slog.New(slog.NewTextHandler(&log, nil)))
	got := log.String()
	if n := bytes.Count([]byte(got), []byte("again")); n < 100 || n > 2*outputBurst {
		t.Errorf("%d of 10000 lines were logged", n)
	}
	if len(got) > 100<<10 || bytes.ContainsAny([]byte(got), "\x1b\x00") {
		t.Errorf("%d bytes of log", len(got))
	}
}
