package resource

import (
	"context"
	"errors"
)

// UnitActive asks whether a unit of systemd runs.
type UnitActive struct {
	Name string `json:"name"` // in full: "containerd.service"
}

// ID names the unit.
func (p UnitActive) ID() ID { return ID{"unit-active", p.Name} }

// Check looks at its state.
func (p UnitActive) Check(context.Context, *Env) (string, error) { return "", errors.ErrUnsupported }
