package playback

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"

	"shellagent/audit"
	"shellagent/jwtauth"
	"shellagent/record"
)

// trailFiles tells a trail, a folder or one of its files, from a recording.
func trailFiles(path string) (files []string, isTrail bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if info.IsDir() {
		if files, err = audit.Files(path); err == nil && len(files) == 0 {
			err = errors.New("there is no audit trail in this folder")
		}
		return files, true, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	var first [1]byte
	n, _ := f.Read(first[:])
	return []string{path}, n == 1 && first[0] == '{', nil
}

func judgeTrail(files []string, known record.Knower) verdict {
	v := verdict{Version: 1, Trail: true, File: files[0]}
	if len(files) > 1 {
		v.File = filepath.Dir(files[0])
	}
	got, err := audit.Verify(files, func(k jwtauth.PublicKey) error { return known(k) })
	v.Lines, v.Number, v.Started, v.Last = got.Lines, got.Last.N, got.From, got.Until
	if got.Lines > 0 {
		v.Sum = base64.RawURLEncoding.EncodeToString(got.Last.Sum[:])
		v.HostKey = got.HostKey.Thumbprint()
	}
	var d *audit.Damage
	switch {
	case err == nil:
		v.Holds, v.Complete = true, true
	case errors.As(err, &d):
		v.File, v.Line, v.Offset, v.Error = d.File, d.Line, d.Offset, d.Error()
	default:
		v.Error = err.Error()
	}
	return v
}
