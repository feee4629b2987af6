package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// answerTime is how long a program that asks may take; those that answer do in a fraction of it.
const answerTime = 5 * time.Second

// Answers asks whether a command succeeds.
type Answers struct {
	// Name is who answers: "containerd".
	Name string `json:"name"`
	// Command is the program and its arguments.
	Command []string `json:"command"`
}

// ID names who answers.
func (p Answers) ID() ID { return ID{"answers", p.Name} }

// Check runs the command, for 5 s at most. What is not well is the last line that it says.
func (p Answers) Check(ctx context.Context, env *Env) (string, error) {
	if len(p.Command) == 0 {
		return "", fmt.Errorf("there is no command to ask %s with", p.Name)
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	o, err := env.Exec.Run(limited, Command{Name: p.Command[0], Args: p.Command[1:]})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return fmt.Sprintf("%s does not answer within %v", p.Name, answerTime), nil
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no program %s to ask %s with: %w", p.Command[0], p.Name, err)
	case err != nil:
		return fmt.Sprintf("asking %s: %v", p.Name, err), nil
	case o.Code != 0:
		return p.Name + ": " + o.last(), nil
	}
	return "", nil
}
