package resource

import (
	"context"
	"fmt"
)

// RuntimeAnswers asks whether the container runtime answers as a kubelet would ask it.
type RuntimeAnswers struct {
	// Name is who answers: "containerd".
	Name string `json:"name"`
	// Socket is where it listens: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
}

// ID names who answers.
func (p RuntimeAnswers) ID() ID { return ID{"runtime-answers", p.Name} }

// Check asks for its version, for 5 s at most. It may be starting, so nothing that it says is without hope.
func (p RuntimeAnswers) Check(ctx context.Context, env *Env) (string, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, err := env.CRI.Version(limited, p.Socket)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return fmt.Sprintf("%s does not answer within %v", p.Name, answerTime), nil
	case err != nil:
		return err.Error(), nil
	}
	return "", nil
}
