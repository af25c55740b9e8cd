package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holds says whether a process has the server's end of a TCP connection open.
func holds(t *testing.T, pid int, client net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	local := fmt.Sprintf(":%04X", client.RemoteAddr().(*net.TCPAddr).Port)
	remote := fmt.Sprintf(":%04X", client.LocalAddr().(*net.TCPAddr).Port)
	inode := ""
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], local) && strings.HasSuffix(f[2], remote) {
			inode = f[9]
		}
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, _ := os.Readlink(f); inode != "" && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// What a scraper sends is never parsed by the process that holds the keys.
func TestBrokerNeverTalksToScrapers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the front's descriptors are nobody else's to see")
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHost(t, func(_ *host, c object) { c["metrics"] = object{"address": address} })
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost:"); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the front to have the connection", func() bool { return holds(t, h.frontPID(), c) })
	if holds(t, h.cmd.Process.Pid, c) {
		t.Error("the broker has a scraper's connection")
	}
	if text := scrape(t, address); !strings.Contains(text, "\nshellagent_build_info{") {
		t.Errorf("the metrics are %.300q", text)
	}
}

// A scraper is never refused: not while the front is started again, and not
// while the agent's program is replaced. What was under way then is cut.
func TestMetricsThroughKillsAndUpgrades(t *testing.T) {
	need(t, "pgrep")
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := upgradable(t, func(_ *host, c object) { c["metrics"] = object{"address": address} })
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	scraped, refused := 0, 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r, _ := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/metrics", nil)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				if errors.Is(err, syscall.ECONNREFUSED) {
					refused++
				}
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK && err == nil {
				scraped++
				if !strings.Contains(string(text), "\nshellagent_upgrades_total ") {
					t.Errorf("half of the metrics: %.200q", text)
				}
			}
		}
	}()
	for i := range 3 {
		old := h.frontPID()
		if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.waitFor("another front", func() bool { pid := h.frontPID(); return pid != 0 && pid != old && h.healthy() })
		h.install(nil)
		h.reload(tookOver)
		if text := scrape(t, address); !strings.Contains(text, fmt.Sprintf("\nshellagent_upgrades_total %d\n", i+1)) {
			t.Errorf("after %d upgrades the metrics say %.200q", i+1, text)
		}
	}
	stop()
	<-done
	if refused > 0 || scraped < 3 {
		t.Errorf("%d scrapes, %d refused", scraped, refused)
	}
}

// An address that cannot be had, or that was changed, is no reason for an agent
// with sessions to end in the middle of an upgrade.
func TestUpgradeKeepsTheMetricsAddress(t *testing.T) {
	address, other := fmt.Sprintf("127.0.0.1:%d", freePort(t)), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := upgradable(t, func(_ *host, c object) {
		c["metrics"] = object{"address": address}
		c["reloadOnChange"] = false
	})
	taken, err := net.Listen("tcp", other)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config, []byte(strings.Replace(string(data), address, other, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.install(nil)
	h.reload(tookOver)
	if text := scrape(t, address); !strings.Contains(text, "\nshellagent_upgrades_total 1\n") {
		t.Errorf("the metrics are %.300q", text)
	}
	if log := h.log.String(); !strings.Contains(log, "takes effect when the agent is restarted") {
		t.Errorf("the log does not say when the address counts:\n%s", tail(log, 1500))
	}
}
