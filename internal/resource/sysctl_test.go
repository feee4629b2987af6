package resource_test

import (
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
