//go:build linux

package sandbox

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Config says what is left to the process.
type Config struct {
	// NoFile is the limit of open files; 0 leaves it as it is.
	NoFile uint64
}

// Report says what [Apply] could do on this host.
type Report struct {
	// Landlock is the kernel's Landlock ABI version; 0: it has none, and seccomp
	// alone keeps the process from files and connections.
	Landlock int
	// BoundingSetKept says that the capability bounding set could not be emptied,
	// which takes CAP_SETPCAP. With no_new_privs it is of no use to anybody.
	BoundingSetKept bool
}

// LogValue implements [slog.LogValuer].
func (r Report) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("landlockABI", r.Landlock), slog.Bool("boundingSetKept", r.BoundingSetKept))
}

// Apply confines the whole process, all its threads, for good. When it returns
// an error the process may be half confined, and must not go on: every fence
// but Landlock, which older kernels do not have, is required.
func Apply(cfg Config) (Report, error) {
	var report Report
	if err := limitResources(cfg.NoFile); err != nil {
		return report, err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return report, fmt.Errorf("sandbox: not dumpable: %w", err)
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return report, fmt.Errorf("sandbox: no_new_privs: %w", err)
	}
	var err error
	if report.BoundingSetKept, err = dropCapabilities(); err != nil {
		return report, err
	}
	// The zone of the log's times is read from a file at first use.
	_ = time.Now().Local().String()
	if abi, err := landlocksys.LandlockGetABIVersion(); err == nil {
		report.Landlock = abi
	}
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return report, fmt.Errorf("sandbox: landlock: %w", err)
	}
	if err := filterCalls(); err != nil {
		return report, fmt.Errorf("sandbox: seccomp: %w: the agent's front needs a kernel with CONFIG_SECCOMP_FILTER", err)
	}
	return report, nil
}

func limitResources(files uint64) error {
	if files > 0 {
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
			return fmt.Errorf("sandbox: limit of files: %w", err)
		}
		n := min(files, now.Max)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("sandbox: limit of files %d: %w", n, err)
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("sandbox: limit of cores: %w", err)
	}
	return nil
}

// dropCapabilities empties every set. bounding says that the bounding set is
// not empty.
func dropCapabilities() (bounding bool, err error) {
	if err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return false, fmt.Errorf("sandbox: ambient capabilities: %w", err)
	}
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			break // after the last one this kernel knows
		}
		if has != 0 && everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c) != nil {
			bounding = true
		}
	}
	if err := emptyCapabilities(); err != nil {
		return bounding, fmt.Errorf("sandbox: capabilities: %w", err)
	}
	return bounding, nil
}

// everyThread makes a system call on every thread of the process.
func everyThread(call, a, b uintptr) error {
	if _, _, errno := psx.Syscall6(call, a, b, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
