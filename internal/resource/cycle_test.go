package resource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// scenario is a resource on a machine.
type scenario struct {
	name    string
	machine func(t *testing.T, m *fake.Machine, env *resource.Env)
	r       resource.Resource
	// changes are what differs, as people read it; none if it is as it shall be.
	changes []string
	// note and blocked are parts of what is said.
	note, blocked string
	// blob is the content that it needs.
	blob string
	// stays are parts of the state that Undo does not put back, on purpose.
	stays []string
}

func write(path, content string) func(*testing.T, *fake.Machine, *resource.Env) {
	return func(t *testing.T, _ *fake.Machine, env *resource.Env) {
		t.Helper()
		if err := env.Files.Write(path, resource.Attributes{Mode: 0o664, Owner: "u", Group: "g"}, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
}

func all(steps ...func(*testing.T, *fake.Machine, *resource.Env)) func(*testing.T, *fake.Machine, *resource.Env) {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		for _, s := range steps {
			s(t, m, env)
		}
	}
}

func onMachine(do func(m *fake.Machine)) func(*testing.T, *fake.Machine, *resource.Env) {
	return func(_ *testing.T, m *fake.Machine, _ *resource.Env) { do(m) }
}

const unitText = "[Service]\nExecStart=/x\n"

var scenarios = []scenario{
	{name: "no pods", r: pods},
	{name: "no network of pods", r: podNetwork},
	{name: "directory", r: resource.Directory{Path: "/var/lib/a/b", Mode: 0o700}, changes: []string{"present: absent → present"}},
	{name: "directory with another mode and owner", r: resource.Directory{Path: "/srv/a"},
		changes: []string{"mode: 0700 → 0755", "owner: u:g → root:root"},
		machine: func(t *testing.T, _ *fake.Machine, env *resource.Env) {
			if err := env.Files.Mkdir("/srv/a", resource.Attributes{Mode: 0o700, Owner: "u", Group: "g"}); err != nil {
				t.Fatal(err)
			}
		}},
	{name: "directory behind a link", r: resource.Directory{Path: "/data"}, machine: func(t *testing.T, _ *fake.Machine, env *resource.Env) {
		if err := env.Files.Link("/var", "/data"); err != nil {
			t.Fatal(err)
		}
	}},
	{name: "directory where a file is", r: resource.Directory{Path: "/data"}, machine: write("/data", "x"), blocked: "/data is a file; move it away"},
	{name: "link", r: resource.Link{Path: "/etc/new/l", Target: "/usr"}, changes: []string{"target: none → /usr"}, stays: []string{"path /etc/new"}},
	{name: "link instead of a file", r: resource.Link{Path: "/etc/localtime", Target: "/usr"},
		machine: write("/etc/localtime", "zone"), changes: []string{"type: file → link to /usr"}},
	{name: "link instead of a link", r: resource.Link{Path: "/etc/l", Target: "/usr"}, changes: []string{"target: ../var → /usr"},
		machine: func(t *testing.T, _ *fake.Machine, env *resource.Env) {
			if err := env.Files.Link("../var", "/etc/l"); err != nil {
				t.Fatal(err)
			}
		}},
	{name: "link written in another way", r: resource.Link{Path: "/etc/l", Target: "/usr"},
		machine: func(t *testing.T, _ *fake.Machine, env *resource.Env) {
			if err := env.Files.Link("../usr", "/etc/l"); err != nil {
				t.Fatal(err)
			}
		}},
	{name: "link to nothing", r: resource.Link{Path: "/etc/localtime", Target: "/usr/share/zoneinfo/Mars", MustExist: true},
		blocked: "/usr/share/zoneinfo/Mars does not exist"},
	{name: "block at the end", r: resource.Block{Path: "/etc/hosts", Name: "hosts", Text: "10.0.0.1 a"},
		machine: write("/etc/hosts", "127.0.0.1 localhost\n"),
		changes: []string{"content"}},
	{name: "block after a line without end", r: resource.Block{Path: "/etc/hosts", Name: "hosts", Text: "10.0.0.1 a\n"},
		machine: write("/etc/hosts", "127.0.0.1 localhost"),
		changes: []string{"content"}},
	{name: "block in no file", r: resource.Block{Path: "/etc/hosts", Name: "hosts", Text: "10.0.0.1 a\n"}, changes: []string{"content"}},
	{name: "block that is damaged", r: resource.Block{Path: "/etc/hosts", Name: "hosts"},
		machine: write("/etc/hosts", "# BEGIN kubewright hosts\n1.1.1.1 x\n"),
		blocked: `without "# END kubewright hosts"`},
	{name: "fstab", r: resource.FstabSwap{}, changes: []string{"content"},
		machine: write("/etc/fstab", "# swap was on sda1\n/dev/sda2 / ext4 defaults 0 1\n/swap\tnone swap sw 0 0\n #x none swap sw 0 0\nUUID=x none swap sw")},
	{name: "fstab without swap", r: resource.FstabSwap{}, machine: write("/etc/fstab", "/dev/sda2 / ext4 defaults 0 1\n")},
	{name: "no fstab", r: resource.FstabSwap{}},
	{name: "swap", r: resource.Swap{}, machine: onMachine(func(m *fake.Machine) {
		m.SetSwaps(resource.SwapArea{Path: "/dev/sda2", Size: 1 << 30, Priority: -2}, resource.SwapArea{Path: "/swap", Size: 1 << 30, Priority: 5})
		m.DeclareUnit("dev-sda2.swap", true, true)
		m.DeclareUnit("zramswap.service", false, true)
	}), changes: []string{"/dev/sda2: 1GiB of swap → off", "/swap: 1GiB of swap → off",
		"dev-sda2.swap: active enabled → off", "zramswap.service: inactive enabled → off"}},
	{name: "swap by a unit that cannot be masked", r: resource.Swap{},
		machine: all(write("/etc/systemd/system/swap.swap", "[Swap]\n"), onMachine(func(m *fake.Machine) {
			m.SetSwaps(resource.SwapArea{Path: "/swap", Size: 1 << 30})
			m.DeclareUnit("swap.swap", true, true)
		})), changes: []string{"/swap: 1GiB of swap → off", "swap.swap: active enabled → off"}},
	{name: "swap of others", r: resource.Swap{}, note: "for its owner to say", machine: onMachine(func(m *fake.Machine) {
		m.SetShared(true)
		m.SetSwaps(resource.SwapArea{Path: "/dev/sda2", Size: 1 << 30})
	})},
	{name: "host name", r: resource.Hostname{Name: "n1"},
		machine: write("/etc/hostname", "# mine\nother"), changes: []string{"name: m → n1", "/etc/hostname: other → n1"}},
	{name: "host name of the kernel", r: resource.Hostname{Name: "n1"}, machine: write("/etc/hostname", "n1"), changes: []string{"name: m → n1"}},
	{name: "sysctl", r: resource.Sysctl{Name: "a.b", Value: "1  2"},
		machine: onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "1\t3", "") }), changes: []string{"value: 1 3 → 1 2"}},
	{name: "sysctl with tabs", r: resource.Sysctl{Name: "a.b", Value: "1 2"},
		machine: onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "1\t2", "") })},
	{name: "sysctl that has more", r: resource.Sysctl{Name: "a.b", Value: "128", AtLeast: true},
		machine: onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "1024", "") })},
	{name: "sysctl that has less", r: resource.Sysctl{Name: "a.b", Value: "1024", AtLeast: true},
		machine: onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "128", "") }), changes: []string{"value: 128 → 1024"}},
	{name: "sysctl of several numbers", r: resource.Sysctl{Name: "a.b", Value: "1 2 3", AtLeast: true},
		machine: onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "2\t3\t4", "") }), changes: []string{"value: 2 3 4 → 1 2 3"}},
	{name: "sysctl file", r: resource.SysctlFile{Path: "/etc/sysctl.d/x.conf", Parameters: []resource.SysctlLine{{Name: "a.b", Value: "1", AtLeast: true}, {Name: "a.c", Value: "1", AtLeast: true}}},
		machine: all(write("/etc/sysctl.d/x.conf", "a.b = 1\n"), onMachine(func(m *fake.Machine) { m.DeclareSysctl("a.b", "2", "") })),
		changes: []string{"content", "mode: 0664 → 0644", "owner: u:g → root:root"}},
	{name: "sysctl of a module to come", r: resource.Sysctl{Name: "a.b", Value: "1", Module: "mod"},
		machine: func(t *testing.T, m *fake.Machine, _ *resource.Env) {
			m.DeclareModule("mod", resource.ModuleLoaded)
			m.DeclareSysctl("a.b", "0", "mod")
		}, changes: []string{"value: 0 → 1"}},
	{name: "sysctl that is missing", r: resource.Sysctl{Name: "a.b", Value: "1"}, blocked: "this kernel has no a.b"},
	{name: "sysctl that is missing, harmlessly", r: resource.Sysctl{Name: "a.b", Value: "1", Optional: "it is only faster"},
		note: "it is only faster"},
	{name: "sysctl that is read-only", r: resource.Sysctl{Name: "a.b", Value: "1"}, machine: onMachine(func(m *fake.Machine) {
		m.DeclareSysctl("a.b", "0", "")
		m.LockSysctl("a.b", "mounted read-only", nil)
	}), blocked: "it is 0 and cannot be set to 1: mounted read-only"},
	{name: "sysctl that is read-only, harmlessly", r: resource.Sysctl{Name: "a.b", Value: "1", Optional: "it is only faster"},
		machine: onMachine(func(m *fake.Machine) {
			m.DeclareSysctl("a.b", "0", "")
			m.LockSysctl("a.b", "mounted read-only", nil)
		}), note: "mounted read-only; it is only faster"},
	{name: "sysctl that refuses, harmlessly", r: resource.Sysctl{Name: "net/x.1/a", Value: "1", Optional: "it is only faster"},
		machine: onMachine(func(m *fake.Machine) {
			m.DeclareSysctl("net/x.1/a", "0", "")
			m.LockSysctl("net/x.1/a", "", syscall.EINVAL)
		}), changes: []string{"value: 0 → 1"}},
	{name: "module", r: resource.KernelModule{Name: "mod"},
		machine: onMachine(func(m *fake.Machine) { m.DeclareModule("mod", resource.ModuleAvailable) }),
		changes: []string{"state: not loaded → loaded"}},
	{name: "module that was loaded", r: resource.KernelModule{Name: "mod"},
		machine: onMachine(func(m *fake.Machine) { m.DeclareModule("mod", resource.ModuleLoaded) })},
	{name: "module that is missing", r: resource.KernelModule{Name: "mod"}, blocked: "no module mod"},
	{name: "module that is missing, harmlessly", r: resource.KernelModule{Name: "mod", Optional: "no IPVS then"}, note: "no IPVS then"},
	{name: "SELinux", r: resource.SELinux{Mode: "permissive"}, machine: all(write("/sys/fs/selinux/enforce", "1"),
		write("/etc/selinux/config", "# SELINUX= is the mode\nSELINUX=enforcing \nSELINUXTYPE=targeted\n"), setenforce),
		changes: []string{"mode: enforcing → permissive", "mode after a boot: enforcing → permissive"}},
	{name: "SELinux that is off after a boot", r: resource.SELinux{Mode: "permissive"},
		machine: all(write("/sys/fs/selinux/enforce", "1"), write("/etc/selinux/config", "SELINUX=disabled"), setenforce),
		changes: []string{"mode: enforcing → permissive"}},
	{name: "no SELinux", r: resource.SELinux{Mode: "permissive"}, machine: write("/etc/selinux/config", "SELINUX=enforcing\n")},
	{name: "identity", r: resource.Identity{Cluster: "abc", ClusterName: "prod"}, changes: []string{"cluster: none → prod"}},
	{name: "identity of another cluster", r: resource.Identity{Cluster: "abc", ClusterName: "prod"},
		machine: write(resource.IdentityPath, `{"cluster":"xyz","clusterName":"test"}`),
		blocked: "belongs to the cluster test (xyz)"},
	{name: "unit", r: resource.Unit{Name: "a.service", Active: true, Enabled: true}, machine: write("/etc/systemd/system/a.service", unitText),
		changes: []string{"active: inactive → active", "enabled: disabled → enabled"}},
	{name: "unit that failed", r: resource.Unit{Name: "a.service", Active: true}, machine: onMachine(func(m *fake.Machine) {
		m.DeclareUnit("a.service", false, false)
		m.SetUnit("a.service", "failed")
	}), changes: []string{"active: failed → active"}, stays: []string{"unit a.service"}},
	{name: "unit that tries", r: resource.Unit{Name: "a.service", Active: true, Enabled: true}, machine: onMachine(func(m *fake.Machine) {
		m.DeclareUnit("a.service", false, true)
		m.SetUnit("a.service", "activating")
	}), changes: []string{"active: activating → active"}, stays: []string{"unit a.service"}},
	{name: "unit that shall be off", r: resource.Unit{Name: "a.service"},
		machine: onMachine(func(m *fake.Machine) { m.DeclareUnit("a.service", true, true) }),
		changes: []string{"active: active → inactive", "enabled: enabled → disabled"}},
	{name: "unit that shall be masked", r: resource.Unit{Name: "a.service", Masked: true},
		machine: onMachine(func(m *fake.Machine) { m.DeclareUnit("a.service", true, true) }),
		changes: []string{"masked: no → yes", "active: active → inactive"}},
	{name: "unit that is masked", r: resource.Unit{Name: "a.service", Active: true, Enabled: true},
		changes: []string{"masked: yes → no", "active: inactive → active", "enabled: masked → enabled"},
		machine: func(t *testing.T, m *fake.Machine, env *resource.Env) {
			m.DeclareUnit("a.service", false, false)
			if err := env.Systemd.Mask(t.Context(), "a.service"); err != nil {
				t.Fatal(err)
			}
		}},
	{name: "unit that is absent and shall be off", r: resource.Unit{Name: "a.service"}},
	{name: "unit whose file changed", r: resource.Unit{Name: "a.service", Active: true, Enabled: true},
		changes: []string{"daemon-reload (its file changed since systemd read it)"},
		machine: all(write("/etc/systemd/system/a.service", unitText), func(t *testing.T, m *fake.Machine, env *resource.Env) {
			if err := errors.Join(env.Systemd.Enable(t.Context(), "a.service"), env.Systemd.Start(t.Context(), "a.service")); err != nil {
				t.Fatal(err)
			}
		}, write("/etc/systemd/system/a.service", unitText+"Nice=1\n"))},
	{name: "firewalld", r: ports("firewalld"), machine: onMachine(firewalld), changes: []string{
		"port 6443/tcp: closed → open", "port 2379-2380/tcp: open until a restart → open", "protocol vrrp: closed → open",
		"source 10.0.0.0/8: closed → open", "source 10.1.0.5: closed → open"}},
	{name: "ufw", r: ports("ufw"),
		machine: onMachine(ufw), changes: []string{
			"port 6443/tcp: closed → open", "port 2379-2380/tcp: closed → open", "protocol vrrp: closed → open", "source 10.0.0.0/8: closed → open", "source 10.1.0.5: closed → open"}},
	{name: "no firewall", r: ports("ufw")},
}

// start gives a scenario its machine.
func (s scenario) start(t *testing.T) (*fake.Machine, *resource.Env) {
	t.Helper()
	m := fake.New("m", nil)
	env := m.Env(func(context.Context, string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(s.blob)), nil
	})
	env.Sign, env.Secret = signer(s.r), secrets
	if err := env.Files.Mkdir("/var/lib/kubewright", resource.Attributes{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	if s.machine != nil {
		s.machine(t, m, env)
	}
	kept := map[string][]byte{}
	if k, ok := s.r.(resource.Keeper); ok {
		for _, p := range k.Keeps() {
			if i, err := env.Files.Stat(p); err != nil || i.Type != 0 {
				continue
			}
			f, err := env.Files.Open(p)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			kept[resource.DigestOf(b)] = b
		}
	}
	env.Kept = func(digest string) (io.ReadCloser, error) {
		b, ok := kept[digest]
		if !ok {
			return nil, fmt.Errorf("%s was not kept", digest)
		}
		return io.NopCloser(bytes.NewReader(b)), nil
	}
	return m, env
}

// settled applies a resource until nothing differs any more, and says what is then.
func settled(t *testing.T, r resource.Resource, env *resource.Env) resource.Observed {
	t.Helper()
	if err := r.Apply(t.Context(), env); err != nil {
		t.Fatalf("apply: %v", err)
	}
	o, err := r.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Diff(o); len(d) > 0 {
		t.Fatalf("after it was applied, there is still %v", d)
	}
	return o
}

// differences of two states, but for what stays.
func (s scenario) differences(before, after map[string]string) []string {
	var d []string
	for key := range maps.Keys(after) {
		if before[key] != after[key] {
			d = append(d, fmt.Sprintf("%s: %q, was %q", key, after[key], before[key]))
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			d = append(d, key+" has gone")
		}
	}
	return slices.DeleteFunc(d, func(line string) bool {
		return slices.ContainsFunc(s.stays, func(key string) bool { return strings.HasPrefix(line, key) })
	})
}

// TestCycle applies everything, again, and takes it back, twice.
func TestCycle(t *testing.T) {
	for _, s := range slices.Concat(scenarios, credentials) {
		t.Run(s.name, func(t *testing.T) {
			m, env := s.start(t)
			before := m.State()
			ops := 0
			m.Before = func(string) error { ops++; return nil }
			previous, err := s.r.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			if ops > 0 && !strings.HasPrefix(s.name, "firewalld") && s.name != "ufw" && s.name != "no firewall" {
				t.Errorf("observing did %d things", ops)
			}
			if !strings.Contains(previous.Blocked, s.blocked) || (previous.Blocked == "") != (s.blocked == "") {
				t.Errorf("blocked: %q, want %q", previous.Blocked, s.blocked)
			}
			if !strings.Contains(previous.Note, s.note) || (previous.Note == "") != (s.note == "") {
				t.Errorf("note: %q, want %q", previous.Note, s.note)
			}
			if s.blocked != "" {
				if _, ok := errors.AsType[resource.BlockedError](s.r.Apply(t.Context(), env)); !ok {
					t.Error("what is blocked could be applied")
				}
				if d := s.differences(before, m.State()); len(d) > 0 {
					t.Errorf("what is blocked changed %q", d)
				}
				return
			}
			var got []string
			for _, c := range s.r.Diff(previous) {
				got = append(got, c.String())
			}
			if !slices.Equal(got, s.changes) {
				t.Errorf("differs by %q, want %q", got, s.changes)
			}
			settled(t, s.r, env)
			after := m.State()
			if len(s.changes) == 0 && len(s.differences(before, after)) > 0 {
				t.Errorf("it was as it shall be, but applying it changed %q", s.differences(before, after))
			}
			settled(t, s.r, env)
			if d := s.differences(after, m.State()); len(d) > 0 {
				t.Errorf("applying it again changed %q", d)
			}
			for range 2 {
				if err := s.r.Undo(t.Context(), env, previous); err != nil {
					t.Fatalf("undo: %v", err)
				}
				if d := s.differences(before, m.State()); len(d) > 0 {
					t.Errorf("it is not as it was: %q", d)
				}
			}
		})
	}
}

// TestCutOff has everything that is done fail at each point, both ways, and then begun again.
func TestCutOff(t *testing.T) {
	cut := errors.New("cut off")
	for _, s := range slices.Concat(scenarios, credentials) {
		if len(s.changes) == 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			for point := 0; ; point++ {
				if point > 50 {
					t.Fatal("it never ends")
				}
				m, env := s.start(t)
				before := m.State()
				previous, err := s.r.Observe(t.Context(), env)
				if err != nil {
					t.Fatal(err)
				}
				left := point
				m.Before = func(string) error {
					if left--; left < 0 {
						return cut
					}
					return nil
				}
				applied := s.r.Apply(t.Context(), env)
				if applied == nil {
					// Taking it back is cut off at what is left.
					if err := s.r.Undo(t.Context(), env, previous); err == nil {
						return
					}
				}
				m.Before = nil
				settled(t, s.r, env)
				if err := s.r.Undo(t.Context(), env, previous); err != nil {
					t.Fatalf("cut off at %d, undo: %v", point, err)
				}
				if d := s.differences(before, m.State()); len(d) > 0 {
					t.Errorf("cut off at %d, it is not as it was: %q", point, d)
				}
			}
		})
	}
}

// TestTravels sends every kind of resource and probe to an agent.
func TestTravels(t *testing.T) {
	for _, s := range slices.Concat(scenarios, credentials) {
		e, err := resource.Encode(s.r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := resource.Decode(e)
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			continue
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", s.r) {
			t.Errorf("%#v arrives as %#v", s.r, got)
		}
	}
	for _, p := range []resource.Probe{resource.UnitActive{Name: "a.service"}, resource.Answers{Name: "x", Command: []string{"a", "b"}}} {
		e, err := resource.EncodeProbe(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := resource.DecodeProbe(e); err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", p) {
			t.Errorf("%#v arrives as %#v, %v", p, got, err)
		}
	}
}

func setenforce(_ *testing.T, m *fake.Machine, env *resource.Env) {
	m.SetProgram("setenforce", func(_ context.Context, c resource.Command) (resource.Output, error) {
		a := resource.Attributes{Mode: 0o664, Owner: "u", Group: "g"}
		return resource.Output{}, env.Files.Write("/sys/fs/selinux/enforce", a, strings.NewReader(c.Args[0]))
	})
}
