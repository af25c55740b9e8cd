package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long files must be left alone before they are read again: an
// editor writes a file in several steps.
const settle = 200 * time.Millisecond

// watcher asks for a reload when the process gets SIGHUP or a watched file
// changes.
type watcher struct {
	log   *slog.Logger
	files map[string]bool // watched names; directories stand for all in them
	dirs  map[string]bool // what fsnotify has
	notes *fsnotify.Watcher
}

// watch calls reload for each hup and each change of a file, and what is asked,
// one call at a time, until ctx is done. files tells what is to be watched; it is
// asked again after each element of news.
func watch(ctx context.Context, log *slog.Logger, hup <-chan os.Signal, asked <-chan func(context.Context), files func() []string, news <-chan struct{}, reload func(why string)) error {
	notes, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer notes.Close()
	w := &watcher{log: log, notes: notes, dirs: make(map[string]bool)}
	w.set(files())
	changed := time.NewTimer(time.Hour)
	changed.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			reload(aSignal)
		case ask := <-asked:
			ask(ctx)
		case <-changed.C:
			reload(aFileChange)
		case <-news:
			w.set(files())
		case e := <-notes.Events:
			if w.concerns(e) {
				changed.Reset(settle)
			}
		case err := <-notes.Errors:
			log.Warn("watching the configuration failed; SIGHUP still reloads it", "err", err)
		}
	}
}

// set watches the directories of the files: a file that is replaced by rename
// would be lost otherwise.
func (w *watcher) set(files []string) {
	w.files = make(map[string]bool, len(files))
	for _, f := range files {
		f = filepath.Clean(f)
		w.files[f] = true
		dir := filepath.Dir(f)
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			w.add(f)
		}
		w.add(dir)
	}
}

func (w *watcher) add(dir string) {
	if w.dirs[dir] {
		return
	}
	if err := w.notes.Add(dir); err != nil {
		w.log.Warn("cannot watch a directory of the configuration; SIGHUP still reloads it", "dir", dir, "err", err)
		return
	}
	w.dirs[dir] = true
}

// concerns says whether an event is about a watched file.
func (w *watcher) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		// Reading a file may change its times; its mode matters only at a reload.
		return false
	}
	name := filepath.Clean(e.Name)
	return w.files[name] || w.files[filepath.Dir(name)]
}
