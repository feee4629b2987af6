package resource_test

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// What not everybody on the machine may read is in no observation and in no change, whatever shall be there.
func TestWhatFewMayReadIsNotShown(t *testing.T) {
	const was = "//nas/share /srv cifs password=tiger 0 0\n/swap none swap sw 0 0\n"
	secret := resource.NewFile("/etc/fstab", "new\n")
	secret.Secret = true
	private := resource.NewFile("/etc/fstab", "new\n")
	private.Mode = 0o600
	masked := private
	masked.ShowMasked = true
	maskedSecret := masked
	maskedSecret.Secret = true
	for _, c := range []struct {
		name  string
		r     resource.Resource
		mode  fs.FileMode
		shown bool
	}{
		{"everybody", resource.NewFile("/etc/fstab", "new\n"), 0o644, true},
		{"root", resource.NewFile("/etc/fstab", "new\n"), 0o600, false},
		{"a group", resource.NewFile("/etc/fstab", "new\n"), 0o640, false},
		{"secret", secret, 0o644, false},
		{"masked", masked, 0o600, false},
		{"masked, and everybody", masked, 0o644, false},
		{"masked, and secret", maskedSecret, 0o600, false},
		{"to be of root", private, 0o600, false},
		{"fstab", resource.FstabSwap{}, 0o644, true},
		{"fstab of root", resource.FstabSwap{}, 0o600, false},
		{"block", resource.Block{Path: "/etc/fstab", Name: "x", Text: "new"}, 0o644, true},
		{"block in a file of root", resource.Block{Path: "/etc/fstab", Name: "x", Text: "new"}, 0o640, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := fake.New("m", nil).Env(nil)
			if err := env.Files.Write("/etc/fstab", resource.Attributes{Mode: c.mode}, strings.NewReader(was)); err != nil {
				t.Fatal(err)
			}
			o, err := c.r.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			changes := c.r.Diff(o)
			if len(changes) == 0 {
				t.Fatal("nothing changes")
			}
			text := o.Text
			for _, change := range changes {
				text += strings.Join(change.Lines, "\n")
			}
			if shown := strings.Contains(text, "tiger"); shown != c.shown {
				t.Errorf("the content is shown: %t; want %t: %+v, %+v", shown, c.shown, o, changes)
			}
		})
	}
}

// What shall be in a file that not everybody may read is shown no more than what is.
func TestWhatFewShallReadIsNotShown(t *testing.T) {
	f := resource.NewFile("/etc/x", "one\npassword: tiger\n")
	f.Mode = 0o600
	masked := f
	masked.ShowMasked = true
	empty := resource.Observed{State: resource.Present, Values: map[string]string{"type": "file", "mode": "0600", "owner": "root:root", "digest": resource.DigestOf(nil)}}
	for _, o := range []resource.Observed{{State: resource.Absent}, empty} {
		if c := f.Diff(o); len(c) != 1 || len(c[0].Lines) > 0 {
			t.Errorf("of %v is shown %+v", o, c)
		}
		if c := masked.Diff(o); len(c) != 1 || !slices.Equal(c[0].Lines, []string{"+one", "+password: (not shown)"}) {
			t.Errorf("masked, of %v is shown %+v", o, c)
		}
	}
}

const (
	manifestWas = `metadata:
  annotations:
    kubewright.dev/manifest: 1111111111111111
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --audit-log-maxage=30
    - --oidc-client-secret=leopard
    - --v=2
    image: api:1
`
	oidcSecret = "    - --oidc-client-secret=leopard\n"
)

// Manifests are shown line by line, without the secrets of those who wrote into them: the user by flags, or anybody by hand.
func TestManifestIsShownMasked(t *testing.T) {
	replace := strings.NewReplacer
	plain := strings.Replace(manifestWas, oidcSecret, "", 1)
	for _, c := range []struct {
		name     string
		was, now string
		want     resource.Change
	}{
		{"a flag", plain, replace("maxage=30", "maxage=31", "1111111111111111", "2222222222222222").Replace(plain),
			resource.Change{Lines: []string{"@@ line 7 @@", "   - command:", "     - kube-apiserver", "-    - --audit-log-maxage=30", "+    - --audit-log-maxage=31", "     - --v=2", "     image: api:1"}}},
		{"only the digest", plain, replace("1111111111111111", "2222222222222222").Replace(plain),
			resource.Change{Why: "as its digest says, what the Pod reads when it starts is another",
				Lines: []string{"@@ line 1 @@", " metadata:", "   annotations:", "-    kubewright.dev/manifest: 1111111111111111", "+    kubewright.dev/manifest: 2222222222222222", "   name: kube-apiserver", " spec:"}}},
		{"a secret of the user's", manifestWas, replace("leopard", "tiger", "1111111111111111", "2222222222222222").Replace(manifestWas),
			resource.Change{Why: "only what looks like a secret is another, and is not shown"}},
		{"by hand", plain + "    env:\n    - name: HIDDEN\n      value: tiger\n    # her password is leopard\n", plain,
			resource.Change{Why: "what looks like a secret is not shown, and may be another",
				Lines: []string{"@@ line 10 @@", "     - --v=2", "     image: api:1", "-    env:", "-    - name: HIDDEN", "-      value: (not shown)", "-    # her password (not shown)"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := resource.NewFile("/etc/kubernetes/manifests/kube-apiserver.yaml", c.now)
			f.Mode, f.ShowMasked, f.Disturbs = 0o600, true, true
			env := fake.New("m", nil).Env(nil)
			if err := env.Files.Write(f.Path, resource.Attributes{Mode: 0o600}, strings.NewReader(c.was)); err != nil {
				t.Fatal(err)
			}
			o, err := f.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			got := f.Diff(o)
			if all := fmt.Sprint(o, got); strings.Contains(all, "tiger") || strings.Contains(all, "leopard") {
				t.Errorf("a secret is shown: %s", all)
			}
			c.want.What, c.want.Disturbs = "content", true
			if !reflect.DeepEqual(got, []resource.Change{c.want}) {
				t.Errorf("it is shown as %+v\nwant %+v", got, c.want)
			}
		})
	}
}
