// Package sink passes an audit trail on: to a file, journald, syslog, an HTTPS
// server, Elasticsearch or OpenSearch.
//
// A sink reads the trail's own files from the line after the last one that was
// taken, so that it gets every line at least once and in order, whatever was
// unreachable meanwhile, and needs no memory but for one batch. It is tried again
// for ever, ever more rarely. What can never be delivered, because the other side
// refuses the line itself, is left out, and trail.lost says so.
//
// The package is a client only: it listens to nothing and believes nothing it is
// answered but whether a line was taken.
package sink
