package sink

import (
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"shellagent/audit"
)

// facilities of RFC 5424 §6.2.1 that an agent may speak as.
var facilities = map[string]int{
	"user": 1, "daemon": 3, "auth": 4, "authpriv": 10, "local0": 16, "local1": 17, "local2": 18, "local3": 19,
	"local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

// Severities of RFC 5424 §6.2.1.
const (
	severityWarning = 4
	severityNotice  = 5
	severityInfo    = 6
)

func severity(k audit.Kind) int {
	switch k {
	case audit.TrailLost, audit.TrailRepaired, audit.RecordingFailed:
		return severityWarning
	case audit.RequestRefused, audit.LimitReached, audit.KeyRevoked, audit.FrontRestarted:
		return severityNotice
	default:
		return severityInfo
	}
}

// appendSyslog appends an event as a message of RFC 5424: the kind is its MSGID,
// the line its MSG.
func appendSyslog(b []byte, facility int, pid string, l audit.Entry) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(facility*8+severity(l.Kind)), 10)
	b = append(b, ">1 "...)
	b = l.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00") // §6.2.3: six digits at most
	b = append(b, ' ')
	b = append(b, printUSASCII(l.Host, 255)...)
	b = append(b, " shellagent "...)
	b = append(b, pid...)
	b = append(b, ' ')
	b = append(b, printUSASCII(string(l.Kind), 32)...)
	b = append(b, ` [origin software="shellagent"] `...)
	if l.Kind == audit.SessionOutput {
		short, _ := json.Marshal(outputLine{l.OperationID, l.Line}, jsontext.AllowInvalidUTF8(true)) // two strings
		return append(b, short...)
	}
	return append(b, l.Raw...)
}

// outputLine is what syslog gets of a line of output: it is for short messages,
// and who it was is in session.opened.
type outputLine struct {
	OperationID string `json:"operation_id"`
	Line        string `json:"line"`
}

// printUSASCII is a header's value of RFC 5424 §6.
func printUSASCII(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
