//go:build linux

package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attempts are what a server that was taken over would try.
var attempts = []struct {
	name string
	try  func() error
}{
	{"open a file", func() error { _, err := os.ReadFile("/etc/passwd"); return err }},
	{"write a file", func() error { return os.WriteFile("/tmp/shellagent-sandbox", nil, 0o600) }},
	{"list a directory", func() error { _, err := os.ReadDir("/"); return err }},
	{"stat a file", func() error { _, err := os.Stat("/"); return err }},
	{"execute a program", func() error {
		_, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
		return err
	}},
	{"replace itself", func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) }},
	{"fork", func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0) }},
	{"trace its parent", func() error { return raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid()), 0) }},
	{"read its parent's memory", func() error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid()), 0, 0) }},
	{"signal its parent", func() error { return syscall.Kill(os.Getppid(), 0) }},
	{"signal a thread of its parent", func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) }},
	{"get a descriptor of its parent", func() error { return raw(unix.SYS_PIDFD_OPEN, uintptr(os.Getppid()), 0, 0) }},
	{"limit its parent", func() error { return unix.Prlimit(os.Getppid(), unix.RLIMIT_CPU, nil, &unix.Rlimit{}) }},
	{"make a socket", func() error { return raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0) }},
	{"make a netlink socket", func() error { return raw(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0) }},
	{"make a pair of sockets", func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
	{"connect its socket", func() error { return unix.Connect(listenerFD, &unix.SockaddrInet4{Port: 1}) }},
	{"bind its socket", func() error { return unix.Bind(listenerFD, &unix.SockaddrInet4{}) }},
	{"pass a descriptor", func() error { return unix.Sendmsg(listenerFD, []byte("x"), unix.UnixRights(0), nil, 0) }},
	{"filter its socket", func() error { return unix.SetsockoptInt(listenerFD, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) }},
	{"control a device", func() error { _, err := unix.IoctlGetTermios(0, unix.TCGETS); return err }},
	{"make code", func() error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"become dumpable", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"load a program into the kernel", func() error { return raw(unix.SYS_BPF, 0, 0, 0) }},
	{"use io_uring", func() error { return raw(unix.SYS_IO_URING_SETUP, 1, 0, 0) }},
	{"make a namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"use a key ring", func() error { return raw(unix.SYS_KEYCTL, 0, 0, 0) }},
	{"make shared memory", func() error { _, err := unix.MemfdCreate("x", 0); return err }},
	{"change its user", func() error { return raw(unix.SYS_SETRESUID, 0, 0, 0) }},
}

const (
	listenerFD = 3
	reportFD   = 4
)

func raw(call, a, b, c uintptr) error {
	if r, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	} else if call == unix.SYS_CLONE && r == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0) // the child that should not be
	}
	return nil
}

// confined is the confined process: it tries everything it may not, reports,
// and serves.
func confined() {
	l, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		log.Fatal(err)
	}
	// Threads that exist before, to be confined as well.
	var wg sync.WaitGroup
	release := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread()
			<-release
		})
	}
	report, err := Apply(Config{NoFile: 500})
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%+v", report)
	close(release)
	wg.Wait()
	denied := make(map[string]string)
	for _, a := range attempts {
		denied[a.name] = ""
		if err := a.try(); err != nil {
			denied[a.name] = err.Error()
		}
	}
	// The runtime gives memory back, starts threads, stops the world.
	debug.FreeOSMemory()
	cert, err := selfSigned()
	if err != nil {
		log.Fatal(err)
	}
	out := os.NewFile(reportFD, "report")
	if err := json.NewEncoder(out).Encode(denied); err != nil {
		log.Fatal(err)
	}
	out.Close()
	s := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			for part := body; len(part) > 0; part = part[min(len(part), 64<<10):] {
				w.Write(part[:min(len(part), 64<<10)])
				http.NewResponseController(w).Flush()
			}
		}),
	}
	log.Fatal(s.ServeTLS(l, "", ""))
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
