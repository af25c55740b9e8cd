package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
)

const oomScoreFile = "/proc/self/oom_score_adj"

// oomScore is held while the agent stands at an ordinary score. It guards what
// the whole process shares, so it is the package's and not a Host's.
var oomScore sync.Mutex

// ordinaryOOMScore is that of a process without protection from the OOM killer.
const ordinaryOOMScore = 0

// atOOMScore runs f, which forks, while the agent's score is at least the given
// one. A child inherits the score at the fork: one that forks at once would
// keep an agent's protection if it were undone only afterwards. Raising it with
// CAP_SYS_RESOURCE also raises the lowest score that the child may choose
// itself (proc(5)). Starts wait for each other only when the agent is protected.
//
// f is not run when the protection cannot be laid down.
func atOOMScore(least int, f func()) error {
	oomScore.Lock()
	score, err := os.ReadFile(oomScoreFile)
	if err != nil {
		oomScore.Unlock()
		return fmt.Errorf("read the agent's OOM score: %w", err)
	}
	score = bytes.TrimSpace(score)
	if n, err := strconv.Atoi(string(score)); err == nil && n >= least {
		oomScore.Unlock()
		f()
		return nil
	}
	defer oomScore.Unlock()
	if err := os.WriteFile(oomScoreFile, []byte(strconv.Itoa(least)), 0); err != nil {
		return fmt.Errorf("lay down the agent's OOM protection for the start: %w", err)
	}
	f()
	if err := os.WriteFile(oomScoreFile, score, 0); err != nil {
		return fmt.Errorf("take up the agent's OOM protection again: %w", err)
	}
	return nil
}
