package metrics

import "shellagent/shell"

// forwardMetrics count what sessions of forwards did and were not let do.
type forwardMetrics struct {
	// By what was done: open, listen, accept.
	opened, ended, denied map[string]*counter
	failed                map[string]*counter // by code
	fromClient, toClient  *counter

	all []collector
}

var (
	forwardDoes = []string{"open", "listen", "accept"}
	// forwardCodes are those of PROTOCOL.md that follow on a permission; another one
	// is counted as the last.
	forwardCodes = []string{"refused", "unreachable", "timeout", "not_found", "limit", "invalid", "denied", "failed"}
)

func newForwardMetrics() (m forwardMetrics) {
	family := func(name, help, label string, values []string) map[string]*counter {
		f, by := ours(kindCounter, name, help, label), make(map[string]*counter, len(values))
		for _, v := range values {
			by[v] = &counter{family: f, labels: []string{v}}
			m.all = append(m.all, by[v])
		}
		return by
	}
	m.opened = family("forwards_opened_total", "Connections and listeners of forwards that were allowed, by what was asked for.", "do", forwardDoes)
	m.ended = family("forwards_ended_total", "Of those, what has ended; what a killed helper had is not among it.", "do", forwardDoes)
	m.denied = family("forwards_denied_total", "Connections and listeners of forwards that policy denied.", "do", forwardDoes)
	m.failed = family("forwards_failed_total", "Connections and listeners of forwards that did not come to be, by code; denials are counted by themselves.", "code", forwardCodes)
	bytes := family("forwarded_bytes_total", "Bytes of forwarded connections that have ended.", "direction", []string{"from_client", "to_client"})
	m.fromClient, m.toClient = bytes["from_client"], bytes["to_client"]
	return m
}

func (m *forwardMetrics) fail(code string) {
	c, ok := m.failed[code]
	if !ok {
		c = m.failed["failed"]
	}
	c.inc()
}

func (m *forwardMetrics) observe(e shell.Event) {
	if e.Detail == nil || e.Detail.Forward == nil {
		return
	}
	d := e.Detail.Forward
	by := m.opened
	switch e.Kind {
	case shell.EventForwardDenied:
		by = m.denied
	case shell.EventForwardFailed:
		m.fail(d.Code)
		return
	case shell.EventForwardEnded:
		m.fromClient.add(e.Input)
		m.toClient.add(e.Output)
		if d.Code != "" {
			m.fail(d.Code)
		}
		by = m.ended
	}
	if c := by[d.Do]; c != nil {
		c.inc()
	}
}
