package sink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"shellagent/audit"
)

func TestSyslogMessage(t *testing.T) {
	e := audit.Event{Kind: audit.RequestRefused, Time: time.Date(2030, 1, 2, 3, 4, 5, 60_000_000, time.UTC), Host: "web 1"}
	got := string(appendSyslog(nil, facilities["authpriv"], "7", audit.Entry{Event: e, Raw: []byte(`{"v":1}`)}))
	want := `<85>1 2030-01-02T03:04:05.060000Z web?1 shellagent 7 request.refused [origin software="shellagent"] {"v":1}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// rsyslog is a real one, with its configuration, and where it writes.
type rsyslog struct {
	t       *testing.T
	dir     string
	config  string
	command *exec.Cmd
}

func newRsyslog(t *testing.T, input string) *rsyslog {
	t.Helper()
	r := &rsyslog{t: t, dir: t.TempDir()}
	r.config = filepath.Join(r.dir, "rsyslog.conf")
	text := `global(workDirectory="` + r.dir + `" maxMessageSize="64k" processInternalMessages="off")
template(name="line" type="string" string="%msg:::drop-last-lf%\n")
` + strings.ReplaceAll(input, "DIR", r.dir) + `
action(type="omfile" file="` + r.out() + `" template="line")
`
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	return r
}

func (r *rsyslog) out() string { return filepath.Join(r.dir, "out") }

func (r *rsyslog) start() {
	r.t.Helper()
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		r.t.Fatal("rsyslogd is missing: make test installs it when run as root")
	}
	var out bytes.Buffer
	r.command = exec.Command(program, "-n", "-f", r.config, "-i", filepath.Join(r.dir, "pid"))
	r.command.Stdout, r.command.Stderr = &out, &out
	if err := r.command.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("rsyslogd: %s", out.String())
		}
	})
}

func (r *rsyslog) stop() {
	if r.command != nil {
		_ = r.command.Process.Signal(syscall.SIGTERM)
		_ = r.command.Wait()
		r.command = nil
	}
}

// lines waits for n lines.
func (r *rsyslog) lines(n int) []string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		b, _ := os.ReadFile(r.out())
		if bytes.Count(b, []byte("\n")) >= n {
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			for i := range lines {
				lines[i] = strings.TrimSpace(lines[i])
			}
			return lines
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("%d lines of %d: %s", bytes.Count(b, []byte("\n")), n, b[:min(len(b), 2000)])
		}
	}
}

func TestRsyslog(t *testing.T) {
	for name, c := range map[string]struct {
		input  string
		config Config
		// anew has the receiver end in the middle and come back.
		anew bool
	}{
		"unix": {`module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" socket="DIR/log" useSpecialParser="off")`, Config{Address: "unix:DIR/log"}, true},
		"tcp": {`module(load="imtcp")
input(type="imtcp" port="PORT" address="127.0.0.1")`, Config{Address: "tcp:127.0.0.1:PORT"}, true},
		"tls": {`global(defaultNetstreamDriverCAFile="DIR/cert.pem" defaultNetstreamDriverCertFile="DIR/cert.pem" defaultNetstreamDriverKeyFile="DIR/key.pem")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" port="PORT" address="127.0.0.1")`, Config{
			Address: "tls:localhost:PORT", CAPath: "DIR/cert.pem", CertPath: "DIR/cert.pem", KeyPath: "DIR/key.pem",
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			r := newRsyslog(t, strings.ReplaceAll(c.input, "PORT", port))
			makeCertificate(t, r.dir)
			cfg := c.config
			for _, p := range []*string{&cfg.Address, &cfg.CAPath, &cfg.CertPath, &cfg.KeyPath} {
				*p = strings.NewReplacer("DIR", r.dir, "PORT", port).Replace(*p)
			}
			cfg.Type = TypeSyslog
			tr := newTrail(t, audit.Options{})
			tr.add(0, 30)
			tr.apply(cfg)
			tr.await("failing while there is nobody", func(s State) bool { return s.Failures > 2 })
			r.start()
			tr.awaitAll()
			r.lines(31)
			if c.anew {
				r.stop()
				tr.add(30, 60)
				tr.await("failing again", func(s State) bool { return s.Err != nil })
				r.start()
			} else {
				tr.add(30, 60)
			}
			tr.awaitAll()
			tr.wholeAndInOrder(r.lines(61))
		})
	}
}

// A receiver that takes nothing into its hands is not taken for one that did.
func TestUnreadIsNotTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		first, err := l.Accept()
		if err != nil {
			return
		}
		first.Close() // what was written there is lost
		second, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, second)
	}()
	tr := newTrail(t, audit.Options{})
	tr.apply(Config{Type: TypeSyslog, Address: "tcp:" + l.Addr().String()})
	for i := 0; tr.set.States()[0].Failures == 0 && i < 1000; i++ {
		tr.add(i, i+1)
		tr.await("the next line", func(s State) bool { return s.Failures > 0 || s.Next > tr.Link().N })
	}
	tr.awaitAll()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// makeCertificate makes one that is its own authority, for both sides.
func makeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
