package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// restic's own SFTP client speaks to the agent's server, through the link named
// ssh and through the command that it is told.
func TestSSHRestic(t *testing.T) {
	need(t, "restic")
	u := newSSHUser(t, nil)
	remote, local := u.remoteDir(), t.TempDir()
	from := filepath.Join(local, "from")
	writeFiles(t, from, 1000)
	writeLarge(t, filepath.Join(from, "large"), 16)
	u.env = append(u.env, "RESTIC_PASSWORD=secret", "RESTIC_CACHE_DIR="+filepath.Join(local, "cache"))
	for _, c := range []struct {
		name string
		args []string
	}{
		{"link", []string{"-r", "sftp:debug@myhost:" + remote + "/link"}},
		{"uri", []string{"-r", "sftp://debug@myhost/" + remote + "/uri"}},
		{"command", []string{"-r", "sftp:myhost:" + remote + "/command", "-o", "sftp.command=" + agentBin + " ssh myhost -s sftp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			restic := func(args ...string) string {
				t.Helper()
				return u.must(append(append([]string{"restic"}, c.args...), args...)...)
			}
			restic("init")
			restic("backup", from)
			u.must("sh", "-c", "echo changed >"+from+"/0/0")
			restic("backup", from)
			restic("check", "--read-data")
			if list := restic("snapshots", "--compact"); !strings.Contains(list, "2 snapshots") {
				t.Errorf("snapshots: %s", list)
			}
			restic("forget", "--keep-last", "1", "--prune")
			back := filepath.Join(local, "back-"+c.name)
			restic("restore", "latest", "--target", back)
			u.must("diff", "-r", from, back+from)
		})
	}
}
