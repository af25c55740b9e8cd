package audit

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reserve is what the trail leaves free of a file system, in bytes: an agent
// whose disk is full still starts, notes sessions and takes over from itself.
const reserve = 64 << 10

var errRoom = errors.New("the file system is full but for what the agent's own state needs")

// checkRoom is an error when the trail shall not grow.
func checkRoom(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil // opening the trail says what is wrong with it
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree // root's reserved blocks among them
	}
	if st.Blocks > 0 && blocks < uint64(reserve/max(st.Bsize, 1)) {
		return fmt.Errorf("audit trail: %w: %d bytes are left", errRoom, int64(blocks)*st.Bsize)
	}
	return nil
}
