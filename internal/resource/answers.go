package resource

import (
	"context"
	"errors"
)

// Answers asks whether a command succeeds.
type Answers struct {
	// Name is who answers: "containerd".
	Name string `json:"name"`
	// Command is the program and its arguments.
	Command []string `json:"command"`
}

// ID names who answers.
func (p Answers) ID() ID { return ID{"answers", p.Name} }

// Check runs the command.
func (p Answers) Check(context.Context, *Env) (string, error) { return "", errors.ErrUnsupported }
