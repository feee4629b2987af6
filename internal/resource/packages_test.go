package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const testPackagesDir = "/var/lib/kubewright/packages"

// testDebian does what dpkg and apt do, for packages of a few bytes.
type testDebian struct {
	m         *rootMachine
	depends   map[string][]string // what packages need
	conflicts map[string][]string // what cannot be there beside them
	auto      map[string]bool     // of apt-mark
	status    map[string]string   // as dpkg says it
	commands  []string            // names and what they are to do
	noDpkg    bool
	locked    bool
	dies      bool // apt-get installs and does not live to tell
	badUpdate bool
	halfway   bool // a removal is cut off
	broken    bool // dpkg installs nothing
	provides  map[string]string
	essential string
	left      int // after so many more that change something, one is killed once; endless if 0
}

// needs lists packages with what they depend on.
func (d *testDebian) needs(names []string) []string {
	var all []string
	for _, name := range names {
		for _, n := range append(d.needs(d.depends[name]), name) {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// inform writes what dpkg keeps of a package: each makes a group, and has a unit.
func (d *testDebian) inform(name string) error {
	for kind, content := range map[string]string{"postinst": "#!/bin/sh\naddgroup --system '_" + name + "'\n",
		"list": "/.\n/lib/systemd/system\n/lib/systemd/system/" + name + ".service\n/lib/systemd/system/" + name + ".service.d\n"} {
		if err := d.m.files.Write("/var/lib/dpkg/info/"+name+"."+kind, Attributes{Mode: 0o644}, strings.NewReader(content)); err != nil {
			return err
		}
	}
	return nil
}

// dead says whether what was done last was the last thing that it lived for.
func (d *testDebian) dead() bool {
	if d.left == 0 {
		return false
	}
	d.left--
	return d.left == 0
}

func (d *testDebian) Run(_ context.Context, c Command) (Output, error) {
	if d.noDpkg {
		return Output{}, fs.ErrNotExist
	}
	env := strings.Join(c.Env, " ")
	if !strings.Contains(env, "DEBIAN_FRONTEND=noninteractive") && !strings.HasSuffix(c.Name, "del") {
		return Output{Code: 1, Stderr: "who answers my questions?"}, nil
	}
	fails := func(said string) (Output, error) { return Output{Code: 100, Stderr: "Reading…\n" + said + "\n"}, nil }
	quiet := strings.Contains(env, "APT_CONFIG="+testPackagesDir+"/apt.conf") && strings.Contains(env, "PATH="+testPackagesDir+"/no-start:")
	names := []string{}
	for _, a := range c.Args {
		a = strings.TrimSuffix(strings.TrimPrefix(a, replacedDir+"/"), ".deb")
		if _, ok := d.depends[a]; ok {
			names = append(names, a)
		}
	}
	has := func(arg string) bool { return slices.Contains(c.Args, arg) }
	var out strings.Builder
	switch {
	case c.Name == "dpkg-query" && has("--status"):
		fmt.Fprintf(&out, "Package: %s\nStatus: install ok installed\nVersion: 1.0\nConffiles:\n /etc/%[1]s.conf 0123\nDescription: one\n of several lines\n", names[0])
	case c.Name == "dpkg-query" && has("--control-path"):
	case c.Name == "dpkg-query" && has("--listfiles"):
		fmt.Fprintf(&out, "/.\n/etc\n/etc/%s.conf\n", names[0])
	case c.Name == "find":
	case c.Name == "apt-mark" && has("showauto"):
		if d.auto[names[0]] {
			out.WriteString(names[0] + "\n")
		}
	case c.Name == "apt-mark" && has("auto"):
		d.auto[names[0]] = true
		if d.dead() {
			return fails("E: it was killed")
		}
	case c.Name == "dpkg-query":
		for _, name := range slices.Sorted(maps.Keys(d.status)) {
			protected := map[bool]string{true: "yes"}[name == d.essential]
			fmt.Fprintf(&out, "%s %s 1.0\t, %s\t%s\t%s\n", name, d.status[name], strings.Join(d.depends[name], ", "), d.provides[name], protected)
		}
		return Output{Stdout: out.String()}, nil
	case c.Name == "userdel" || c.Name == "groupdel":
		file := map[string]string{"userdel": "/etc/passwd", "groupdel": "/etc/group"}[c.Name]
		b, err := os.ReadFile(d.m.files.at(file))
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, c.Args[0]+":") {
				out.WriteString(line)
			}
		}
		if err := errors.Join(err, os.WriteFile(d.m.files.at(file), []byte(out.String()), 0o644)); err != nil || !d.dead() {
			return Output{}, err
		}
		return fails(c.Name + " was killed")
	case d.locked && c.Name == "dpkg":
		return fails("dpkg: error: dpkg frontend lock was locked by another process with pid 77")
	case c.Name == "dpkg" && has("--configure"):
		d.commands = append(d.commands, "configure")
		for name, s := range d.status {
			if s == "unpacked" {
				d.status[name] = "installed"
			}
		}
	case c.Name == "apt-get" && !quiet:
		return fails("E: this is not the repository of the bundle")
	case c.Name == "apt-get" && has("update"):
		if d.badUpdate {
			return fails("E: The repository is broken.\nE: Some index files failed to download.")
		}
		d.commands = append(d.commands, "update")
	case c.Name == "apt-get" && has("install"):
		if slices.Contains(slices.Collect(maps.Values(d.status)), "unpacked") {
			return fails("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.")
		}
		if !has("--no-remove") && !has("--simulate") || !has("--no-upgrade") || !has("--yes") {
			return fails("E: may I?")
		}
		for _, name := range d.needs(names) {
			if d.status[name] == "installed" {
				continue
			}
			for _, other := range d.conflicts[name] {
				if d.status[other] == "config-files" || d.status[other] == "" {
					continue
				}
				if !has("--simulate") {
					return fails("E: Packages need to be removed but remove is disabled.")
				}
				fmt.Fprintf(&out, "Remv %s [1.0]\n", other)
			}
			if has("--simulate") {
				fmt.Fprintf(&out, "Inst %s (1.0 debian-12:localhost [amd64])\nConf %s (1.0 debian-12:localhost [amd64])\n", name, name)
				continue
			}
			b, err := os.ReadFile(d.m.files.at(testPackagesDir + "/pool/" + name + "_1.0.deb"))
			if err != nil || string(b) != "package "+name {
				return fails("E: Unable to fetch " + name)
			}
			d.status[name] = "installed"
			if d.dies {
				d.status[name] = "unpacked"
			}
			if err := d.inform(name); err != nil {
				return Output{}, err
			}
			f, err := os.OpenFile(d.m.files.at("/etc/group"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return Output{}, err
			}
			if _, err := fmt.Fprintf(f, "_%s:x:%d:\n", name, 100+len(d.status)); err != nil {
				return Output{}, err
			}
			if err := f.Close(); err != nil {
				return Output{}, err
			}
		}
		if !has("--simulate") {
			d.commands = append(d.commands, "install "+strings.Join(names, " "))
			if d.dies {
				d.dies = false
				return fails("E: Sub-process /usr/bin/dpkg received signal 9")
			}
		}
	case c.Name == "dpkg" && has("--install"):
		if quiet {
			return fails("dpkg: error: who starts the services?")
		}
		if d.broken {
			return fails("dpkg: error processing archive x.deb (--install):\n trying to overwrite '/etc'")
		}
		for other, s := range d.status {
			if s == "installed" && slices.Contains(d.conflicts[other], names[0]) {
				return fails("dpkg: regarding x.deb containing " + names[0] + ":\n " + names[0] + " conflicts with time-daemon\n  " + other +
					" provides time-daemon and is present and installed.\n\ndpkg: error processing archive x.deb (--install):\n conflicting packages - not installing " + names[0])
			}
		}
		if b, err := os.ReadFile(d.m.files.at(replacedDir + "/" + names[0] + ".deb")); err != nil || !strings.HasPrefix(string(b), "!<arch>\n") {
			return fails("dpkg: error: cannot access archive")
		}
		d.status[names[0]] = "installed"
		d.commands = append(d.commands, "put back "+names[0])
		if d.dead() {
			return fails("dpkg: error: it was killed")
		}
	case c.Name == "dpkg" && (has("--remove") || has("--purge")):
		if quiet {
			return fails("dpkg: error: who stops the services?")
		}
		var refused strings.Builder
		for _, name := range names {
			for other, s := range d.status {
				if s == "installed" && !slices.Contains(names, other) && slices.Contains(d.depends[other], name) {
					fmt.Fprintf(&refused, " %s\n", name)
				}
			}
		}
		if refused.Len() > 0 && !has("--force-depends") {
			return fails("dpkg: dependency problems prevent removal\nErrors were encountered while processing:\n" + strings.TrimSuffix(refused.String(), "\n"))
		}
		if has("--no-act") {
			break
		}
		for _, name := range names {
			for _, kind := range []string{"postinst", "list"} {
				if err := d.m.files.Remove("/var/lib/dpkg/info/" + name + "." + kind); err != nil {
					return Output{}, err
				}
			}
			if has("--purge") {
				delete(d.status, name)
			} else if d.halfway {
				d.halfway = false
				d.status[name] = "half-installed"
				return fails("dpkg: error: it was killed")
			} else if d.status[name] == "installed" || d.status[name] == "half-installed" {
				d.status[name] = "config-files"
			}
		}
		d.commands = append(d.commands, c.Args[1]+" "+strings.Join(names, " "))
		if d.dead() {
			return fails("dpkg: error: it was killed")
		}
	default:
		return fails("what is " + c.Name + " " + strings.Join(c.Args, " "))
	}
	return Output{Stdout: out.String()}, nil
}

// newDebian is a machine that has some packages, and a repository with all.
func newDebian(t *testing.T) (*rootMachine, *testDebian, Packages) {
	m := newRootMachine(t)
	d := &testDebian{m: m, depends: map[string][]string{
		"tar": nil, "socat": {"libwrap"}, "libwrap": nil, "chrony": {"adduser", "tar"}, "adduser": nil, "theirs": {"socat"},
		"timesyncd": nil, "ntp": nil, "openntpd": nil,
	}, conflicts: map[string][]string{"chrony": {"timesyncd", "ntp", "openntpd"}, "openntpd": {"timesyncd"}}, auto: map[string]bool{},
		status: map[string]string{"tar": "installed", "theirs": "not-installed"}}
	m.Exec = d
	m.write(t, "/usr/bin/apt-get", "", 0o755)
	m.write(t, "/etc/passwd", "root:x:0:0::/root:/bin/bash\n", 0o644)
	m.write(t, "/etc/group", "root:x:0:\npeople:x:1000:\n", 0o644)
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.depends)) {
		digest := m.blobs.add([]byte("package " + name))
		fmt.Fprintf(&list, "Package: %s\nVersion: 1.0\nInstalled-Size: 8\nDepends: %s\nFilename: pool/%s_1.0.deb\nSize: %d\nSHA256: %s\nDescription: one\n of several lines\n\n",
			name, strings.Join(d.depends[name], ", "), name, len("package "+name), strings.TrimPrefix(digest, "sha256:"))
	}
	repository := archive(t, [2]string{"var/", ""}, [2]string{"var/lib/kubewright/packages/", ""}, [2]string{"var/lib/kubewright/packages/lists/partial/", ""},
		[2]string{"var/lib/kubewright/packages/Packages", list.String()}, [2]string{"var/lib/kubewright/packages/apt.conf", "of the repository"})
	return m, d, Packages{Names: []string{"chrony", "socat", "tar"}, Repository: m.blobs.add(repository), Dir: testPackagesDir}
}

func TestPackagesComeAndGo(t *testing.T) {
	m, d, p := newDebian(t)
	was, had := m.files.tree(t), maps.Clone(d.status)
	if got := m.differs(t, p); !slices.Equal(got, []string{"chrony: absent → installed", "socat: absent → installed"}) {
		t.Fatalf("it differs by %q", got)
	}
	before := m.apply(t, p)
	for _, name := range []string{"chrony", "socat", "adduser", "libwrap"} {
		if d.status[name] != "installed" {
			t.Errorf("%s is %s", name, d.status[name])
		}
	}
	if len(m.blobs.asked) != 5 {
		t.Errorf("it asked for %d blobs", len(m.blobs.asked))
	}
	if tree := m.files.tree(t); tree[testPackagesDir+"/apt.conf"] == "" || slices.ContainsFunc(slices.Collect(maps.Keys(tree)), func(name string) bool { return strings.HasSuffix(name, ".deb") }) {
		t.Errorf("it leaves %q", slices.Sorted(maps.Keys(tree)))
	}
	d.commands = nil
	m.apply(t, p)
	if len(d.commands) > 0 {
		t.Errorf("a second Apply did %q", d.commands)
	}
	// What the administrator installs later is not ours.
	d.status["own"] = "installed"
	had["own"] = "installed"
	for range 2 {
		if err := p.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(d.status, had) {
			t.Errorf("Undo left %v of %v", d.status, had)
		}
		if now := m.files.tree(t); !maps.Equal(now, was) {
			t.Errorf("Undo left the files %q of %q", now, was)
		}
	}
}

func TestPackagesCutOff(t *testing.T) {
	m, d, p := newDebian(t)
	was, had := m.files.tree(t), maps.Clone(d.status)
	before := m.observe(t, p)
	d.dies = true
	if err := p.Apply(t.Context(), m.Env); err == nil || !strings.Contains(err.Error(), "received signal 9") {
		t.Fatalf("Apply says %v", err)
	}
	if err := p.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if now := m.files.tree(t); !maps.Equal(now, was) || !maps.Equal(d.status, had) {
		t.Errorf("Undo of half an Apply left %v and %q", d.status, now)
	}
	d.dies = true
	if err := p.Apply(t.Context(), m.Env); err == nil {
		t.Fatal("Apply says nothing")
	}
	m.apply(t, p)
	if err := p.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if now := m.files.tree(t); !maps.Equal(now, was) || !maps.Equal(d.status, had) {
		t.Errorf("Undo of two Applies left %v and %q", d.status, now)
	}

	// Everything is installed, but what came for it lies around still.
	m.apply(t, p)
	m.write(t, testPackagesDir+"/pool/socat_1.0.deb", "package socat", 0o644)
	if got := m.differs(t, p); !slices.Equal(got, []string{"fetched files: present → absent (installing them was cut off)"}) {
		t.Errorf("it differs by %q", got)
	}
	m.apply(t, p)
}

func TestPackagesThatOthersNeedByNowStay(t *testing.T) {
	m, d, p := newDebian(t)
	before := m.apply(t, p)
	d.status["theirs"] = "installed"
	if err := p.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"tar": "installed", "theirs": "installed", "socat": "installed", "libwrap": "installed"}; !maps.Equal(d.status, want) {
		t.Errorf("Undo left %v", d.status)
	}
	if said := m.said[len(m.said)-1]; said != "packages that others need by now stay: socat, libwrap" {
		t.Errorf("it said %q", said)
	}
}

func TestPackagesWhoseConfigurationWasThere(t *testing.T) {
	m, d, p := newDebian(t)
	d.status["chrony"] = "config-files"
	had := maps.Clone(d.status)
	before := m.apply(t, p)
	for range 2 {
		if err := p.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(d.status, had) {
			t.Errorf("Undo left %v of %v", d.status, had)
		}
	}
}

func TestPackagesThatCannotBeInstalled(t *testing.T) {
	digest := func(name string) string { return DigestOf([]byte("package " + name)) }
	for _, c := range []struct {
		name      string
		set       func(t *testing.T, m *rootMachine, d *testDebian, p *Packages)
		want      string
		transient bool
		blocked   bool
	}{
		{"lock held", func(t *testing.T, m *rootMachine, d *testDebian, _ *Packages) {
			d.locked = true
			m.write(t, "/proc/77/comm", "unattended-upgr\n", 0o444)
		}, "another program (unattended-upgr) installs packages: dpkg: error: dpkg frontend lock", true, false},
		{"not Debian", func(_ *testing.T, _ *rootMachine, d *testDebian, _ *Packages) { d.noDpkg = true },
			"this machine has no dpkg-query, and packages come for Debian only; install what these are for (chrony, socat, tar)", false, true},
		{"no apt", func(_ *testing.T, m *rootMachine, _ *testDebian, _ *Packages) { _ = m.files.Remove("/usr/bin/apt-get") }, "this machine has no apt-get", false, true},
		{"apt refuses", func(_ *testing.T, _ *rootMachine, d *testDebian, _ *Packages) { d.badUpdate = true },
			"apt-get: The repository is broken.; Some index files failed to download.", false, false},
		{"no repository", func(_ *testing.T, _ *rootMachine, _ *testDebian, p *Packages) { p.Repository = "sha256:0" }, "getting the package repository", false, false},
		{"damaged repository", func(_ *testing.T, m *rootMachine, _ *testDebian, p *Packages) {
			m.blobs.damaged = []string{p.Repository}
		}, errDamaged.Error(), false, false},
		{"repository elsewhere", func(t *testing.T, m *rootMachine, _ *testDebian, p *Packages) {
			p.Repository = m.blobs.add(archive(t, [2]string{"etc/shadow", ""}))
		}, "the package repository holds /etc/shadow, which is no file below " + testPackagesDir, false, false},
		{"empty repository", func(t *testing.T, m *rootMachine, _ *testDebian, p *Packages) {
			p.Repository = m.blobs.add(archive(t, [2]string{"var/", ""}))
		}, "lists no packages", false, false},
		{"no directory", func(_ *testing.T, _ *rootMachine, _ *testDebian, p *Packages) { p.Dir = "/" }, "is no directory for a repository", false, false},
		{"damaged package", func(_ *testing.T, m *rootMachine, _ *testDebian, _ *Packages) {
			m.blobs.damaged = []string{digest("socat")}
		},
			"getting the package socat_1.0.deb: " + errDamaged.Error(), false, false},
		{"no room", func(_ *testing.T, m *rootMachine, _ *testDebian, _ *Packages) { m.files.free = 4 * 8192 }, "installing packages needs 32.06KiB in /usr, where only 32KiB are free", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, d, p := newDebian(t)
			had := maps.Clone(d.status)
			c.set(t, m, d, &p)
			err := p.Apply(t.Context(), m.Env)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply says %v, not %q", err, c.want)
			}
			var transient TransientError
			var blocked BlockedError
			if errors.As(err, &transient) != c.transient || errors.As(err, &blocked) != c.blocked {
				t.Errorf("Apply says %T", err)
			}
			if o, err := p.Observe(t.Context(), m.Env); err != nil || (o.Blocked != "") != c.blocked {
				t.Errorf("Observe says %+v, %v", o, err)
			}
			if !maps.Equal(d.status, had) {
				t.Errorf("there are packages %v", d.status)
			}
		})
	}
}

func TestWhatAptSays(t *testing.T) {
	got := parseInstalls("NOTE: This is only a simulation!\nReading package lists...\nRemv nothing [1]\nInst libsnmp40:amd64 (5.9.3+dfsg-2 debian-12:localhost [amd64])\n" +
		"Inst tar [1.33] (1.34+dfsg-1 debian-12:localhost [amd64]) []\nConf tar (1.34+dfsg-1 debian-12:localhost [amd64])\n")
	if want := []comingPackage{{"libsnmp40", "5.9.3+dfsg-2", false}, {"tar", "1.34+dfsg-1", true}}; !slices.Equal(got, want) {
		t.Errorf("apt would install %v, not %v", got, want)
	}
}
