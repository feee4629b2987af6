package resource

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newReplacing is a machine on which chrony is to take the place of what keeps its clock.
func newReplacing(t *testing.T) (*rootMachine, *testDebian, Packages) {
	m, d, p := newDebian(t)
	p.Replace = map[string][]string{"chrony": {"timesyncd", "ntp"}}
	d.status["timesyncd"] = "installed"
	d.auto["timesyncd"] = true
	m.write(t, "/etc/timesyncd.conf", "mine\n", 0o644)
	return m, d, p
}

func TestPackagesReplaceOthers(t *testing.T) {
	m, d, p := newReplacing(t)
	was, had, auto := m.files.tree(t), maps.Clone(d.status), maps.Clone(d.auto)
	if got, want := m.differs(t, p), []string{"chrony: absent → installed", "socat: absent → installed", "timesyncd: installed → removed (chrony takes its place)"}; !slices.Equal(got, want) {
		t.Fatalf("it differs by %q", got)
	}
	before := m.apply(t, p)
	if d.status["timesyncd"] != "config-files" || d.status["chrony"] != "installed" {
		t.Errorf("there are packages %v", d.status)
	}
	delete(d.auto, "timesyncd") // as apt forgets it
	for range 2 {
		if err := p.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
		if now := m.files.tree(t); !maps.Equal(now, was) || !maps.Equal(d.status, had) || !maps.Equal(d.auto, auto) {
			t.Errorf("Undo left %v, %v and %q", d.status, d.auto, now)
		}
	}
}

func TestPackagesLeaveWhatIsNotInTheWay(t *testing.T) {
	m, d, p := newReplacing(t)
	d.conflicts = nil
	m.apply(t, p)
	if d.status["timesyncd"] != "installed" {
		t.Errorf("timesyncd is %s", d.status["timesyncd"])
	}
}

func TestPackagesRemoveNothingElse(t *testing.T) {
	m, d, p := newReplacing(t)
	d.status["openntpd"] = "installed"
	had := maps.Clone(d.status)
	err := p.Apply(t.Context(), m.Env)
	if _, blocked := errors.AsType[BlockedError](err); !blocked || !strings.Contains(err.Error(), "installing chrony, socat would remove openntpd from this machine") {
		t.Errorf("Apply says %v", err)
	}
	if !maps.Equal(d.status, had) {
		t.Errorf("there are packages %v", d.status)
	}
}

func TestPackagesCutOffWhileReplacing(t *testing.T) {
	for _, again := range []bool{false, true} {
		m, d, p := newReplacing(t)
		was, had := m.files.tree(t), maps.Clone(d.status)
		before := m.observe(t, p)
		d.halfway = true
		if err := p.Apply(t.Context(), m.Env); err == nil || d.status["timesyncd"] != "half-installed" {
			t.Fatalf("Apply says %v", err)
		}
		if again {
			m.apply(t, p)
		}
		if err := p.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
		if now := m.files.tree(t); !maps.Equal(now, was) || !maps.Equal(d.status, had) {
			t.Errorf("Undo left %v and %q", d.status, now)
		}
	}
}

func TestPackagesThatCannotComeBack(t *testing.T) {
	for _, c := range []struct {
		name      string
		set       func(m *rootMachine, d *testDebian) error
		want      string // what Undo fails with
		says      string // what people are told
		remaining string
	}{
		{"another has its place", func(_ *rootMachine, d *testDebian) error { d.status["openntpd"] = "installed"; return nil }, "",
			"timesyncd, which was there before, stays away, since another has its place by now: openntpd provides time-daemon and is present and installed.", "config-files"},
		{"dpkg refuses", func(_ *rootMachine, d *testDebian) error { d.broken = true; return nil },
			"the package timesyncd, which had to go, cannot be put back (from /var/lib/kubewright/replaced/timesyncd.deb): dpkg: dpkg: error processing", "", "config-files"},
		{"it was lost", func(m *rootMachine, _ *testDebian) error { return m.files.RemoveAll(replacedDir) }, "cannot be put back", "", "config-files"},
		{"it is back", func(m *rootMachine, d *testDebian) error {
			d.status["timesyncd"], d.conflicts = "installed", nil
			return m.files.RemoveAll(replacedDir)
		}, "", "", "installed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d, p := newReplacing(t)
			before := m.apply(t, p)
			if err := c.set(m, d); err != nil {
				t.Fatal(err)
			}
			err := p.Undo(t.Context(), m.Env, before)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Undo says %v, not %q", err, c.want)
			}
			if !strings.Contains(strings.Join(m.said, "\n"), c.says) {
				t.Errorf("it said %q", m.said)
			}
			if d.status["timesyncd"] != c.remaining || d.status["chrony"] != "" {
				t.Errorf("Undo left %v", d.status)
			}
			if err == nil {
				return
			}
			// The way out that the message names.
			if err := m.files.Remove(packagesRecord); err != nil {
				t.Fatal(err)
			}
			if err := p.Undo(t.Context(), m.Env, before); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeptPackage has dpkg read what is written of a package.
func TestKeptPackage(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("there is no dpkg-deb on this machine")
	}
	m := newRootMachine(t)
	files := map[string]string{
		"/etc/same.conf": "same\n", "/etc/changed.conf": "changed\n", "/etc/old.conf": "old\n", "/usr/lib/x/program": "#!/bin/sh\n", "/var/lib/dpkg/info/x.postinst": "#!/bin/sh\nexit 0\n",
	}
	for name, content := range files {
		m.write(t, name, content, 0o755)
	}
	for target, name := range map[string]string{"usr/lib": "/lib", "program": "/usr/lib/x/link"} {
		if err := m.files.Link(target, name); err != nil {
			t.Fatal(err)
		}
	}
	m.Exec = execFunc(func(_ context.Context, c Command) (Output, error) {
		switch {
		case c.Name == "find":
			return Output{Stdout: "4755 /lib/x/program\n", Code: 1}, nil
		case slices.Contains(c.Args, "--control-path"):
			return Output{Stdout: "/var/lib/dpkg/info/x.postinst\n"}, nil
		case slices.Contains(c.Args, "--listfiles"):
			return Output{Stdout: "/.\n/etc\n/etc/same.conf\n/etc/changed.conf\n/etc/removed.conf\n/etc/old.conf\n/lib\n/lib/x\n/lib/x/program\n/lib/x/link\n/usr\n/usr/share\n/usr/share/doc.gz\n"}, nil
		default:
			return Output{Stdout: "Package: x\nStatus: install ok installed\nMaintainer: I <i@example.com>\nArchitecture: all\nVersion: 1:2-3\nConffiles:\n" +
				" /etc/same.conf 847676261680bff61c72961c8198abc0\n /etc/changed.conf 00\n /etc/removed.conf 00\n /etc/old.conf 00 obsolete\nDescription: one\n of several lines\n"}, nil
		}
	})
	if err := keepPackage(t.Context(), m.Env, "x", "/x.deb"); err != nil {
		t.Fatal(err)
	}
	deb := m.files.at("/x.deb")
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	if got, want := run("dpkg-deb", "--field", deb), "Package: x\nMaintainer: I <i@example.com>\nArchitecture: all\nVersion: 1:2-3\nDescription: one\n of several lines\n"; got != want {
		t.Errorf("it says of itself:\n%s", got)
	}
	var list []string
	for line := range strings.Lines(run("dpkg-deb", "--contents", deb)) {
		f := strings.Fields(line)
		list = append(list, f[0]+" "+strings.Join(f[5:], " "))
	}
	if want := []string{"drwxr-xr-x ./", "drwxr-xr-x ./etc/", "-rwxr-xr-x ./etc/same.conf",
		"drwxr-xr-x ./lib/", "drwxr-xr-x ./lib/x/", "-rwsr-xr-x ./lib/x/program", "lrwxrwxrwx ./lib/x/link -> program", "drwxr-xr-x ./usr/"}; !slices.Equal(list, want) {
		t.Errorf("it holds %q", list)
	}
	dir := t.TempDir()
	run("dpkg-deb", "--raw-extract", deb, dir)
	for name, want := range map[string]string{"DEBIAN/conffiles": "/etc/same.conf\n", "DEBIAN/postinst": "#!/bin/sh\nexit 0\n",
		"etc/same.conf": "same\n"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s is %q, %v", name, b, err)
		}
	}
}
