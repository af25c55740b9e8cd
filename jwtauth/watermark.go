package jwtauth

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	watermarkFile = "token-watermark"
	// reservation is how far the file is written ahead. It is renewed when
	// half of it is left, so it is written every 5 s at most.
	reservation = NumericDate(10_000)
	renewal     = reservation / 2
)

// watermark is a moment on disk, later than the iat of every token that was
// ever taken by time: milliseconds since 1970 in decimal. It is written before
// the tokens it covers are taken, so that a crash leaves none uncovered.
type watermark struct {
	path    string
	floor   NumericDate
	log     *slog.Logger
	covered atomic.Int64 // what the file says; 0 when closed

	mu     sync.Mutex // held while writing
	closed bool
	retry  time.Duration // after a failure: when to try again
}

// openWatermark returns the watermark and the floor for tokens: the later of
// start and what the file says.
func openWatermark(dir string, start NumericDate, log *slog.Logger) (*watermark, NumericDate, error) {
	w := &watermark{path: filepath.Join(dir, watermarkFile), log: log}
	old, err := w.read()
	if err != nil {
		return nil, 0, err
	}
	w.floor = max(start, old)
	if err := w.reserve(start); err != nil {
		return nil, 0, err
	}
	return w, w.floor, nil
}

// read returns 0 when there is no file yet.
func (w *watermark) read() (NumericDate, error) {
	f, err := os.Open(w.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("watermark: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0, fmt.Errorf("watermark: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(string(data), "\n"), 10, 64)
	if err != nil || n < 0 || NumericDate(n) > maxDate {
		return 0, fmt.Errorf("watermark %s is damaged: without it, tokens of the last seconds could be replayed; wait 10 s and remove it", w.path)
	}
	return NumericDate(n), nil
}

// cover says whether the file stands above a token issued at that moment, and
// moves it when it must or soon will have to.
func (w *watermark) cover(issued, now NumericDate, elapsed time.Duration) bool {
	covered := NumericDate(w.covered.Load())
	if issued < covered {
		if covered-now < renewal && w.mu.TryLock() {
			w.renew(now, elapsed)
			w.mu.Unlock()
		}
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if issued >= NumericDate(w.covered.Load()) {
		w.renew(now, elapsed)
	}
	return issued < NumericDate(w.covered.Load())
}

// renew is called with the lock held.
func (w *watermark) renew(now NumericDate, elapsed time.Duration) {
	if w.closed || elapsed < w.retry {
		return
	}
	if err := w.reserve(now); err != nil {
		w.retry = elapsed + time.Duration(renewal)*time.Millisecond
		w.log.Error("the watermark cannot be written: every open takes a second round trip until it can", "error", err)
	}
}

func (w *watermark) reserve(now NumericDate) error {
	mark := max(w.floor, now+reservation)
	if err := w.write(mark); err != nil {
		return err
	}
	w.covered.Store(int64(mark))
	return nil
}

// close ends the covering of tokens.
func (w *watermark) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.covered.Store(0)
}

// write replaces the file so that a crash leaves the old or the new one.
func (w *watermark) write(mark NumericDate) error {
	err := replaceFile(w.path, []byte(strconv.FormatInt(int64(mark), 10)+"\n"))
	if err != nil {
		return fmt.Errorf("watermark: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
