// Package metrics counts what the broker does, and tells the counts in the
// Prometheus text format. Package scrape serves that text.
//
// [Metrics] is one of the broker's observers. Everything it exports begins with
// shellagent_, except for the usual go_ and process_ metrics of the broker:
//
//	sessions_active{source,subject}                     gauge: live sessions
//	sessions_root_active{source,subject}                gauge: those among them whose program runs as uid 0
//	sessions_total{source,subject}                      counter: sessions opened
//	session_oldest_age_seconds{source,subject}          gauge: age of the oldest live session; absent without one
//	session_seconds_total{source,subject}               counter: life of ended sessions, added up
//	session_duration_seconds                            histogram: life of ended sessions
//	session_attaches_total{source,subject}              counter: clients that joined a session, the one that opened it too
//	session_detaches_total{source,subject}              counter: clients that left a session, at its end too
//	session_bytes_total{source,subject,direction}       counter: input accepted, output handed to clients
//	open_duration_seconds                               histogram: from the call to the program's start
//	stdin_duration_seconds                              histogram: from the call to the program's queue
//	refusals_total{reason}                              counter: refused requests, by the reasons of the shell package,
//	                                                    but for what comes too late for its own session
//	config_last_reload_successful                       gauge: 1, or 0 while a broken file is ignored
//	config_last_reload_success_timestamp_seconds        gauge: since when this configuration is in force
//	config_reload_failures_total                        counter: reloads refused because the configuration was broken
//	front_restarts_total                                counter: how often the front was started again
//	upgrades_total                                      counter: how often the agent was replaced in place
//	upgrade_failures_total                              counter: how often it was not, and went on as it was
//	recordings                                          gauge: recordings that are being written
//	recorded_bytes_total                                counter: bytes of recordings, as they are stored
//	recorded_segments_total                             counter: their pieces, each sealed by itself
//	recordings_failed_total                             counter: recordings that could not begin, or not go on
//	recordings_removed_total                            counter: recordings that were removed because of their age or size
//	forwards_opened_total{do}                           counter: connections and listeners of forwards that were allowed; do
//	                                                    is open, listen, or accept for what came in at a listener
//	forwards_ended_total{do}                            counter: those of them that ended and could tell it
//	forwards_denied_total{do}                           counter: those that policy denied
//	forwards_failed_total{code}                         counter: what did not come to be for another reason, by PROTOCOL.md's code
//	forwarded_bytes_total{direction}                    counter: bytes from_client and to_client of connections that ended
//	audit_events_total                                  counter: events written to the audit trail
//	audit_events_lost_total                             counter: events that were never written
//	audit_events_waiting                                gauge: events in memory that are not written yet
//	audit_write_failures_total                          counter: writes to the trail that failed, each to be tried again
//	audit_writable                                      gauge: 1, or 0 while the trail cannot be written
//	audit_sink_up{sink}                                 gauge: 1, or 0 while a sink fails
//	audit_sink_backlog_bytes{sink}                      gauge: what waits for it in the trail
//	audit_sink_backlog_age_seconds{sink}                gauge: how long the oldest of that does
//	audit_sink_events_total{sink}                       counter: events that it took
//	audit_sink_events_lost_total{sink}                  counter: events that it will not get: refused, or removed before
//	audit_sink_failures_total{sink}                     counter: tries that failed
//	build_info{version,commit,goversion}                gauge: 1
//
// Those that begin with audit_ are there while a trail is kept. The label sink is
// a configured sink's name, and that with ".output" where sessions' output goes to
// it.
//
// No label is ever an address, a key, a user's name on the host or anything
// else that a client chooses. The label source is a configured source. The
// label subject is a configured subject, "" for sessions of a plain key, and
// [Other] once [MaxSubjects] of them have had a session. A source or subject that is
// taken out of the configuration keeps its series until its last session
// ended.
//
// An agent that is replaced in place counts from 0 again, but for upgrades_total;
// gauges go on, with the sessions that they are about.
package metrics
