package resource

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// enabledUnits is a systemd that knows which units are enabled.
type enabledUnits struct {
	Systemd
	enabled map[string]bool
}

func (s enabledUnits) Unit(_ context.Context, name string) (UnitState, error) {
	if s.enabled[name] {
		return UnitState{Load: "loaded", File: "enabled"}, nil
	}
	return UnitState{Load: "loaded", File: "disabled"}, nil
}

func (s enabledUnits) Disable(_ context.Context, name string) error {
	delete(s.enabled, name)
	return nil
}

// newShrinking is a machine on which chrony took the place of timesyncd, and the packages without chrony.
func newShrinking(t *testing.T) (*rootMachine, *testDebian, Packages) {
	m, d, p := newReplacing(t)
	units := enabledUnits{enabled: map[string]bool{}}
	m.Systemd = units
	m.apply(t, p)
	units.enabled["chrony.service"] = true // as its Unit has it
	d.auto = map[string]bool{}             // as apt forgets it
	d.commands = nil
	p.Names = []string{"socat", "tar"}
	p.Replace = nil
	return m, d, p
}

var shrunk = map[string]string{"tar": "installed", "socat": "installed", "libwrap": "installed", "timesyncd": "installed", "theirs": "not-installed"}

func (m *rootMachine) record(t *testing.T) string {
	t.Helper()
	b, err := readAll(m.Env, packagesRecord)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPackagesGoThatNothingAsksFor(t *testing.T) {
	m, d, p := newShrinking(t)
	if got, want := m.differs(t, p), []string{"adduser: installed → removed (nothing asks for it any more)", "chrony: installed → removed (nothing asks for it any more)",
		"timesyncd: removed → installed (chrony made way)"}; !slices.Equal(got, want) {
		t.Fatalf("it differs by %q", got)
	}
	m.apply(t, p)
	if !maps.Equal(d.status, shrunk) || !d.auto["timesyncd"] {
		t.Errorf("there are packages %v, by themselves %v", d.status, d.auto)
	}
	if len(m.Systemd.(enabledUnits).enabled) > 0 {
		t.Error("a unit of what has gone is enabled")
	}
	tree := m.files.tree(t)
	if got := tree["/etc/group"]; strings.Contains(got, "_chrony") || strings.Contains(got, "_adduser") || !strings.Contains(got, "_socat") {
		t.Errorf("there are groups %q", got)
	}
	if _, kept := tree[replacedFile("timesyncd")]; kept {
		t.Error("a package is kept that is back")
	}
	if got, want := m.record(t), `{"brought":{"libwrap":false,"socat":false},"groups":["_libwrap","_socat"]}`; got != want {
		t.Errorf("the record is %s", got)
	}
	d.commands = nil
	m.apply(t, p)
	if len(d.commands) > 0 {
		t.Errorf("a second Apply did %q", d.commands)
	}
	// It comes again, and all goes.
	p.Names, p.Replace = []string{"chrony", "socat", "tar"}, map[string][]string{"chrony": {"timesyncd"}}
	m.apply(t, p)
	if d.status["timesyncd"] != "config-files" || d.status["chrony"] != "installed" {
		t.Errorf("there are packages %v", d.status)
	}
	if err := p.Undo(t.Context(), m.Env, Observed{}); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"tar": "installed", "timesyncd": "installed", "theirs": "not-installed"}; !maps.Equal(d.status, want) {
		t.Errorf("Undo left %v", d.status)
	}
	if got := m.files.tree(t)["/etc/group"]; strings.Contains(got, "_") {
		t.Errorf("Undo left groups %q", got)
	}
}

func TestPackagesGoWhereverItIsCutOff(t *testing.T) {
	for undo := range 2 {
		for n := 1; ; n++ {
			m, d, p := newShrinking(t)
			d.left = n
			err := p.Apply(t.Context(), m.Env)
			if d.left > 0 {
				if err != nil || n < 6 { // remove, purge, two groups, put back, mark
					t.Fatalf("it is cut off at %d places, and says %v", n-1, err)
				}
				break
			}
			if err == nil || len(p.Diff(m.observe(t, p))) == 0 {
				t.Fatalf("cut off at %d, Apply says %v, and differs by %q", n, err, m.differs(t, p))
			}
			want, groups := shrunk, "_socat"
			if undo == 1 {
				want, groups = map[string]string{"tar": "installed", "timesyncd": "installed", "theirs": "not-installed"}, "people"
				if err := p.Undo(t.Context(), m.Env, Observed{}); err != nil {
					t.Fatal(err)
				}
			} else {
				m.apply(t, p)
				if got, want := m.record(t), `{"brought":{"libwrap":false,"socat":false},"groups":["_libwrap","_socat"]}`; got != want {
					t.Errorf("cut off at %d, the record is %s", n, got)
				}
			}
			if got := m.files.tree(t)["/etc/group"]; !maps.Equal(d.status, want) || !d.auto["timesyncd"] || strings.Contains(got, "_chrony") || !strings.Contains(got, groups) {
				t.Errorf("cut off at %d, there are packages %v, by themselves %v, and groups %q", n, d.status, d.auto, got)
			}
		}
	}
}

func TestPackagesThatNothingAsksForButSomethingNeeds(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(d *testDebian, p *Packages)
		want []string
	}{
		{"the administrator's", func(d *testDebian, _ *Packages) {
			d.status["own"], d.depends["own"] = "installed", []string{"chrony (>= 1)"}
		}, nil},
		{"by what it provides", func(d *testDebian, _ *Packages) {
			d.provides = map[string]string{"chrony": "time-daemon (= 1), clock"}
			d.status["own"], d.depends["own"] = "unpacked", []string{"x | time-daemon"}
		}, nil},
		{"a dependency alone", func(d *testDebian, _ *Packages) {
			d.status["own"], d.depends["own"] = "installed", []string{"adduser:any"}
		},
			[]string{"chrony: installed → removed", "timesyncd: removed → installed"}},
		{"removed, with its configuration", func(d *testDebian, _ *Packages) {
			d.status["own"], d.depends["own"] = "config-files", []string{"chrony"}
		},
			[]string{"adduser: installed → removed", "chrony: installed → removed", "timesyncd: removed → installed"}},
		{"essential", func(d *testDebian, _ *Packages) { d.essential = "chrony" }, nil},
		{"what is asked for is missing", func(d *testDebian, p *Packages) {
			p.Names, p.Replace = append(p.Names, "chrony"), map[string][]string{"chrony": {"timesyncd"}}
			delete(d.status, "chrony")
		}, []string{"chrony: absent → installed"}},
		{"another takes its place", func(d *testDebian, p *Packages) {
			p.Names, p.Replace = append(p.Names, "openntpd"), map[string][]string{"openntpd": {"timesyncd"}}
		}, []string{"openntpd: absent → installed", "adduser: installed → removed", "chrony: installed → removed"}},
		{"it went by itself", func(d *testDebian, _ *Packages) { d.status["chrony"] = "config-files" },
			[]string{"adduser: installed → removed", "chrony: configuration → removed", "timesyncd: removed → installed"}},
		{"all is there again", func(d *testDebian, _ *Packages) {
			delete(d.status, "chrony")
			delete(d.status, "adduser")
			d.status["timesyncd"] = "installed"
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d, p := newShrinking(t)
			c.set(d, &p)
			var got []string
			for _, change := range m.differs(t, p) {
				what, _, _ := strings.Cut(change, " (")
				got = append(got, what)
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("it differs by %q", got)
			}
			own := d.status["own"]
			m.apply(t, p)
			if d.status["own"] != own {
				t.Errorf("own is %q", d.status["own"])
			}
			for _, change := range c.want {
				name, how, _ := strings.Cut(change, ": ")
				if is := d.status[name]; (is == "installed") != strings.HasSuffix(how, "installed") || is == "config-files" {
					t.Errorf("%s is %q", name, is)
				}
			}
		})
	}
}

func TestPackagesStayAwayWhereAnotherHasTheirPlace(t *testing.T) {
	m, d, p := newShrinking(t)
	d.status["openntpd"] = "installed"
	m.apply(t, p)
	if d.status["timesyncd"] != "config-files" || d.status["chrony"] != "" || !strings.Contains(strings.Join(m.said, "\n"), "timesyncd, which was there before, stays away") {
		t.Errorf("there are packages %v; it said %q", d.status, m.said)
	}
}

func TestPackagesRecordOfOlderForm(t *testing.T) {
	m, d, p := newShrinking(t)
	var r map[string]any
	if err := json.Unmarshal([]byte(m.record(t)), &r); err != nil {
		t.Fatal(err)
	}
	for _, of := range r["replaced"].(map[string]any) {
		delete(of.(map[string]any), "by")
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, packagesRecord, string(b), 0o644)
	still := p
	still.Names, still.Replace = append(slices.Clone(p.Names), "chrony"), map[string][]string{"chrony": {"timesyncd"}}
	if got := m.differs(t, still); len(got) > 0 {
		t.Errorf("while chrony is asked for, it differs by %q", got)
	}
	if got := m.differs(t, p); len(got) != 3 || got[2] != "timesyncd: removed → installed (what took its place made way)" {
		t.Errorf("it differs by %q", got)
	}
	m.apply(t, p)
	if !maps.Equal(d.status, shrunk) {
		t.Errorf("there are packages %v", d.status)
	}
}

func TestDependencies(t *testing.T) {
	got := dependencies(", libc6 (>= 2.34), python3:any | perl, x [linux-any], ,adduser<!nocheck>")
	if want := []string{"libc6", "python3", "perl", "x", "adduser"}; !slices.Equal(got, want) {
		t.Errorf("there are %q", got)
	}
}

// TestFileOfAPackageThatHasGone leaves nothing where the package brought the file and its directory.
func TestFileOfAPackageThatHasGone(t *testing.T) {
	m := newRootMachine(t)
	m.write(t, "/etc/chrony/chrony.conf", "theirs\n", 0o644)
	f := NewFile("/etc/chrony/chrony.conf", "ours\n")
	m.blobs.add(f.Content)
	before := m.apply(t, f)
	if err := m.files.RemoveAll("/etc/chrony"); err != nil {
		t.Fatal(err)
	}
	if err := f.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if _, err := m.files.Stat("/etc/chrony"); err == nil {
		t.Error("its directory is back")
	}
}
