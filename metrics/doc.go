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
//	config_reload_failures_total                        counter
//	front_restarts_total                                counter
//	upgrades_total                                      counter: how often the agent was replaced in place
//	upgrade_failures_total                              counter: how often it was not, and went on as it was
//	build_info{version,commit,goversion}                gauge: 1
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
