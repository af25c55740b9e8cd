//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The environment: the broker is told of a file, the front, which may not open
// any, gets what the file said.
const (
	fileVariable = "SHELLAGENT_FAILPOINT"
	planVariable = "SHELLAGENT_FAILPOINT_PLAN"
)

// plan is what happens at a point, once. As text it is
//
//	POINT OCCURRENCE kill|hang [ABOUT [FILE]]
//
// where only those occurrences count whose about contains ABOUT ("-" for any).
// kill is what kill -9 does to the process. hang has the caller wait until FILE
// exists; in the front, which cannot see that, for ever.
type plan struct {
	point    Point
	left     int
	action   string
	about    string
	released string
}

var (
	mu    sync.Mutex
	armed = inherited()
)

func inherited() *plan {
	if text := os.Getenv(planVariable); text != "" {
		return parse(text)
	}
	return nil
}

func parse(text string) *plan {
	p := &plan{}
	n, _ := fmt.Sscan(text, &p.point, &p.left, &p.action, &p.about, &p.released)
	if n < 3 {
		panic(fmt.Sprintf("failpoint: %q is no plan", text))
	}
	if p.about == "-" {
		p.about = ""
	}
	return p
}

// claim takes the file's text, if it is one for points of this process.
func claim(process string) string {
	name := os.Getenv(fileVariable)
	if name == "" {
		return ""
	}
	text, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(text), process) || os.Remove(name) != nil {
		return ""
	}
	return string(text)
}

// Environ is what the environment of a front that is started now needs. A plan
// is for one front: the next one lives.
func Environ() []string {
	if text := claim("front/"); text != "" {
		return []string{planVariable + "=" + text}
	}
	return nil
}

// Hit says that a point was reached, in what about names.
func Hit(at Point, about string) {
	if p := due(at, about); p != nil {
		fmt.Fprintf(os.Stderr, "failpoint %s reached: %s\n", at, p.action)
		p.act()
	}
}

// due returns the plan whose time has come, once.
func due(at Point, about string) *plan {
	mu.Lock()
	defer mu.Unlock()
	if armed == nil {
		text := claim("broker/")
		if text == "" {
			return nil
		}
		armed = parse(text)
	}
	p := armed
	if p.point != at || !strings.Contains(about, p.about) {
		return nil
	}
	if p.left--; p.left != 0 {
		return nil
	}
	return p
}

func (p *plan) act() {
	if p.action == "kill" {
		// The front may signal its own threads, and no process.
		_, _, _ = syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(syscall.Gettid()), uintptr(syscall.SIGKILL))
	}
	for p.released == "" || !exists(p.released) {
		time.Sleep(5 * time.Millisecond)
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
