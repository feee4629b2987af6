package resource_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

var pods = resource.Pods{
	Kubelet: "kubelet.service", Runtime: "runtime.service", Remove: []string{"crictl", "rmp"}, Tasks: "/run/runtime/tasks",
	Mounts: []string{"/var/lib/kubelet", "/run/runtime"}, Namespaces: "/run/netns/cni-", Slice: "kubepods.slice",
}

// podHost is a machine on which Pods run: two containers, and a volume in one. Crictl does what it is for, if it is to.
func podHost(t *testing.T, crictl fake.Program) (*fake.Machine, *resource.Env) {
	t.Helper()
	m := fake.New("m", nil)
	env := m.Env(nil)
	all(write("/etc/systemd/system/kubelet.service", unitText), write("/etc/systemd/system/runtime.service", unitText),
		write("/run/runtime/tasks/a/pid", "1"), write("/run/runtime/tasks/b/pid", "2"), write("/run/netns/cni-1", ""), write("/run/netns/mine", ""))(t, m, env)
	for _, name := range []string{"kubelet.service", "runtime.service"} {
		if err := (resource.Unit{Name: name, Active: true, Enabled: true}).Apply(t.Context(), env); err != nil {
			t.Fatal(err)
		}
	}
	m.DeclareUnit("kubepods.slice", true, false)
	m.SetMounts("/", "/var/lib/kubelet", "/run/netns/mine", "/run/netns/cni-1", "/run/runtime/tasks/a/rootfs", "/var/lib/kubelet/pods/1/volume", "/var/lib/kubelet/pods/1/volume/sub",
		"/var/lib/kubelet2/x")
	m.SetCgroups("system.slice", "kubepods.slice", "kubepods.slice/a")
	m.SetProgram("crictl", crictl)
	return m, env
}

func removes(env *resource.Env, tasks ...string) fake.Program {
	return func(context.Context, resource.Command) (resource.Output, error) {
		for _, name := range tasks {
			if err := env.Files.RemoveAll("/run/runtime/tasks/" + name); err != nil {
				return resource.Output{}, err
			}
		}
		return resource.Output{}, nil
	}
}

func TestPodsGo(t *testing.T) {
	m, env := podHost(t, nil)
	m.SetProgram("crictl", removes(env, "a", "b"))
	var ops []string
	m.Before = func(op string) error { ops = append(ops, op); return nil }
	if err := pods.Empty(t.Context(), env, resource.Observed{State: resource.Absent, Values: map[string]string{"/var/lib/kubelet/pods/1/volume": "mounted"}}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"disable kubelet.service", "stop kubelet.service", "run crictl rmp", "remove all /run/runtime/tasks/a", "remove all /run/runtime/tasks/b",
		"unmount /var/lib/kubelet/pods/1/volume/sub", "unmount /run/runtime/tasks/a/rootfs", "unmount /run/netns/cni-1", "remove /run/netns/cni-1",
		"stop kubepods.slice", "remove control group kubepods.slice",
	}
	if !slices.Equal(ops, want) {
		t.Errorf("it does\n%s\nwant\n%s", strings.Join(ops, "\n"), strings.Join(want, "\n"))
	}
	if mounts, _ := env.Kernel.Mounts(); !slices.Equal(mounts, []string{"/", "/var/lib/kubelet", "/run/netns/mine", "/var/lib/kubelet/pods/1/volume", "/var/lib/kubelet2/x"}) {
		t.Errorf("there is left mounted %q", mounts)
	}
	ops = nil
	if err := pods.Empty(t.Context(), env, resource.Observed{State: resource.Absent}); err != nil || slices.Contains(ops, "stop kubelet.service") {
		t.Errorf("again: %q, %v", ops, err)
	}
}

func TestPodsOfOthersStay(t *testing.T) {
	m, env := podHost(t, nil)
	found, err := pods.Observe(t.Context(), env)
	if err != nil || found.State != resource.Present || found.Value("/var/lib/kubelet/pods/1/volume") == "" || found.Value("/") != "" {
		t.Fatalf("%+v, %v", found, err)
	}
	before := m.State()
	if err := pods.Empty(t.Context(), env, found); err != nil {
		t.Error(err)
	}
	if d := (scenario{}).differences(before, m.State()); len(d) > 0 {
		t.Errorf("what ran before has changed: %q", d)
	}
}

func TestPodsThatDoNotGo(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *fake.Machine, env *resource.Env)
		crictl func(env *resource.Env) fake.Program
		wrong  string // nothing if it works
	}{
		{name: "the network cannot be tidied up", crictl: func(env *resource.Env) fake.Program {
			return func(ctx context.Context, c resource.Command) (resource.Output, error) {
				_, err := removes(env, "a", "b")(ctx, c)
				return resource.Output{Code: 1, Stderr: "failed to destroy network"}, err
			}
		}},
		{name: "one stays", crictl: func(env *resource.Env) fake.Program {
			return func(ctx context.Context, c resource.Command) (resource.Output, error) {
				_, err := removes(env, "a")(ctx, c)
				return resource.Output{Code: 1, Stderr: "context deadline exceeded"}, err
			}
		}, wrong: "1 containers run on: crictl rmp failed with code 1: context deadline exceeded; a restart of the machine ends them, too"},
		{name: "one of no Pod", crictl: func(env *resource.Env) fake.Program { return removes(env, "a") }, wrong: "1 containers run that are of no Pod: b"},
		{name: "the runtime was stopped", change: func(m *fake.Machine, _ *resource.Env) { m.SetUnit("runtime.service", "inactive") },
			crictl: func(env *resource.Env) fake.Program { return removes(env, "a", "b") }},
		{name: "the runtime does not start", change: func(m *fake.Machine, _ *resource.Env) {
			m.SetUnit("runtime.service", "failed")
			m.Before = func(op string) error {
				if op == "start runtime.service" {
					return errors.New("bad configuration")
				}
				return nil
			}
		}, wrong: "2 containers run, and what could stop them does not: bad configuration; a restart"},
		{name: "the runtime has gone, and nothing runs", change: func(m *fake.Machine, env *resource.Env) {
			m.SetUnit("runtime.service", "failed")
			_ = env.Files.RemoveAll("/run/runtime/tasks")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, env := podHost(t, nil)
			if c.crictl != nil {
				m.SetProgram("crictl", c.crictl(env))
			}
			if c.change != nil {
				c.change(m, env)
			}
			err := pods.Empty(t.Context(), env, resource.Observed{State: resource.Absent})
			if c.wrong == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("it fails with %v, want %q", err, c.wrong)
			}
			if mounts, _ := env.Kernel.Mounts(); len(mounts) != 8 {
				t.Errorf("containers run, and mounts have gone: %q", mounts)
			}
			if s := m.State()["unit kubelet.service"]; s != "loaded inactive disabled" {
				t.Errorf("the kubelet is %s", s)
			}
		})
	}
}
