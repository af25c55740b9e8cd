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
	if p.foreign() {
		return foreignVerdict(p.Status)
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

// foreignVerdict is for what no agent said: a proxy that lost its agent, is
// being set up anew, closes an idle connection in words, or has too much to do.
// Only an agent knows that a session is over.
func foreignVerdict(status int) outcome {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return refusedOnce
	case http.StatusNotFound, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return again
	}
	if status >= http.StatusInternalServerError {
		return again
	}
	return sessionFailed
}
