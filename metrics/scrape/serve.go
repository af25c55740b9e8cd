// Package scrape serves metrics over HTTP, on a listener of their own. It knows
// only the text, so that it can be served by a process that counts nothing and
// may do nothing: the front.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of the listener. Each connection carries one request, so that none
// outlives its timeouts.
const (
	// MaxConnections is how many connections are served at a time; others wait.
	MaxConnections = 32
	maxScrapes     = 4 // at a time; more are told to come again
	maxHeader      = 8 << 10
	readTimeout    = 5 * time.Second
	writeTimeout   = 15 * time.Second
	stopGrace      = time.Second
)

// contentType is the Prometheus text format, which the text must be in.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Handler serves what text returns, which must be in the Prometheus text
// format, at /metrics for GET and HEAD, and nothing else. It asks for at most
// four texts at a time and answers 503 to more.
func Handler(text func(context.Context) ([]byte, error), log *slog.Logger) http.Handler {
	slots := make(chan struct{}, maxScrapes)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, "too many scrapes at a time: try again", http.StatusServiceUnavailable)
			return
		}
		body, err := text(r.Context())
		if err != nil {
			log.Error("metrics cannot be told", "err", err)
			http.Error(w, "metrics cannot be told; the agent's log says why", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body) // a scraper that left is no concern of ours
	})
	return mux
}

// Serve serves [Handler] on l until ctx is done, and closes l. It returns nil
// then, or the error that ended it. The listener needs no
// credentials: bind it to a loopback or otherwise private address.
func Serve(ctx context.Context, l net.Listener, text func(context.Context) ([]byte, error), log *slog.Logger) error {
	server := &http.Server{
		Handler:           Handler(text, log),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(l, MaxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("metrics listener %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics listener %s: %w", l.Addr(), err)
	}
	return nil
}
