package resource

import (
	"context"
	"fmt"
)

// UnitStopped is that a unit does not run, and is not started with the machine: it has something that another thing needs, a port. Whoever put the unit there still has it to undo.
type UnitStopped struct {
	// Name of the unit: "kubewright-endpoint.service".
	Name string `json:"name"`
}

// ID is the unit's name.
func (u UnitStopped) ID() ID { return ID{"unit-stopped", u.Name} }

// Passing says that the machine does not remember it: there is nothing to put back.
func (u UnitStopped) Passing() {}

// Observe asks systemd.
func (u UnitStopped) Observe(ctx context.Context, env *Env) (Observed, error) {
	s, err := env.Systemd.Unit(ctx, u.Name)
	if err != nil {
		return Observed{}, err
	}
	return Observed{State: Present, Values: map[string]string{"active": s.Active, "file": s.File}}, nil
}

// Diff says that it stops.
func (u UnitStopped) Diff(o Observed) []Change {
	switch o.Value("active") {
	case "", "inactive", "failed":
	default:
		return []Change{{What: "state", Old: o.Value("active"), New: "inactive", Disturbs: true}}
	}
	if o.Value("file") == "enabled" {
		return []Change{{What: "start with the machine", Old: "yes", New: "no"}}
	}
	return nil
}

// Apply disables and stops it.
func (u UnitStopped) Apply(ctx context.Context, env *Env) error {
	if err := env.Systemd.Disable(ctx, u.Name); err != nil {
		return fmt.Errorf("disabling %s: %w", u.Name, err)
	}
	return env.Systemd.Stop(ctx, u.Name)
}

// Undo leaves it.
func (u UnitStopped) Undo(context.Context, *Env, Observed) error { return nil }
