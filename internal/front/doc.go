// Package front is the agent's unprivileged process: TLS, HTTP and the event
// stream, on sockets that it inherits, and the metrics on theirs. It decides
// nothing. What it knows is what the broker tells it over the control socket,
// its TLS key, and the requests on their way; every request with a token becomes
// a call that the broker verifies itself.
package front
