package sources

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/shell"
)

// FileAccess is written as true, false, or an object, which means true.
type FileAccess struct {
	On bool `json:"-"`
	// ReadOnly changes nothing.
	ReadOnly bool `json:"readOnly"`
	// Paths are absolute directories; only what is in or below them is served. Nil
	// means everything that the user may touch.
	Paths []string `json:"paths"`
}

// maxServedPaths bounds the directories of one source.
const maxServedPaths = 64

// UnmarshalJSONFrom reads a boolean or an object.
func (a *FileAccess) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case 't', 'f':
		return json.UnmarshalDecode(d, &a.On)
	case '{':
		type object FileAccess // without this method
		a.On = true
		return json.UnmarshalDecode(d, (*object)(a))
	}
	return errors.New(`sftp is true, false or an object such as {"readOnly": true, "paths": ["/srv"]}`)
}

// files checks and sets what SFTP may do.
func (b *builder) files(s *source, a FileAccess, at func(...string) string) {
	s.files = shell.Files{ReadOnly: a.ReadOnly, Paths: slices.Clone(a.Paths)}
	if a.Paths != nil && len(a.Paths) == 0 {
		b.bad(at("allow", "sftp", "paths"), errors.New("no path is given, so sftp would serve nothing; add one, or write false"))
	}
	if len(a.Paths) > maxServedPaths {
		b.bad(at("allow", "sftp", "paths"), fmt.Errorf("%d paths; at most %d", len(a.Paths), maxServedPaths))
	}
	for i, p := range a.Paths {
		if !path.IsAbs(p) || path.Clean(p) != p || strings.IndexByte(p, 0) >= 0 {
			b.bad(at("allow", "sftp", "paths", strconv.Itoa(i)), fmt.Errorf("%q is not a plain absolute path; write a directory such as %q", p, path.Join("/", path.Clean("/"+p))))
		}
	}
}

// serveFiles grants a subsystem of files. It passes the shell by as a program that is run
// directly does, unless the source names it.
func (d *decision) serveFiles() *shell.Denied {
	if !d.source.servesFiles && !d.request.Again {
		if err := d.shellIsFree(); err != nil {
			denied := shell.Deny(shell.ReasonShell, err)
			denied.Public = `the source's shell may hold its users back, so there is no sftp unless the source allows it by name ("allow": {"sftp": true})`
			return denied
		}
	}
	files := d.source.files
	d.grant.Files = &files
	d.start("", d.request.Open.Subsystem)
	return nil
}

// filesText says what SFTP may do.
func filesText(f shell.Files) string {
	text := "reads and writes files"
	if f.ReadOnly {
		text = "reads files"
	}
	if f.Paths != nil {
		text += " in " + strings.Join(f.Paths, ", ")
	}
	return text
}
