// Package observer is somebody on the way between a client and its server, who
// wants to know when keys are typed. It sees what passes, encrypted as it is:
// moments, sizes and directions. What it makes of that is held against what was
// really typed, and against what guessing would give.
package observer
