package shellhttp

import (
	"context"
	"errors"
	"net/http"
)

// outcome is what an error of an input or control request means for its session.
type outcome uint8

const (
	accepted      outcome = iota // no error
	again                        // send the same again: it is safe, and may help
	refusedOnce                  // this request will never be taken; others may
	outOfOrder                   // input before this request's is missing
	sessionOver                  // the session is gone, or we are leaving
	sessionFailed                // the session cannot go on for this client
)

// verdict classifies what a post came to.
func verdict(err error) outcome {
	var p *Problem
	switch {
	case err == nil:
		return accepted
	case errors.Is(err, context.Canceled):
		return sessionOver
	case !errors.As(err, &p):
		return again
	}
	switch p.Code {
	case "offset_gap":
		return outOfOrder
	case "session_ended", "session_not_found":
		return sessionOver
	case "replayed", "stale", "busy", "rate_limited", "timeout":
		return again
	}
	switch p.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return refusedOnce
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return again
	default:
		return sessionFailed
	}
}
