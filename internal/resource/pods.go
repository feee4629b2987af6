package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Pods are what runs in containers for the kubelet. There is nothing to apply: the kubelet has them run. It stands for them, so that they stop when what they run by goes.
// A machine has one such resource.
type Pods struct {
	// Kubelet is the unit that would start them again.
	Kubelet string `json:"kubelet"` // "kubelet.service"
	// Runtime is the unit of the container runtime, which has to run to stop them.
	Runtime string `json:"runtime"` // "containerd.service"
	// Remove is the command that has the runtime stop and remove all Pods.
	Remove []string `json:"remove"`
	// Tasks is the directory that holds something for each container that runs.
	Tasks string `json:"tasks"`
	// Mounts are the directories below which containers and volumes are mounted.
	Mounts []string `json:"mounts"`
	// Namespaces is how paths begin at which their network namespaces are mounted: "/run/netns/cni-".
	Namespaces string `json:"namespaces"`
	// Slice is the unit of their control groups.
	Slice string `json:"slice"` // "kubepods.slice"
}

// ID is the same everywhere.
func (Pods) ID() ID { return ID{"pods", "kubelet"} }

// Runs says that they go first.
func (Pods) Runs() {}

// Observe looks whether some run already, and what is mounted. What is remembered of it was there before Kubewright came: it is somebody else's.
func (p Pods) Observe(_ context.Context, env *Env) (Observed, error) {
	tasks, err := p.tasks(env)
	if err != nil {
		return Observed{}, err
	}
	mounts, err := p.mounted(env)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Absent, Values: map[string]string{}}
	if len(tasks) > 0 {
		o.State = Present
	}
	for _, m := range mounts {
		o.Values[m] = "mounted"
	}
	return o, nil
}

// mounted is what is mounted for Pods, in order.
func (p Pods) mounted(env *Env) ([]string, error) {
	mounts, err := env.Kernel.Mounts()
	return slices.DeleteFunc(mounts, func(m string) bool {
		return !p.namespace(m) && !slices.ContainsFunc(p.Mounts, func(dir string) bool { return strings.HasPrefix(m, dir+"/") })
	}), err
}

// namespace says whether a path is one at which a network namespace is mounted.
func (p Pods) namespace(path string) bool { return strings.HasPrefix(path, p.Namespaces) }

// tasks are the containers that run.
func (p Pods) tasks(env *Env) ([]string, error) {
	list, err := env.Files.List(p.Tasks)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// Diff has nothing to say.
func (Pods) Diff(Observed) []Change { return nil }

// Apply has nothing to do.
func (Pods) Apply(context.Context, *Env) error { return nil }

// Undo does what Empty does.
func (p Pods) Undo(ctx context.Context, env *Env, previous Observed) error {
	return p.Empty(ctx, env, previous)
}

// Empty stops and removes them all, and what the kubelet and the runtime leave: mounts and control groups. The kubelet is stopped first, and disabled: should the machine
// restart before all else has gone, it would start Pods of what is left.
func (p Pods) Empty(ctx context.Context, env *Env, previous Observed) error {
	if previous.State == Present {
		return nil
	}
	off := Unit{Name: p.Kubelet}
	kubelet, err := off.Observe(ctx, env)
	if err != nil {
		return err
	}
	if len(off.Diff(kubelet)) > 0 {
		if err := off.Apply(ctx, env); err != nil {
			return fmt.Errorf("stopping the kubelet: %w", err)
		}
	}
	if err := p.stop(ctx, env); err != nil {
		return err
	}
	if err := p.unmount(env, previous); err != nil {
		return err
	}
	slice, err := env.Systemd.Unit(ctx, p.Slice)
	if err != nil {
		return fmt.Errorf("asking systemd for %s: %w", p.Slice, err)
	}
	if slice.runs() {
		if err := env.Systemd.Stop(ctx, p.Slice); err != nil {
			return err
		}
	}
	return env.Kernel.RemoveCgroup(p.Slice)
}

// stop has the runtime stop and remove all Pods. Whether it could is told by what still runs: it also fails where a network plugin cannot tidy up, which does not matter.
func (p Pods) stop(ctx context.Context, env *Env) error {
	tasks, err := p.tasks(env)
	if err != nil {
		return err
	}
	const remedy = "a restart of the machine ends them, too, and none start after it"
	runtime, err := env.Systemd.Unit(ctx, p.Runtime)
	switch {
	case err != nil:
		return fmt.Errorf("asking systemd for %s: %w", p.Runtime, err)
	case len(tasks) == 0 && runtime.Active != "active":
		return nil
	case runtime.Active != "active":
		if err := env.Systemd.Start(ctx, p.Runtime); err != nil {
			return fmt.Errorf("%d containers run, and what could stop them does not: %w; %s", len(tasks), err, remedy)
		}
	}
	if len(tasks) > 0 {
		env.progress(fmt.Sprintf("stopping %d containers", len(tasks)))
	}
	_, failed := env.output(ctx, p.Remove[0], p.Remove[1:]...)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	tasks, err = p.tasks(env)
	switch {
	case err != nil:
		return err
	case len(tasks) > 0 && failed != nil:
		return fmt.Errorf("%d containers run on: %w; %s", len(tasks), failed, remedy)
	case len(tasks) > 0:
		return fmt.Errorf("%d containers run that are of no Pod: %s; stop them, or restart the machine", len(tasks), strings.Join(tasks, ", "))
	}
	return nil
}

// unmount takes away what is mounted for Pods, the last first. Volumes lose nothing: only what is mounted here goes.
func (p Pods) unmount(env *Env, previous Observed) error {
	mounts, err := p.mounted(env)
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(mounts) {
		if previous.Value(m) != "" {
			continue
		}
		if err := env.Kernel.Unmount(m); err != nil {
			return fmt.Errorf("unmounting %s: %w", m, err)
		}
		if p.namespace(m) {
			if err := env.Files.Remove(m); err != nil {
				return err
			}
		}
	}
	return nil
}
