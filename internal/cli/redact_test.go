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

// Whatever a secret is, in each shape that they come in, nothing is left of it.
func FuzzRedact(f *testing.F) {
	f.Add("hunter22xyz")
	f.Add("c29tZSBzZWNyZXQ=")
	f.Fuzz(func(t *testing.T, secret string) {
		if len(secret) < 8 || strings.ContainsFunc(secret, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=", r)
		}) || strings.HasPrefix("[removed]", secret) {
			return
		}
		for _, shape := range []string{
			"password: §", "password=§", `{"password":"§","user":"me"}`, `"{\"password\":\"§\"}"`, "DB_PASSWORD: '§'", `{"name":"X_TOKEN","value":"§"}`, "- name: X_SECRET\n  value: §\n", "kubeadm join --token § x",
			"kubeadm join --certificate-key §", "Authorization: Bearer §", "https://me:§@example.org/", "client-key-data: §\n", "-----BEGIN PRIVATE KEY-----\n§", "-----BEGIN RSA PRIVATE KEY-----\n§\n-----END RSA PRIVATE KEY-----",
			`"password": "two words §"`,
		} {
			if got, n := redact([]byte(strings.ReplaceAll(shape, "§", secret))); n == 0 || strings.Contains(string(got), secret) {
				t.Errorf("of %q is left %q", shape, got)
			}
		}
	})
}
