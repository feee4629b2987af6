package resource

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// mask is a text without what looks like a secret: that becomes "(not shown)". It is for files that hold no secrets as Kubewright writes them, while flags of the user's,
// and what somebody wrote into them on a host, may be anything. So what is in doubt is not shown:
//
//   - what follows a name like that of a secret (--oidc-client-secret=, DB_PASSWORD:), in comments, too: the rest of its line, the lines that belong to it, and the one
//     after it if nothing follows in its own; unless it is a path, a truth value or a time
//   - values of variables, whatever they are called (value:)
//   - private keys, bootstrap tokens, tokens of service accounts, credentials in headers and addresses
//   - words that look random: of 20 characters and more with letters of both cases and digits, or 32 digits of base 16, but for digests and public keys of SSH
//
// What looks like any other word, under a name that does not tell, cannot be known to be a secret.
func mask(text string) string {
	m := masking{of: -1}
	var b strings.Builder
	for line := range strings.Lines(text) {
		content, ended := strings.CutSuffix(line, "\n")
		b.WriteString(m.line(content))
		if ended {
			b.WriteByte('\n')
		}
	}
	shown := b.String()
	if strings.Contains(shown, hidden) {
		shown = withoutDigest(shown) // or else people could try what is hidden
	}
	return shown
}

// withoutDigest is a manifest without the digest of its Pod.
func withoutDigest(text string) string { return look().manifest.ReplaceAllString(text, "${1}…") }

// masking is what lines say of those after them.
type masking struct {
	pem   bool // a private key has begun
	quote byte // what is not shown goes on to this; 0 if it is not quoted
	of    int  // how far in the name is that the lines further in belong to; -1 if there is none
	next  bool // its value is not in its own line
	items bool // the value may be a list, whose items are as far in as the name
}

// looks is how secrets look, and what is around them.
type looks struct {
	pemBegins, pemEnds *regexp.Regexp
	name               *regexp.Regexp
	separator          *regexp.Regexp   // between a name and what follows
	nothing            *regexp.Regexp   // after a name whose value is in the next line
	harmless           *regexp.Regexp   // a value that is none of a secret, whatever its name
	telling            []*regexp.Regexp // a secret that no name says of, as a group
	word               *regexp.Regexp   // one that is long enough to be looked at
	digest, sshType    *regexp.Regexp   // before a word that looks random and is none
	hex                *regexp.Regexp
	manifest           *regexp.Regexp // the annotation of a manifest with its digest
}

// look has them compiled when they are first used: most agents never do.
var look = sync.OnceValue(func() looks {
	return looks{
		pemBegins: regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY`),
		pemEnds:   regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY`),
		name:      regexp.MustCompile(`[\w.-]+`),
		separator: regexp.MustCompile(`^["']?[ \t]*[:=]?[ \t]*`),
		nothing:   regexp.MustCompile(`^["']?[ \t]*[:=,]?[ \t]*(?:[|>][0-9+-]{0,2})?["'\[{]?[ \t]*$`),
		harmless: regexp.MustCompile(`^(?:true|false|null|none|(?:[0-9]+(?:ms|s|m|h))+|` +
			`(?:~|/(?:etc|var|run|root|usr|opt|srv|home))/[\w./-]*(?:,/[\w./-]+)*)?$`),
		telling: []*regexp.Regexp{
			regexp.MustCompile(`\b([a-z0-9]{6}\.[a-z0-9]{16})\b`),     // a bootstrap token
			regexp.MustCompile(`\b(eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)`), // a token of a service account
			regexp.MustCompile(`(?i)\b(?:bearer|basic)[ \t]+([^ \t"']+)`),
			regexp.MustCompile(`://[^/\s:@"']*:([^/\s@"']+)@`),
		},
		word:     regexp.MustCompile(`[\w+/-]{20,}={0,2}`),
		digest:   regexp.MustCompile(`sha(?:256|512):$`),
		sshType:  regexp.MustCompile(`(?:ssh|ecdsa|sk)-[\w@.-]+ $`),
		hex:      regexp.MustCompile(`^[0-9a-fA-F]{32,}$`),
		manifest: regexp.MustCompile(`(?m)^( +` + regexp.QuoteMeta(ManifestAnnotation) + `: ).*`),
	}
})

// line is what is shown of a line.
func (m *masking) line(line string) string {
	in := len(line) - len(strings.TrimLeft(line, " \t"))
	nothing := line[:in] + hidden
	switch {
	case m.pem || look().pemBegins.MatchString(line):
		m.pem = !look().pemEnds.MatchString(line)
		return nothing
	case in == len(line):
		return line
	case m.quote != 0:
		if odd(line, m.quote) {
			m.quote = 0
		}
		return nothing
	case m.of >= 0 && (m.next || in > m.of || m.items && in == m.of && line[in] == '-'):
		m.next = false
		m.opens(line)
		return nothing
	}
	*m = masking{of: -1}
	at, follows, found := secretIn(line)
	switch {
	case !found:
		return maskWords(line)
	case !follows:
		*m = masking{of: in, next: true, items: line[in] != '-'}
		return maskWords(line)
	}
	m.of = in
	m.opens(line)
	return maskWords(line[:at]) + hidden
}

// opens notes that a line ends within quotes. Comments have none.
func (m *masking) opens(line string) {
	for _, quote := range []byte{'"', '\''} {
		if odd(line, quote) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			m.quote = quote
			return
		}
	}
}

// odd says whether a line opens quotes that it does not close, or the other way round.
func odd(line string, quote byte) bool {
	return strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\"`, ""), string(quote))%2 == 1
}

// secretIn is the first name like that of a secret in a line: where its value begins, and whether there is some in this line.
func secretIn(line string) (at int, follows, found bool) {
	for _, n := range look().name.FindAllStringIndex(line, -1) {
		name, rest := line[n[0]:n[1]], line[n[1]:]
		named := look().separator.FindString(rest)
		variable := name == "value" && strings.Contains(named, ":")
		if !variable && !namesSecret(name) {
			continue
		}
		if n[0] > 0 && line[n[0]-1] == '/' && !strings.ContainsAny(named, ":= \t") {
			continue // a part of a path
		}
		if look().nothing.MatchString(rest) {
			if strings.Trim(line[:n[0]], " \t-\"'[{") == "" || strings.TrimRight(rest, "\"' \t") != "" {
				return 0, false, true
			}
			continue // it is the value of something itself
		}
		if !look().harmless.MatchString(strings.Trim(rest[len(named):], "\"' \t,]}")) {
			return n[1] + len(named), true, true
		}
	}
	return 0, false, false
}

// namesSecret says whether something is called as secrets are, with or without what separates words.
func namesSecret(name string) bool {
	name = strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
	within := []string{"password", "passwd", "passphrase", "secret", "token", "credential", "bearer", "apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "certificatekey", "keydata"}
	if slices.ContainsFunc(within, func(like string) bool { return strings.Contains(name, like) }) {
		return true
	}
	// A key by itself is that of a label.
	return name != "key" && slices.ContainsFunc([]string{"auth", "authorization", "key", "pass", "pwd", "cookie"}, func(like string) bool { return strings.HasSuffix(name, like) })
}

// maskWords is a line without what looks like a secret wherever it is.
func maskWords(line string) string {
	for _, t := range look().telling {
		line = replaced(line, t.FindAllStringSubmatchIndex(line, -1), func(int, int) bool { return true })
	}
	return replaced(line, look().word.FindAllStringIndex(line, -1), func(from, to int) bool {
		known := look().digest.MatchString(line[:from]) || look().sshType.MatchString(line[:from]) && strings.HasPrefix(line[from:to], "AAAA")
		return !known && slices.ContainsFunc(strings.Split(strings.TrimRight(line[from:to], "="), "/"), random)
	})
}

// replaced hides the last pairs of places, those that it is asked of.
func replaced(line string, places [][]int, hide func(from, to int) bool) string {
	var b strings.Builder
	end := 0
	for _, p := range places {
		from, to := p[len(p)-2], p[len(p)-1]
		if hide(from, to) {
			b.WriteString(line[end:from] + hidden)
			end = to
		}
	}
	return b.String() + line[end:]
}

// random says whether a word looks as if nobody had thought of it.
func random(word string) bool {
	if len(word) < 20 {
		return false
	}
	return look().hex.MatchString(word) && strings.ContainsAny(word, "0123456789") ||
		strings.ContainsAny(word, "0123456789") && strings.ToLower(word) != word && strings.ToUpper(word) != word
}
