package sources

import (
	"encoding/json"
	"fmt"

	"shellagent/jwtauth"
)

// voucherState is a [Voucher] on its way between two images of the agent.
type voucherState struct {
	Source  string          `json:"source"`
	Key     json.RawMessage `json:"key"` // a JWK
	Subject string          `json:"subject"`
	Claims  map[string]any  `json:"claims"`
	Command string          `json:"command"`
}

// MarshalJSON writes all of the voucher: who said it, too.
func (v *Voucher) MarshalJSON() ([]byte, error) {
	return json.Marshal(voucherState{v.Source, v.Key.JWK(), v.Subject, v.Claims, v.command})
}

// UnmarshalJSON reads what MarshalJSON wrote. Nothing in it is proof: it is for
// what this agent itself wrote.
func (v *Voucher) UnmarshalJSON(text []byte) error {
	var s voucherState
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	key, err := jwtauth.ParseJWK(s.Key)
	if err != nil {
		return fmt.Errorf("voucher: %w", err)
	}
	*v = Voucher{Source: s.Source, Key: key, Subject: s.Subject, Claims: s.Claims, command: s.Command}
	return nil
}
