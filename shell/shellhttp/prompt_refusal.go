package shellhttp

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"time"
)

// wholeAnswer is a response that is written at once.
type wholeAnswer struct {
	header http.Header
	status int
	text   []byte
	conn   net.Conn
}

// Header implements [http.ResponseWriter].
func (w *wholeAnswer) Header() http.Header                { return w.header }
func (w *wholeAnswer) WriteHeader(status int)             { w.status = status }
func (w *wholeAnswer) SetWriteDeadline(t time.Time) error { return w.conn.SetWriteDeadline(t) }
func (w *wholeAnswer) Write(p []byte) (int, error)        { w.text = append(w.text, p...); return len(p), nil }

func (w *wholeAnswer) bytes() []byte {
	w.header.Set("Connection", "close")
	w.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(w.status) + " " + http.StatusText(w.status) + "\r\n")
	w.header.Write(&out)
	out.WriteString("\r\n")
	out.Write(w.text)
	return out.Bytes()
}
