package resource_test

import (
	"io/fs"
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
