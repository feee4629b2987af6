package resource_test

import (
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestSetAside(t *testing.T) {
	d := resource.SetAside{Path: "/var/lib/etcd/member", Unless: "wal"}
	for _, c := range []struct {
		name  string
		files []string
		moves bool
	}{
		{"nothing", nil, false},
		{"what one left that could not begin", []string{"/var/lib/etcd/member/snap/db"}, true},
		{"a member's data", []string{"/var/lib/etcd/member/snap/db", "/var/lib/etcd/member/wal/0.wal"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fake.New("m", nil)
			env := m.Env(nil)
			for _, f := range c.files {
				write(f, "x")(t, m, env)
			}
			o, err := d.Observe(t.Context(), env)
			if err != nil || len(d.Diff(o)) > 0 != c.moves {
				t.Fatalf("%+v differs by %v, %v", o, d.Diff(o), err)
			}
			if err := d.Apply(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			if o, err := d.Observe(t.Context(), env); err != nil || len(d.Diff(o)) > 0 {
				t.Errorf("afterwards it differs by %v, %v", d.Diff(o), err)
			}
			names, err := env.Files.List("/var/lib/etcd")
			if err != nil && len(c.files) > 0 {
				t.Fatal(err)
			}
			aside := ""
			for _, name := range names {
				if strings.HasPrefix(name, "member.aside-") {
					aside = "/var/lib/etcd/" + name
				}
			}
			if aside != "" != c.moves {
				t.Fatalf("there are %q", names)
			}
			if !c.moves {
				return
			}
			if _, err := env.Files.Stat(aside + "/snap/db"); err != nil {
				t.Errorf("what was there is not kept: %v", err)
			}
			// Another one in the same second does not take its place.
			write(c.files[0], "y")(t, m, env)
			if err := d.Apply(t.Context(), env); err == nil {
				t.Error("it was set aside over what was set aside before")
			}
		})
	}
}
