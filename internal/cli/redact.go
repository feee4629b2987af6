package cli

import (
	"bytes"
	"regexp"
	"sync"
)

// removed stands for what was taken out.
var removed = []byte("[removed]")

// word is how what is secret is called, as a part of other words, too: DB_PASSWORD, --token.
const word = `(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|key-data|certificate-key|auth)`

// secrets are what keys, tokens and passwords look like. Where there is a group, only that is taken out. Quotes may have backslashes before them: JSON within JSON. They are
// compiled when they are first used, as agents never do.
var secrets = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`), // or the beginning of one that was cut
		regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`),                                                   // a bootstrap token (Kubernetes' documentation, "Authenticating with Bootstrap Tokens")
		regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+`),                       // a token of a service account (RFC 7519)
		regexp.MustCompile(`(?i)\b(?:bearer|basic) ([A-Za-z0-9+/._~=-]{8,})`),
		regexp.MustCompile(`://[^/\s:@"']+:([^/\s@"']+)@`), // in an address
		regexp.MustCompile(`(?i)` + word + `\\*["']?\s*[:=]\s*\\*"([^"\\]+)`),
		regexp.MustCompile(`(?i)` + word + `["']?\s*[:=]\s*'([^']+)`),
		regexp.MustCompile(`(?i)` + word + `\\*["']?\s*[:=]\s*([^\s"'\\,;{}\[\]]{6,})`),
		regexp.MustCompile(`(?i)--?[a-z-]*(?:password|token|secret|certificate-key)\s+([^\s"'-][^\s"']{5,})`),
		regexp.MustCompile(`(?i)name\\*["']?\s*:\s*\\*["']?[\w.-]*(?:password|passwd|secret|token|key)[\w.-]*\\*["']?,?\s*\\*["']?value\\*["']?\s*:\s*\\*["']?([^\s"'\\,}]+)`), // environments of containers
	}
})

// redact takes out of a text what looks like a secret, and says how many pieces that were.
func redact(text []byte) ([]byte, int) {
	n := 0
	for _, s := range secrets() {
		var out []byte
		end := 0
		for _, at := range s.FindAllSubmatchIndex(text, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 {
				from, to = at[2], at[3]
			}
			if bytes.HasPrefix(text[from:to], removed) || harmless().Match(text[from:to]) {
				continue
			}
			out = append(append(out, text[end:from]...), removed...)
			end = to
			n++
		}
		text = append(out, text[end:]...)
	}
	return text, n
}

// harmless are words that stand where secrets may: names of files and types, truth values.
var harmless = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:/(?:etc|var|run|root|usr)/[\w./-]*|true|false|null|none|absent|present|[\w.-]+\.(?:go:\d+|conf|key|crt|pem|yaml|json|service))$`)
})
