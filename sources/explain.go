package sources

import (
	"context"

	"shellagent/shell"
)

// Step is one thing that was asked on the way to a decision.
type Step struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	// Detail says what was found, or why not.
	Detail string `json:"detail"`
	// Reason is the refusal's; "" when OK.
	Reason shell.Reason `json:"reason,omitempty"`
}

// Explanation is a decision, step by step. It ends with the step that refused.
type Explanation struct {
	Steps []Step
	// Grant is what would be given; nil when refused.
	Grant *shell.Grant
	// Denied is why not; nil when granted.
	Denied *shell.Denied
}

// Explain decides like [Policy.Decide], and tells how. What q leaves open, the
// address or nil claims, is told and passes. Nothing is started, no verify
// command either.
func (p *Policy) Explain(ctx context.Context, q Request) Explanation {
	d := decision{policy: p, request: q, explain: true}
	var x Explanation
	for _, s := range steps {
		detail, denied := s.ask(&d, ctx)
		if denied != nil {
			detail = string(denied.Reason)
			if denied.Err != nil {
				detail = denied.Err.Error()
			}
			x.Steps = append(x.Steps, Step{Check: s.name, Detail: detail, Reason: denied.Reason})
			x.Denied = denied
			return x
		}
		x.Steps = append(x.Steps, Step{Check: s.name, OK: true, Detail: detail})
	}
	x.Grant = &d.grant
	return x
}
