package metrics

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// goCollector tells how this process' Go runtime is, under the names and with the
// words of Prometheus' own library for Go.
type goCollector struct{}

var (
	goPauses   = &family{name: "go_gc_duration_seconds", kind: kindSummary, help: "A summary of the wall-time pause (stop-the-world) duration in garbage collection cycles."}
	goRoutines = &family{name: "go_goroutines", kind: kindGauge, help: "Number of goroutines that currently exist."}
	goThreads  = &family{name: "go_threads", kind: kindGauge, help: "Number of OS threads created."}
	goLastGC   = &family{name: "go_memstats_last_gc_time_seconds", kind: kindGauge, help: "Number of seconds since 1970 of last garbage collection."}
	goInfo     = &family{name: "go_info", kind: kindGauge, help: "Information about the Go environment.", labels: []string{"version"}}
)

// collect implements collector.
func (goCollector) collect(s *scrape) {
	s.one(goRoutines, float64(runtime.NumGoroutine()))
	threads, _ := runtime.ThreadCreateProfile(nil)
	s.one(goThreads, float64(threads))
	s.one(goInfo, 1, runtime.Version())
	collectPauses(s)
	for _, m := range goMetrics {
		s.one(m.family, m.read())
	}
}

func collectPauses(s *scrape) {
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&stats)
	for i, pause := range stats.PauseQuantiles {
		s.add(goPauses, sample{extra: "quantile", at: float64(i) / 4, value: pause.Seconds()})
	}
	s.add(goPauses,
		sample{suffix: "_sum", value: stats.PauseTotal.Seconds()},
		sample{suffix: "_count", value: float64(stats.NumGC)})
	s.one(goLastGC, float64(stats.LastGC.UnixNano())/1e9)
}

// goMetric is a sum of what package runtime/metrics knows.
type goMetric struct {
	*family
	of []string
}

func (m *goMetric) read() (sum float64) {
	samples := make([]metrics.Sample, len(m.of))
	for i, name := range m.of {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for _, s := range samples {
		switch s.Value.Kind() {
		case metrics.KindUint64:
			sum += float64(s.Value.Uint64())
		case metrics.KindFloat64:
			sum += s.Value.Float64()
		default: // a runtime that does not have it
			return math.NaN()
		}
	}
	return sum
}

var goMetrics = []goMetric{
	{&family{name: "go_gc_gogc_percent", kind: kindGauge, help: "Heap size target percentage configured by the user, otherwise 100. This value is set by the GOGC environment variable, and the runtime/debug.SetGCPercent function. Sourced from /gc/gogc:percent."}, []string{"/gc/gogc:percent"}},
	{&family{name: "go_gc_gomemlimit_bytes", kind: kindGauge, help: "Go runtime memory limit configured by the user, otherwise math.MaxInt64. This value is set by the GOMEMLIMIT environment variable, and the runtime/debug.SetMemoryLimit function. Sourced from /gc/gomemlimit:bytes."}, []string{"/gc/gomemlimit:bytes"}},
	{&family{name: "go_memstats_alloc_bytes", kind: kindGauge, help: "Number of bytes allocated in heap and currently in use. Equals to /memory/classes/heap/objects:bytes."}, []string{"/memory/classes/heap/objects:bytes"}},
	{&family{name: "go_memstats_alloc_bytes_total", kind: kindCounter, help: "Total number of bytes allocated in heap until now, even if released already. Equals to /gc/heap/allocs:bytes."}, []string{"/gc/heap/allocs:bytes"}},
	{&family{name: "go_memstats_buck_hash_sys_bytes", kind: kindGauge, help: "Number of bytes used by the profiling bucket hash table. Equals to /memory/classes/profiling/buckets:bytes."}, []string{"/memory/classes/profiling/buckets:bytes"}},
	{&family{name: "go_memstats_frees_total", kind: kindCounter, help: "Total number of heap objects frees. Equals to /gc/heap/frees:objects + /gc/heap/tiny/allocs:objects."}, []string{"/gc/heap/frees:objects", "/gc/heap/tiny/allocs:objects"}},
	{&family{name: "go_memstats_gc_sys_bytes", kind: kindGauge, help: "Number of bytes used for garbage collection system metadata. Equals to /memory/classes/metadata/other:bytes."}, []string{"/memory/classes/metadata/other:bytes"}},
	{&family{name: "go_memstats_heap_alloc_bytes", kind: kindGauge, help: "Number of heap bytes allocated and currently in use, same as go_memstats_alloc_bytes. Equals to /memory/classes/heap/objects:bytes."}, []string{"/memory/classes/heap/objects:bytes"}},
	{&family{name: "go_memstats_heap_idle_bytes", kind: kindGauge, help: "Number of heap bytes waiting to be used. Equals to /memory/classes/heap/released:bytes + /memory/classes/heap/free:bytes."}, []string{"/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}},
	{&family{name: "go_memstats_heap_inuse_bytes", kind: kindGauge, help: "Number of heap bytes that are in use. Equals to /memory/classes/heap/objects:bytes + /memory/classes/heap/unused:bytes"}, []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes"}},
	{&family{name: "go_memstats_heap_objects", kind: kindGauge, help: "Number of currently allocated objects. Equals to /gc/heap/objects:objects."}, []string{"/gc/heap/objects:objects"}},
	{&family{name: "go_memstats_heap_released_bytes", kind: kindGauge, help: "Number of heap bytes released to OS. Equals to /memory/classes/heap/released:bytes."}, []string{"/memory/classes/heap/released:bytes"}},
	{&family{name: "go_memstats_heap_sys_bytes", kind: kindGauge, help: "Number of heap bytes obtained from system. Equals to /memory/classes/heap/objects:bytes + /memory/classes/heap/unused:bytes + /memory/classes/heap/released:bytes + /memory/classes/heap/free:bytes."}, []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes"}},
	{&family{name: "go_memstats_mallocs_total", kind: kindCounter, help: "Total number of heap objects allocated, both live and gc-ed. Semantically a counter version for go_memstats_heap_objects gauge. Equals to /gc/heap/allocs:objects + /gc/heap/tiny/allocs:objects."}, []string{"/gc/heap/allocs:objects", "/gc/heap/tiny/allocs:objects"}},
	{&family{name: "go_memstats_mcache_inuse_bytes", kind: kindGauge, help: "Number of bytes in use by mcache structures. Equals to /memory/classes/metadata/mcache/inuse:bytes."}, []string{"/memory/classes/metadata/mcache/inuse:bytes"}},
	{&family{name: "go_memstats_mcache_sys_bytes", kind: kindGauge, help: "Number of bytes used for mcache structures obtained from system. Equals to /memory/classes/metadata/mcache/inuse:bytes + /memory/classes/metadata/mcache/free:bytes."}, []string{"/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/metadata/mcache/free:bytes"}},
	{&family{name: "go_memstats_mspan_inuse_bytes", kind: kindGauge, help: "Number of bytes in use by mspan structures. Equals to /memory/classes/metadata/mspan/inuse:bytes."}, []string{"/memory/classes/metadata/mspan/inuse:bytes"}},
	{&family{name: "go_memstats_mspan_sys_bytes", kind: kindGauge, help: "Number of bytes used for mspan structures obtained from system. Equals to /memory/classes/metadata/mspan/inuse:bytes + /memory/classes/metadata/mspan/free:bytes."}, []string{"/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/mspan/free:bytes"}},
	{&family{name: "go_memstats_next_gc_bytes", kind: kindGauge, help: "Number of heap bytes when next garbage collection will take place. Equals to /gc/heap/goal:bytes."}, []string{"/gc/heap/goal:bytes"}},
	{&family{name: "go_memstats_other_sys_bytes", kind: kindGauge, help: "Number of bytes used for other system allocations. Equals to /memory/classes/other:bytes."}, []string{"/memory/classes/other:bytes"}},
	{&family{name: "go_memstats_stack_inuse_bytes", kind: kindGauge, help: "Number of bytes obtained from system for stack allocator in non-CGO environments. Equals to /memory/classes/heap/stacks:bytes."}, []string{"/memory/classes/heap/stacks:bytes"}},
	{&family{name: "go_memstats_stack_sys_bytes", kind: kindGauge, help: "Number of bytes obtained from system for stack allocator. Equals to /memory/classes/heap/stacks:bytes + /memory/classes/os-stacks:bytes."}, []string{"/memory/classes/heap/stacks:bytes", "/memory/classes/os-stacks:bytes"}},
	{&family{name: "go_memstats_sys_bytes", kind: kindGauge, help: "Number of bytes obtained from system. Equals to /memory/classes/total:byte."}, []string{"/memory/classes/total:bytes"}},
	{&family{name: "go_sched_gomaxprocs_threads", kind: kindGauge, help: "The current runtime.GOMAXPROCS setting, or the number of operating system threads that can execute user-level Go code simultaneously. Sourced from /sched/gomaxprocs:threads."}, []string{"/sched/gomaxprocs:threads"}},
}
