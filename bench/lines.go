package main

import "shellagent/bench/report"

func most(v float64) report.Goal  { return report.Goal{Most: v} }
func least(v float64) report.Goal { return report.Goal{Least: v} }

// lines are the rows of the table, with what has to hold.
var lines = []report.Line{
	{What: "first prompt", Experiment: "prompt", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(0.20)},
	{What: "first prompt, agent-cli", Experiment: "prompt", Metric: "ms", Ours: oursCLI, Theirs: openssh, Goal: most(0.20)},
	{What: "first prompt", Experiment: "prompt", Metric: "ms", Ours: ours, Theirs: dropbear, Goal: most(1)},
	{What: "exec true", Experiment: "exec true", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(0.20)},
	{What: "exec true, agent-cli", Experiment: "exec true", Metric: "ms", Ours: oursCLI, Theirs: openssh, Goal: most(0.20)},
	{What: "exec true", Experiment: "exec true", Metric: "ms", Ours: ours, Theirs: dropbear, Goal: most(1)},
	{What: "first prompt, shared connection", Experiment: "prompt shared", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(1)},
	{What: "exec true, shared connection", Experiment: "exec true shared", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(1)},
	{What: "first prompt at 50 ms", Experiment: "prompt at 50 ms", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(0.40)},
	{What: "echo p50, no cover", Experiment: "echo", Metric: "p50", Ours: ours, Theirs: openssh, Goal: most(1.5)},
	{What: "echo p99, no cover", Experiment: "echo", Metric: "p99", Ours: ours, Theirs: openssh, Goal: most(1.5)},
	{What: "echo p50, cover", Experiment: "echo under cover", Metric: "p50", Ours: ours, Theirs: openssh, Goal: most(0.5)},
	{What: "echo p95, cover", Experiment: "echo under cover", Metric: "p95", Ours: ours, Theirs: openssh, Goal: most(0.5)},
	{What: "terminal output", Experiment: "output", Metric: "MB/s", Ours: ours, Theirs: openssh, Goal: least(1)},
	{What: "terminal output", Experiment: "output", Metric: "MB/s", Ours: ours, Theirs: local},
	{What: "terminal output, CPU", Experiment: "output", Metric: "CPU s/GB", Ours: ours, Theirs: openssh, Goal: most(0.8)},
	{What: "exec down", Experiment: "down", Metric: "MB/s", Ours: ours, Theirs: openssh, Goal: least(1.3)},
	{What: "exec down", Experiment: "down", Metric: "MB/s", Ours: ours, Theirs: opensshG, Goal: least(1)},
	{What: "exec up", Experiment: "up", Metric: "MB/s", Ours: ours, Theirs: openssh, Goal: least(1.3)},
	{What: "exec up", Experiment: "up", Metric: "MB/s", Ours: ours, Theirs: opensshG, Goal: least(1.2)},
	{What: "exec down at 50 ms", Experiment: "down at 50 ms", Metric: "MB/s", Ours: ours, Theirs: openssh, Goal: least(2)},
	{What: "exec up at 50 ms", Experiment: "up at 50 ms", Metric: "MB/s", Ours: ours, Theirs: openssh, Goal: least(2)},
	{What: "CPU down", Experiment: "down", Metric: "CPU s/GB", Ours: ours, Theirs: opensshG, Goal: most(0.9)},
	{What: "CPU up", Experiment: "up", Metric: "CPU s/GB", Ours: ours, Theirs: opensshG, Goal: most(0.9)},
	{What: "memory per idle session", Experiment: "idle memory", Metric: "KiB", Ours: ours, Theirs: openssh, Goal: most(0.10)},
	{What: "100 at once", Experiment: "crowd", Metric: "s", Ours: ours, Theirs: openssh, Goal: most(0.40)},
	{What: "100 at once", Experiment: "crowd", Metric: "s", Ours: ours, Theirs: raised},
	{What: "100 at once, refused", Experiment: "crowd", Metric: "refused", Ours: ours, Goal: report.Goal{Zero: true}},
	{What: "Ctrl-C at 50 ms", Experiment: "ctrl-c at 50 ms", Metric: "ms", Ours: ours, Theirs: openssh, Goal: most(1)},
	{What: "echo p50, recorded", Experiment: "recorded echo", Metric: "p50", Ours: recorded, Theirs: ours, Goal: most(1.05)},
	{What: "echo p95, recorded", Experiment: "recorded echo", Metric: "p95", Ours: recorded, Theirs: ours, Goal: most(1.05)},
	{What: "echo, recorded, server's CPU", Experiment: "recorded echo", Metric: "server CPU ms/key", Ours: recorded, Theirs: ours},
	{What: "echo p50, recorded for age", Experiment: "recorded echo", Metric: "p50", Ours: encrypted, Theirs: ours, Goal: most(1.05)},
	{What: "terminal output, recorded", Experiment: "recorded output", Metric: "MB/s", Ours: recorded, Theirs: ours, Goal: least(0.9)},
	{What: "terminal output, recorded, CPU", Experiment: "recorded output", Metric: "CPU s/GB", Ours: recorded, Theirs: ours},
	{What: "terminal output, recorded for age", Experiment: "recorded output", Metric: "MB/s", Ours: encrypted, Theirs: ours, Goal: least(0.9)},
	{What: "exec down, text, recorded", Experiment: "recorded text", Metric: "MB/s", Ours: recorded, Theirs: ours, Goal: least(0.9)},
	{What: "exec down, text, recorded, CPU", Experiment: "recorded text", Metric: "CPU s/GB", Ours: recorded, Theirs: ours},
	{What: "exec down, text, recorded for age", Experiment: "recorded text", Metric: "MB/s", Ours: encrypted, Theirs: ours},
	{What: "exec down, recorded", Experiment: "recorded down", Metric: "MB/s", Ours: recorded, Theirs: ours, Goal: least(0.9)},
	{What: "exec down, recorded, CPU", Experiment: "recorded down", Metric: "CPU s/GB", Ours: recorded, Theirs: ours},
	{What: "exec down, recorded for age", Experiment: "recorded down", Metric: "MB/s", Ours: encrypted, Theirs: ours},
	{What: "exec up, recorded", Experiment: "recorded up", Metric: "MB/s", Ours: recorded, Theirs: ours, Goal: least(0.9)},
	{What: "text on the wire, -C", Experiment: "text on the wire", Metric: "wire KiB", Ours: ours, Theirs: openssh, Goal: most(1)},
}
