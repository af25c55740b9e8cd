package sshargs

import (
	"net/url"
	"strings"
)

const scheme = "ssh://"

// destination reads [user@]host or ssh://[user@]host[:port][/].
func (p *parser) destination(text string) error {
	user, host, port := "", text, ""
	if rest, is := strings.CutPrefix(text, scheme); is {
		var err error
		if user, host, port, err = fromURI(rest); err != nil {
			return err
		}
	} else if i := strings.LastIndexByte(text, '@'); i >= 0 {
		user, host = text[:i], text[i+1:]
		if user == "" {
			return &Error{Usage: true}
		}
	}
	if host == "" || strings.HasPrefix(host, "-") || strings.HasPrefix(host, scheme) {
		return &Error{Text: "hostname contains invalid characters"}
	}
	p.Host = host
	if user != "" {
		p.Settings.first("user", user)
	}
	if port != "" {
		p.Settings.first("port", port)
	}
	return nil
}

// fromURI reads what follows ssh://, which ssh(1) takes from
// draft-ietf-secsh-scp-sftp-ssh-uri.
func fromURI(rest string) (user, host, port string, err error) {
	bad := &Error{Usage: true}
	rest, path, _ := strings.Cut(rest, "/")
	if path != "" {
		return "", "", "", bad
	}
	if before, after, found := cutLast(rest, '@'); found {
		before, _, _ = strings.Cut(before, ";") // connection parameters
		if user, err = url.PathUnescape(before); err != nil || user == "" || strings.ContainsRune(user, 0) {
			return "", "", "", bad
		}
		rest = after
	}
	if inner, after, found := strings.Cut(strings.TrimPrefix(rest, "["), "]"); found && strings.HasPrefix(rest, "[") {
		host, rest = inner, after
		if rest != "" && rest[0] != ':' {
			return "", "", "", bad
		}
		rest = strings.TrimPrefix(rest, ":")
	} else {
		host, rest, _ = strings.Cut(rest, ":")
	}
	if rest != "" {
		if port, err = portNumber(rest); err != nil {
			return "", "", "", bad
		}
	}
	if host, err = url.PathUnescape(host); err != nil || host == "" || strings.ContainsRune(host, '@') || strings.ContainsRune(host, 0) {
		return "", "", "", bad
	}
	return user, host, port, nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}
