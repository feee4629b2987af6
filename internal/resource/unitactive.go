package resource

import (
	"context"
	"fmt"
)

// UnitActive asks whether a unit of systemd runs.
type UnitActive struct {
	Name string `json:"name"` // in full: "containerd.service"
}

// ID names the unit.
func (p UnitActive) ID() ID { return ID{"unit-active", p.Name} }

// Check looks at its state. What is not well is that, and the last line that it logged.
func (p UnitActive) Check(ctx context.Context, env *Env) (string, error) {
	u, err := env.Systemd.Unit(ctx, p.Name)
	switch {
	case err != nil:
		return "", fmt.Errorf("asking systemd for %s: %w", p.Name, err)
	case u.Load == "not-found":
		return "", fmt.Errorf("systemd knows no unit %s", p.Name)
	case u.Active == "active" || u.Active == "reloading" || u.Active == "refreshing":
		return "", nil
	}
	why := p.Name + " is " + u.Active
	// The log helps to understand; without it, the state has to do.
	if lines, err := env.Systemd.Log(ctx, p.Name, 1); err == nil && len(lines) > 0 {
		why += ": " + lines[len(lines)-1]
	}
	return why, nil
}
