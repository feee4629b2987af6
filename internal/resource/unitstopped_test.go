package resource_test

import (
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestUnitStopped(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	u := resource.UnitStopped{Name: "a.service"}
	changes := func() []resource.Change {
		t.Helper()
		o, err := u.Observe(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		return u.Diff(o)
	}
	if c := changes(); len(c) > 0 {
		t.Errorf("a unit that is not there differs by %v", c)
	}
	write("/etc/systemd/system/a.service", unitText)(t, m, env)
	if err := (resource.Unit{Name: u.Name, Active: true, Enabled: true}).Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if c := changes(); len(c) != 1 || !c[0].Disturbs || c[0].New != "inactive" {
		t.Errorf("one that runs differs by %v", c)
	}
	if err := u.Apply(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	if c := changes(); len(c) > 0 {
		t.Errorf("afterwards it differs by %v", c)
	}
	if s, err := env.Systemd.Unit(t.Context(), u.Name); err != nil || s.Active == "active" || s.File == "enabled" {
		t.Errorf("it is %+v, %v", s, err)
	}
}
