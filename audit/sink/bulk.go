package sink

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"shellagent/audit"
)

// bulkBody is the bulk format of Elasticsearch and OpenSearch. A document's id is
// the line's hash in the chain: one that comes twice is stored once.
type bulkBody struct{ index string }

func bulkURL(root string) string { return strings.TrimSuffix(root, "/") + "/_bulk" }

func (bulkBody) contentType() string { return "application/x-ndjson" }

func (f bulkBody) body(lines []audit.Entry) []byte {
	var b []byte
	for _, l := range lines {
		b = fmt.Appendf(b, `{"create":{"_index":%q,"_id":%q}}`+"\n", f.index, l.Sum())
		// Data streams want a time by this name.
		b = append(b, `{"@timestamp":"`...)
		b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
		b = append(b, `",`...)
		b = append(append(b, l.Raw[1:]...), '\n')
	}
	return b
}

// bulkAnswer is what the server says of every document.
type bulkAnswer struct {
	Items []map[string]struct {
		Status int `json:"status"`
		Error  struct {
			Type   string `json:"type"`
			Reason string `json:"reason"`
		} `json:"error"`
	} `json:"items"`
}

// judge takes the documents up to the first that shall come again. Those after
// it come again as well, which their ids make harmless.
func (f bulkBody) judge(lines []audit.Entry, answer []byte) (out outcome, err error) {
	var a bulkAnswer
	if err := json.Unmarshal(answer, &a); err != nil || len(a.Items) != len(lines) {
		return out, fmt.Errorf("the server answers no bulk result for %d documents: %s", len(lines), excerpt(answer))
	}
	for i, item := range a.Items {
		one := item["create"]
		switch {
		case one.Status >= 200 && one.Status < 300, one.Status == http.StatusConflict: // it is there already
		case one.Status == http.StatusBadRequest:
			out.rejected = append(out.rejected, rejection{i, excerpt([]byte(one.Error.Type + ": " + one.Error.Reason))})
		default:
			return out, fmt.Errorf("the server answers %d for a document: %s", one.Status, excerpt([]byte(one.Error.Type+": "+one.Error.Reason)))
		}
		out.done = i + 1
	}
	return out, nil
}
