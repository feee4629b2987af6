package cli

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for _, c := range []struct {
		text, want string
		removed    int
	}{
		{"nothing here: 10.0.0.11:6443, sha256:0123456789abcdef0123456789abcdef, I1127 20:01:36.127268     321 server.go:177]", "", 0},
		{"a\n-----BEGIN EC PRIVATE KEY-----\nMHcC\nAQEE\n-----END EC PRIVATE KEY-----\nb", "a\n[removed]\nb", 1},
		{"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "", 0},
		{"joins with abcdef.0123456789abcdef now", "joins with [removed] now", 1},
		{"Authorization: Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl", "Authorization: Bearer [removed]", 1},
		{"Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [removed]", 1},
		{"pulling from https://me:hunter22@registry.example.org/v2/", "pulling from https://me:[removed]@registry.example.org/v2/", 1},
		{`{"password":"hunter22","user":"me"}`, `{"password":"[removed]","user":"me"}`, 1},
		{"client-key-data: TUhjQ0FRRUU=\n", "client-key-data: [removed]\n", 1},
		{"--token=s3cr3t-value --v=2", "--token=[removed] --v=2", 1},
		{"--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key --service-account-private-key=/etc/kubernetes/pki/sa.key", "", 0},
		{"client-cert-auth: false, auth=true, key-data: null", "", 0},
	} {
		want := c.want
		if want == "" {
			want = c.text
		}
		got, n := redact([]byte(c.text))
		if string(got) != want || n != c.removed {
			t.Errorf("%q becomes %q, with %d pieces out; want %q and %d", c.text, got, n, want, c.removed)
		}
		if again, n := redact(got); string(again) != want || n != 0 {
			t.Errorf("redacted again, %q becomes %q", got, again)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("password: hunter22 ://a:bcdefg@h -----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY-----")
	f.Add("token token=token==[removed]")
	f.Fuzz(func(t *testing.T, text string) {
		got, n := redact([]byte(text))
		if strings.Contains(string(got), "PRIVATE KEY-----x-----END PRIVATE KEY") {
			t.Errorf("%q keeps a key: %q", text, got)
		}
		if n == 0 && string(got) != text {
			t.Errorf("%q becomes %q, and nothing was taken out", text, got)
		}
	})
}
