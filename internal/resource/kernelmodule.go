package resource

import (
	"context"
	"fmt"
)

// KernelModule is a module that is loaded, or built into the kernel. That it is loaded at boot, too, is a File of /etc/modules-load.d.
type KernelModule struct {
	Name string `json:"name"`
	// Optional is why it is harmless not to have it. Where the machine has none, people are told so, and that is all.
	Optional string `json:"optional,omitempty"`
}

// ID is its name.
func (m KernelModule) ID() ID { return ID{"module", m.Name} }

// Observe asks the kernel.
func (m KernelModule) Observe(_ context.Context, env *Env) (Observed, error) {
	state, err := env.Kernel.Module(m.Name)
	if err != nil {
		return Observed{}, fmt.Errorf("asking for the kernel module %s: %w", m.Name, err)
	}
	why := "this kernel has no module " + m.Name + ", or may not load it here"
	switch {
	case state == ModuleLoaded:
		return Observed{State: Present}, nil
	case state == ModuleAvailable && m.Optional != "":
		if why, err = passedOver(env, m.ID(), ""); err != nil {
			return Observed{}, err
		}
		if why == "" {
			return Observed{State: Absent}, nil
		}
	case state == ModuleAvailable:
		return Observed{State: Absent}, nil
	}
	return impossible(env, Absent, why, m.Optional, "install the modules of the kernel that runs, or boot a kernel that has it"), nil
}

// Diff says whether it is loaded.
func (m KernelModule) Diff(o Observed) []Change {
	if o.State == Present || o.Note != "" {
		return nil
	}
	return []Change{{What: "state", Old: "not loaded", New: "loaded"}}
}

// Apply loads it. Where that turns out to be impossible and it is optional, this is remembered for Observe.
func (m KernelModule) Apply(ctx context.Context, env *Env) error {
	o, err := m.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(m.Diff(o)) == 0:
		return nil
	}
	err = env.Kernel.LoadModule(ctx, m.Name)
	switch {
	case err == nil:
		return forgetPassedOver(env, m.ID())
	case m.Optional != "" && cannot(err):
		return passOver(env, m.ID(), "", err)
	}
	return fmt.Errorf("loading the kernel module %s: %w", m.Name, err)
}

// Undo unloads it if it was not loaded, and nothing uses it.
func (m KernelModule) Undo(ctx context.Context, env *Env, previous Observed) error {
	if err := forgetPassedOver(env, m.ID()); err != nil {
		return err
	}
	if previous.State == Present || previous.Note != "" {
		return nil
	}
	state, err := env.Kernel.Module(m.Name)
	if err == nil && state == ModuleLoaded {
		err = env.Kernel.UnloadModule(ctx, m.Name)
	}
	if err != nil {
		return fmt.Errorf("unloading the kernel module %s: %w", m.Name, err)
	}
	return nil
}
