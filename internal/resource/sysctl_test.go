package resource_test

import (
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestSysctlOfAModuleThatIsPlanned(t *testing.T) {
	m := fake.New("m", nil)
	m.DeclareModule("br_netfilter", resource.ModuleAvailable)
	m.DeclareSysctl("net.bridge.x", "0", "br_netfilter")
	env := m.Env(nil)
	s := resource.Sysctl{Name: "net.bridge.x", Value: "1", Module: "br_netfilter"}
	o, err := s.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Diff(o); o.Blocked != "" || len(d) != 1 || d[0].String() != "value: unset → 1" {
		t.Errorf("%+v differs by %v", o, d)
	}
	settled(t, resource.KernelModule{Name: "br_netfilter"}, env)
	settled(t, s, env)
	// What it was is gone with the module; taking that back needs no more.
	if err := s.Undo(t.Context(), env, o); err != nil {
		t.Error(err)
	}
}

// TestSysctlThatRefuses is about values that look as if they could be set: the same difference must not come back with every plan.
func TestSysctlThatRefuses(t *testing.T) {
	for _, refusal := range []error{syscall.EPERM, syscall.EACCES, syscall.EROFS, syscall.EINVAL, fs.ErrPermission} {
		m := fake.New("m", nil)
		env := m.Env(nil)
		m.DeclareSysctl("a.b", "0", "")
		m.LockSysctl("a.b", "", refusal)
		s := resource.Sysctl{Name: "a.b", Value: "1", Optional: "it is only faster"}
		o := settled(t, s, env)
		if !strings.Contains(o.Note, "cannot be set to 1") || !strings.Contains(o.Note, "it is only faster") {
			t.Errorf("%v: it says %q", refusal, o.Note)
		}
		// Another value is another question.
		other := resource.Sysctl{Name: "a.b", Value: "2", Optional: "it is only faster"}
		if o, err := other.Observe(t.Context(), env); err != nil || len(other.Diff(o)) == 0 {
			t.Errorf("%v: another value differs by nothing, %v", refusal, err)
		}
		strict := resource.Sysctl{Name: "a.b", Value: "1"}
		err := strict.Apply(t.Context(), env)
		if err == nil || !strings.Contains(err.Error(), "cannot be set to 1 here") {
			t.Errorf("%v: where it is not optional, %v", refusal, err)
		}
	}
}

// TestSysctlFileLowersNothing follows a limit through boots and hands: the file never lowers what a host has by itself.
func TestSysctlFileLowersNothing(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	m.DeclareSysctl("a.b", "100", "")
	m.DeclareSysctl("a.switch", "0", "")
	m.DeclareSysctl("a.three", "9 9 9", "")
	now := []resource.Sysctl{{Name: "a.b", Value: "10", AtLeast: true}, {Name: "a.switch", Value: "1"}, {Name: "a.three", Value: "1 2 3", AtLeast: true}}
	file := resource.SysctlFile{Path: "/etc/sysctl.d/x.conf", Header: "# H\n"}
	for _, s := range now {
		file.Parameters = append(file.Parameters, resource.SysctlLine{Name: s.Name, Value: s.Value, AtLeast: s.AtLeast, Optional: s.Name == "a.switch", Why: "W."})
	}
	for _, c := range []struct{ when, value, want, line string }{
		{"the host has more", "100", "100", "# The host has more than a.b = 10 by itself."},
		{"a boot takes it away", "5", "10", "a.b = 10"},
		{"after a boot with the line", "10", "10", "a.b = 10"},
		{"the administrator raises it", "50", "50", "# The host has more than a.b = 10 by itself."},
	} {
		m.SetSysctl("a.b", c.value)
		settled(t, file, env)
		for _, s := range now {
			settled(t, s, env)
		}
		if o := settled(t, file, env); o.State != resource.Present {
			t.Errorf("%s, the file is %s", c.when, o.State)
		}
		r, err := env.Files.Open(file.Path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if want := "# H\n\n# W.\n" + c.line + "\n\n# W.\n-a.switch = 1\n\n# W.\na.three = 1 2 3\n"; err != nil || string(b) != want {
			t.Errorf("%s, the file is\n%s, %v", c.when, b, err)
		}
		if value, err := env.Kernel.Sysctl("a.b"); err != nil || value != c.want {
			t.Errorf("%s, the value is %s, %v", c.when, value, err)
		}
	}
}

// TestSysctlThatWasRaisedFurther is about a limit that somebody raises after Kubewright did.
func TestSysctlThatWasRaisedFurther(t *testing.T) {
	for after, want := range map[string]string{"10": "5", "50": "50", "7": "5"} {
		m := fake.New("m", nil)
		env := m.Env(nil)
		m.DeclareSysctl("a.b", "5", "")
		s := resource.Sysctl{Name: "a.b", Value: "10", AtLeast: true}
		before, err := s.Observe(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		settled(t, s, env)
		m.SetSysctl("a.b", after)
		if err := s.Undo(t.Context(), env, before); err != nil {
			t.Fatal(err)
		}
		if value, err := env.Kernel.Sysctl("a.b"); err != nil || value != want {
			t.Errorf("from %s it was put back to %s, not %s (%v)", after, value, want, err)
		}
	}
}

// TestSysctlThatMovesOthers is about a switch with which the kernel sets others: whoever forwarded between some interfaces and refused redirects does
// so again.
func TestSysctlThatMovesOthers(t *testing.T) {
	const redirects, one, other = "net.ipv4.conf.all.accept_redirects", "net.ipv4.conf.eth0/100.forwarding", "net.ipv4.conf.eth1.forwarding"
	m := fake.New("m", nil)
	env := m.Env(nil)
	for _, dir := range []string{"all", "eth0.100", "eth1"} {
		if err := env.Files.Mkdir("/proc/sys/net/ipv4/conf/"+dir, resource.Attributes{Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	before := map[string]string{"net.ipv4.ip_forward": "0", redirects: "0", one: "1", other: "0"}
	for name, value := range before {
		m.DeclareSysctl(name, value, "")
	}
	s := resource.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"}
	found, err := s.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, s, env)
	// As the kernel does when it is set to 0 again.
	for name, value := range map[string]string{redirects: "1", one: "0", other: "0"} {
		m.SetSysctl(name, value)
	}
	for range 2 { // the second time there is nothing to do
		if err := s.Undo(t.Context(), env, found); err != nil {
			t.Fatal(err)
		}
		for name, want := range before {
			if value, err := env.Kernel.Sysctl(name); err != nil || value != want {
				t.Errorf("%s was put back to %s, not %s (%v)", name, value, want, err)
			}
		}
	}
	found.Values["moved net.ipv4.conf.gone.forwarding"] = "1"
	if err := s.Undo(t.Context(), env, found); err != nil {
		t.Errorf("an interface that has gone: %v", err)
	}
}
