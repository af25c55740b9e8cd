package sources

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
)

// Bounds of a rule. Its author is the administrator, but whoever holds a key
// chooses the claims: how long it runs must follow from its length and theirs.
const (
	maxRule       = 4096 // bytes
	maxRuleNodes  = 500
	maxRuleMemory = 100_000 // expr's unit: about one element of a list each
)

// ruleEnv is what a rule sees. Names that are not here do not compile.
type ruleEnv struct {
	// Claims are the token's, decoded once. Numbers are float64.
	Claims map[string]any `expr:"claims"`
	// Verified are what a verifyCommand printed; empty for a listed key.
	Verified map[string]any `expr:"verified"`
	Source   string         `expr:"source"`
	// Key is the identity key's thumbprint.
	Key     string `expr:"key"`
	Subject string `expr:"subject"`
	// Remote is the client's address without a port, "" when unknown.
	Remote string `expr:"remote"`
	// Now is the time of the request in the agent's zone.
	Now time.Time `expr:"now"`
	// Action is what is asked for: see [shell.Action].
	Action string `expr:"action"`
	// Command is the command string, or the arguments quoted as one; "" for an
	// interactive shell.
	Command  string   `expr:"command"`
	Argv     []string `expr:"argv"`
	Terminal bool     `expr:"terminal"`
}

// ruleFunctions are those of expr that neither loop within a loop nor make more
// than they are given. now() is not among them: a rule judges the request's time.
var ruleFunctions = []string{
	"all", "any", "one", "none", "count", "filter", "map", "find",
	"len", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "hasPrefix", "hasSuffix",
	"indexOf", "split", "keys", "values", "get", "first", "last", "type",
	"int", "float", "string", "date", "duration",
}

// rule is a compiled jwtRule. It is safe for concurrent use.
type rule struct {
	text    string
	program *vm.Program
}

func newRule(text string) (*rule, error) {
	if len(text) > maxRule {
		return nil, fmt.Errorf("the rule is longer than %d bytes; shorten it", maxRule)
	}
	options := []expr.Option{
		expr.Env(ruleEnv{}), expr.AsBool(), expr.MaxNodes(maxRuleNodes), expr.DisableAllBuiltins(),
		// The optimizer would make ranges into constants before they are seen.
		expr.Optimize(false),
	}
	for _, name := range ruleFunctions {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		// The lines below the first draw the place.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("the rule does not compile: %s; known: claims, verified, source, key, subject, remote, now, action, command, argv, terminal", first)
	}
	node := program.Node()
	check := &boundedWalk{}
	ast.Walk(&node, check)
	if check.err != nil {
		return nil, check.err
	}
	return &rule{text: text, program: program}, nil
}

// boundedWalk refuses what could run long.
type boundedWalk struct {
	err    error
	inside bool
}

// Visit implements ast.Visitor.
func (b *boundedWalk) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		if b.inside {
			b.err = errors.New("the rule loops within a loop; compare with `in` instead")
			return
		}
		within := &boundedWalk{inside: true}
		ast.Walk(&n.Node, within)
		if within.err != nil {
			b.err = within.err
		}
	case *ast.BinaryNode:
		if n.Operator == ".." {
			b.err = errors.New("the rule makes a range; compare with < and > instead")
		}
	}
}

// holds reports whether the rule is true. An error, such as a missing claim
// that is used as if it were there, is no.
func (r *rule) holds(env ruleEnv) (bool, error) {
	machine := vm.VM{MemoryBudget: maxRuleMemory}
	result, err := machine.Run(r.program, env)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return false, fmt.Errorf("rule failed: %s", first)
	}
	held, ok := result.(bool)
	return held && ok, nil
}
