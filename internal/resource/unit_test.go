package resource_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestUnitRestarts(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	file := resource.ID{Kind: "file", Name: "/etc/a.toml"}
	u := resource.Unit{Name: "a.service", Active: true, Enabled: true, RestartOn: []resource.ID{file}}
	write("/etc/systemd/system/a.service", unitText)(t, m, env)
	for i, c := range []struct {
		do               func() error
		starts, restarts int
	}{
		{func() error { return u.Apply(t.Context(), env) }, 1, 0},
		{func() error { return u.Apply(t.Context(), env) }, 1, 0},
		{func() error { return u.Fire(t.Context(), env, u.RestartOn) }, 1, 1},
		{func() error {
			write("/etc/systemd/system/a.service", unitText+"Nice=1\n")(t, m, env)
			return u.Fire(t.Context(), env, u.RestartOn)
		}, 1, 2},
		{func() error { m.SetUnit(u.Name, "failed"); return u.Fire(t.Context(), env, u.RestartOn) }, 2, 2},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if s, r := m.Starts(u.Name), m.Restarts(u.Name); s != c.starts || r != c.restarts {
			t.Errorf("after %d: started %d times, restarted %d times; want %d, %d", i, s, r, c.starts, c.restarts)
		}
		if o, err := u.Observe(t.Context(), env); err != nil || len(u.Diff(o)) > 0 {
			t.Errorf("after %d: %v differs by %v, %v", i, o, u.Diff(o), err)
		}
	}
}

func TestUnitReloads(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	config, file := resource.ID{Kind: "file", Name: "/etc/a.toml"}, resource.ID{Kind: "file", Name: "/etc/systemd/system/a.service"}
	u := resource.Unit{Name: "a.service", Active: true, Enabled: true, RestartOn: []resource.ID{file}, ReloadOn: []resource.ID{config}}
	if by := u.TriggeredBy(); !slices.Equal(by, []resource.ID{file, config}) {
		t.Errorf("it is triggered by %v", by)
	}
	write("/etc/systemd/system/a.service", unitText)(t, m, env)
	for i, c := range []struct {
		before                    func()
		by                        []resource.ID
		starts, restarts, reloads int
	}{
		{nil, []resource.ID{config, file}, 1, 0, 0},
		{nil, []resource.ID{config}, 1, 0, 1},
		{nil, []resource.ID{config, file}, 1, 1, 1},
		{func() { m.SetUnit(u.Name, "failed") }, []resource.ID{config}, 2, 1, 1},
		{func() { m.SetUnit(u.Name, "activating") }, []resource.ID{config}, 3, 1, 1}, // the fake counts what did not run yet as started
	} {
		if c.before != nil {
			c.before()
		}
		if err := u.Fire(t.Context(), env, c.by); err != nil {
			t.Fatal(err)
		}
		if s, r, l := m.Starts(u.Name), m.Restarts(u.Name), m.Reloads(u.Name); s != c.starts || r != c.restarts || l != c.reloads {
			t.Errorf("after %d: started %d times, restarted %d times, reloaded %d times; want %d, %d, %d", i, s, r, l, c.starts, c.restarts, c.reloads)
		}
	}
	running := resource.Observed{State: resource.Present, Values: map[string]string{"active": "active"}, Pending: []resource.ID{config}}
	if c := u.Trigger(running, []resource.ID{config}); c.What != "reload" || c.Disturbs || c.Why != "because /etc/a.toml changed and it was not reloaded since" {
		t.Errorf("%+v", c)
	}
	if c := u.Trigger(running, []resource.ID{config, file}); c.What != "restart" || !c.Disturbs {
		t.Errorf("%+v", c)
	}
}

func TestUnitTrigger(t *testing.T) {
	a, b := resource.ID{Kind: "file", Name: "/a"}, resource.ID{Kind: "file", Name: "/b"}
	u := resource.Unit{Name: "a.service", Active: true, RestartOn: []resource.ID{a, b}}
	active := map[string]string{"active": "active"}
	for _, c := range []struct {
		o        resource.Observed
		by       []resource.ID
		why      string
		disturbs bool
	}{
		{resource.Observed{State: resource.Present, Values: active}, []resource.ID{a}, "because /a changes", true},
		{resource.Observed{State: resource.Present, Values: active}, []resource.ID{a, b}, "because /a, /b change", true},
		{resource.Observed{State: resource.Present, Values: active, Pending: []resource.ID{b}}, []resource.ID{b}, "because /b changed and it was not restarted since", true},
		{resource.Observed{State: resource.Present, Values: active, Pending: []resource.ID{b}}, []resource.ID{a, b},
			"because /a changes, and because /b changed and it was not restarted since", true},
		{resource.Observed{State: resource.Present, Values: map[string]string{"active": "failed"}}, []resource.ID{a}, "because /a changes", false},
		{resource.Observed{State: resource.Absent}, []resource.ID{a}, "because /a changes", false},
		{resource.Observed{}, []resource.ID{a}, "because /a changes", true}, // nothing was to be said of it: it runs
	} {
		got := u.Trigger(c.o, c.by)
		if got.What != "restart" || got.Why != c.why || got.Disturbs != c.disturbs {
			t.Errorf("%v, %v: %+v", c.o, c.by, got)
		}
	}
	u.Active = false
	if by := u.TriggeredBy(); len(by) > 0 {
		t.Errorf("a unit that shall not run is triggered by %v", by)
	}
}

func TestUnitDisturbs(t *testing.T) {
	u := resource.Unit{Name: "a.service"}
	for active, want := range map[string]bool{"active": true, "activating": true, "deactivating": false} {
		d := u.Diff(resource.Observed{State: resource.Present, Values: map[string]string{"active": active, "enabled": "disabled"}})
		if len(d) != 1 || d[0].Disturbs != want {
			t.Errorf("stopping one that is %s: %+v", active, d)
		}
	}
}

func TestUnitThatCannotBeEnabled(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		u := resource.Unit{Name: "a.service", Enabled: enabled}
		if d := u.Diff(resource.Observed{State: resource.Present, Values: map[string]string{"active": "inactive", "enabled": "static"}}); len(d) > 0 {
			t.Errorf("enabled %v: %v", enabled, d)
		}
	}
}

func TestUnitThatIsNotThere(t *testing.T) {
	u := resource.Unit{Name: "a.service", Active: true}
	err := u.Apply(t.Context(), fake.New("m", nil).Env(nil))
	if err == nil || !strings.Contains(err.Error(), "systemd knows no unit a.service") {
		t.Errorf("it fails with %v", err)
	}
}

func TestUnitActive(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	p := resource.UnitActive{Name: "a.service"}
	if why, err := p.Check(t.Context(), env); err == nil {
		t.Errorf("of a unit that is not there it says %q", why)
	}
	m.DeclareUnit("a.service", true, true)
	for _, c := range []struct {
		active string
		log    []string
		why    string
	}{
		{"active", nil, ""}, {"inactive", nil, "a.service is inactive"}, {"failed", []string{"first", "no such device"}, "a.service is failed: no such device"},
		{"activating", []string{"trying"}, "a.service is activating: trying"},
	} {
		m.SetUnit("a.service", c.active, c.log...)
		if why, err := p.Check(t.Context(), env); err != nil || why != c.why {
			t.Errorf("%s: %q, %v", c.active, why, err)
		}
	}
}

func TestReboot(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	m.DeclareModule("mod", resource.ModuleAvailable)
	m.DeclareSysctl("a.b", "0", "mod")
	m.DeclareUnit("on.service", false, true)
	m.DeclareUnit("off.service", true, false)
	all(write("/run/x", "x"), write("/etc/modules-load.d/k.conf", "# mine\nmod\n"), write("/etc/sysctl.d/k.conf", "a.b = 1\n"), write("/etc/hostname", "new\n"))(t, m, env)
	m.Reboot()
	state := m.State()
	for key, want := range map[string]string{"hostname": "new", "module mod": "loaded", "sysctl a.b": "1", "unit on.service": "loaded active enabled", "unit off.service": "loaded inactive disabled", "path /run/x": ""} {
		if state[key] != want {
			t.Errorf("%s is %q, want %q", key, state[key], want)
		}
	}
	if names, err := env.Systemd.Loaded(t.Context(), "o?.service", "off.*"); err != nil || !slices.Equal(names, []string{"off.service", "on.service"}) {
		t.Errorf("loaded are %q, %v", names, err)
	}
}
