package resource

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// What Kubewright writes is shown as it is.
		{"    - --tls-private-key-file=/etc/kubernetes/pki/apiserver.key\n    - --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key\n", ""},
		{"- --enable-bootstrap-token-auth=true\n- --client-cert-auth=true\n- --service-account-max-token-expiration=24h0m0s\n- --authorization-mode=Node,RBAC\n", ""},
		{"image: registry.k8s.io/pause:3.10.2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", ""},
		{"- {key: dedicated, operator: Exists}\n", ""},
		{"- --tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\n", ""},
		{`  "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBlaBlaBla0123456789abcdefABCDEF01234"` + "\n", ""},
		{"", ""},
		{"a", ""},

		// Flags and fields by name.
		{"- --oidc-client-secret=tiger\n- --v=2", "- --oidc-client-secret=(not shown)\n- --v=2"},
		{"- --token=a b c\n", "- --token=(not shown)\n"},
		{"- \"--token=tiger\"\n", "- \"--token=(not shown)\n"},
		{"password: 123456\nuser: me", "password: (not shown)\nuser: me"},
		{`{"password": "two words", "user": "me"}`, `{"password": (not shown)`},
		{"extraArgs: {oidc-client-secret: tiger, v: \"4\"}", "extraArgs: {oidc-client-secret: (not shown)"},
		{"ENCRYPTION_KEY=tiger", "ENCRYPTION_KEY=(not shown)"},
		{"- --token-file=/etc/tokens.csv --password=tiger", "- --token-file=(not shown)"},
		{"url: https://x/?token=tiger", "url: https://x/?token=(not shown)"},
		{"# the password is tiger", "# the password (not shown)"},
		{"- echo \"X-Api-Key: tiger\"", "- echo \"X-Api-Key: (not shown)"},
		{"client-key-data: tiger", "client-key-data: (not shown)"},

		// Values in lines of their own.
		{"- --token\n- tiger\n- --v=2", "- --token\n(not shown)\n- --v=2"},
		{"args: [--token,\n  tiger]\nimage: x", "args: [--token,\n  (not shown)\nimage: x"},
		{"password:\n  tiger\nuser: me", "password:\n  (not shown)\nuser: me"},
		{"tokens:\n- tiger\n- lion\nuser: me", "tokens:\n(not shown)\n(not shown)\nuser: me"},
		{"password: |\n  tiger\n\n  lion\nuser: me", "password: |\n  (not shown)\n\n  (not shown)\nuser: me"},
		{"- --token=ti\n  ger\n- --v=2", "- --token=(not shown)\n  (not shown)\n- --v=2"},
		{"password: \"ti\nger\nlion\"\nuser: me", "password: (not shown)\n(not shown)\n(not shown)\nuser: me"},

		// Variables.
		{"- name: PLAIN\n  value: tiger\n- name: B", "- name: PLAIN\n  value: (not shown)\n- name: B"},
		{"- {name: PLAIN, value: tiger}", "- {name: PLAIN, value: (not shown)"},
		{"- value: |\n    tiger\n  name: PLAIN\nimage: x", "- value: |\n    (not shown)\n  (not shown)\nimage: x"},
		{"- name: DB_PASSWORD\n  value: tiger\n- name: B\n  valueFrom: {}", "- name: DB_PASSWORD\n  value: (not shown)\n- name: B\n  valueFrom: {}"},

		// What looks like a secret wherever it is.
		{"a\n  -----BEGIN RSA PRIVATE KEY-----\n  tiger\n  -----END RSA PRIVATE KEY-----\nb", "a\n  (not shown)\n  (not shown)\n  (not shown)\nb"},
		{"-----BEGIN PRIVATE KEY-----\ntiger", "(not shown)\n(not shown)"},
		{"join with abcdef.0123456789abcdef now", "join with (not shown) now"},
		{"x: eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWIifQ.c2lnbmF0dXJl", "x: (not shown)"},
		{"- curl -H 'Authorized: Bearer tiger' x", "- curl -H 'Authorized: Bearer (not shown)"},
		{"- --proxy=https://me:tiger@proxy:3128/", "- --proxy=https://me:(not shown)@proxy:3128/"},
		{"- --x=c29tZSBzZWNyZXQgb2Ygc29tZW9uZQ== y", "- --x=(not shown) y"},
		{"- --x=0123456789abcdef0123456789abcdef", "- --x=(not shown)"},
		{"- --x=abc/Zm9vYmFyYmF6cXV4MTIzNDU2/d", "- --x=(not shown)"},

		// Nobody tries what is hidden by a digest of it.
		{"    kubewright.dev/manifest: 424bdf1dac1599a4\n- --token=tiger\n", "    kubewright.dev/manifest: …\n- --token=(not shown)\n"},
		{"    kubewright.dev/manifest: 424bdf1dac1599a4\n", ""},
	} {
		want := c.want
		if want == "" {
			want = c.text
		}
		got := mask(c.text)
		if got != want {
			t.Errorf("of %q is shown\n%q, want\n%q", c.text, got, want)
		}
		if strings.Contains(got, "tiger") || strings.Contains(got, "lion") {
			t.Errorf("a secret is shown: %q", got)
		}
	}
}

// Whatever a secret is, in each place that people put them, nothing of it is shown.
func FuzzMask(f *testing.F) {
	f.Add("hunter22")
	f.Add("/9j4AAQSkZJRgABAQ==")
	f.Add("a: b, c")
	f.Add("'x")
	f.Fuzz(func(t *testing.T, secret string) {
		if len(secret) < 6 || strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) || look().harmless.MatchString(strings.Trim(secret, "\"' \t,]}")) {
			return
		}
		for _, shape := range []string{
			"    - --oidc-client-secret=§\n    - --v=2\n", "- --token\n- §\n", "- name: X\n  value: §\n", "- value: §\n  name: X\n", "password:\n- §\n", "value: |\n  §\n  §\n", "# the token: §\n",
			"apiServer: {extraArgs: {oidc-client-secret: §}}\n", "-----BEGIN EC PRIVATE KEY-----\n§\n",
		} {
			if got := mask(strings.ReplaceAll(shape, "§", secret)); strings.Contains(got, secret) && !strings.Contains(strings.ReplaceAll(shape, "§", "")+hidden, secret) {
				t.Errorf("of %q is left %q", strings.ReplaceAll(shape, "§", secret), got)
			}
		}
	})
}
