package metrics

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// processCollector tells what the kernel knows of this process, under the names and
// with the words of Prometheus' own library for Go. What cannot be found out is left
// out.
type processCollector struct{}

var (
	processCPU        = &family{name: "process_cpu_seconds_total", kind: kindCounter, help: "Total user and system CPU time spent in seconds."}
	processFDs        = &family{name: "process_open_fds", kind: kindGauge, help: "Number of open file descriptors."}
	processMaxFDs     = &family{name: "process_max_fds", kind: kindGauge, help: "Maximum number of open file descriptors."}
	processVirtual    = &family{name: "process_virtual_memory_bytes", kind: kindGauge, help: "Virtual memory size in bytes."}
	processMaxVirtual = &family{name: "process_virtual_memory_max_bytes", kind: kindGauge, help: "Maximum amount of virtual memory available in bytes."}
	processResident   = &family{name: "process_resident_memory_bytes", kind: kindGauge, help: "Resident memory size in bytes."}
	processStart      = &family{name: "process_start_time_seconds", kind: kindGauge, help: "Start time of the process since unix epoch in seconds."}
	processIn         = &family{name: "process_network_receive_bytes_total", kind: kindCounter, help: "Number of bytes received by the process over the network."}
	processOut        = &family{name: "process_network_transmit_bytes_total", kind: kindCounter, help: "Number of bytes sent by the process over the network."}
)

// collect implements collector.
func (processCollector) collect(s *scrape) {
	collectStat(s)
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.one(processFDs, float64(len(files)))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		s.one(processMaxFDs, float64(limit.Cur))
	}
	if unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil {
		s.one(processMaxVirtual, float64(limit.Cur))
	}
	if text, err := os.ReadFile("/proc/self/net/netstat"); err == nil {
		in, _ := netstat(text, "IpExt:", "InOctets")
		out, _ := netstat(text, "IpExt:", "OutOctets")
		s.one(processIn, in)
		s.one(processOut, out)
	}
}

// ticks is the kernel's USER_HZ, which proc_pid_stat(5) counts time in: 100 on every
// architecture that Go runs on.
const ticks = 100

func collectStat(s *scrape) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	p, err := parseStat(text)
	if err != nil {
		return
	}
	s.one(processCPU, float64(p.cpu)/ticks)
	s.one(processVirtual, float64(p.virtual))
	s.one(processResident, float64(p.resident)*float64(os.Getpagesize()))
	system, err := os.ReadFile("/proc/stat")
	if err != nil {
		return
	}
	if boot, ok := bootTime(system); ok {
		s.one(processStart, boot+float64(p.start)/ticks)
	}
}

// stat is what is of interest here in proc_pid_stat(5).
type stat struct {
	cpu, start uint64 // in ticks, the latter since boot
	virtual    uint64 // bytes
	resident   uint64 // pages
}

// parseStat reads proc_pid_stat(5), whose second field, the program's name in
// parentheses, may hold anything.
func parseStat(text []byte) (stat, error) {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const state = 3 // the number of the first field behind the name
	var err error
	field := func(n int) (v uint64) {
		if n-state >= len(fields) {
			err = fmt.Errorf("proc_pid_stat(5) without a field %d", n)
			return 0
		}
		v, e := strconv.ParseUint(string(fields[n-state]), 10, 64)
		if e != nil {
			err = e
		}
		return v
	}
	s := stat{cpu: field(14) + field(15), start: field(22), virtual: field(23), resident: field(24)}
	return s, err
}

// bootTime finds the time of the system's start in proc_stat(5), in seconds since
// the epoch.
func bootTime(text []byte) (float64, bool) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("btime ")); ok {
			v, err := strconv.ParseFloat(string(bytes.TrimSpace(rest)), 64)
			return v, err == nil
		}
	}
	return 0, false
}

// netstat finds a number in /proc/net/netstat: a line of names and one of values,
// which begin alike.
func netstat(text []byte, group, name string) (float64, bool) {
	var names [][]byte
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) == 0 || string(fields[0]) != group:
		case names == nil:
			names = fields
		default:
			for i := range min(len(names), len(fields)) {
				if string(names[i]) == name {
					v, err := strconv.ParseFloat(string(fields[i]), 64)
					return v, err == nil
				}
			}
			return 0, false
		}
	}
	return 0, false
}
