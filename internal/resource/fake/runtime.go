package fake

import (
	"context"
	"fmt"
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Runtime is a container runtime, and what it says. It is not changed once a machine has it.
type Runtime struct {
	Pods []*cri.PodSandbox
	// Containers, by the Pod that they name (PodSandboxId).
	Containers []*cri.Container
	// Ended is how containers are, by their names (ID).
	Ended map[string]*cri.ContainerStatus
	// Refuses is what it answers instead, if it is not nil.
	Refuses error
}

// SetRuntime has a container runtime answer at an endpoint; nil takes it away.
func (m *Machine) SetRuntime(endpoint string, r *Runtime) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runtimes[endpoint] = r
}

// runtimes are those of the machine that were set.
type runtimes struct{ m *Machine }

func (r runtimes) at(ctx context.Context, endpoint string) (*Runtime, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	at := r.m.runtimes[endpoint]
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case at == nil:
		return nil, fmt.Errorf("the container runtime at %s: no such file or directory", endpoint)
	}
	return at, at.Refuses
}

func (r runtimes) Version(ctx context.Context, endpoint string) (string, error) {
	if _, err := r.at(ctx, endpoint); err != nil {
		return "", err
	}
	return "fake v1", nil
}

func (r runtimes) Pods(ctx context.Context, endpoint string, labels map[string]string) ([]*cri.PodSandbox, error) {
	at, err := r.at(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(at.Pods), func(p *cri.PodSandbox) bool {
		for name, value := range labels {
			if p.GetLabels()[name] != value {
				return true
			}
		}
		return false
	}), nil
}

func (r runtimes) Containers(ctx context.Context, endpoint, pod string) ([]*cri.Container, error) {
	at, err := r.at(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(at.Containers), func(c *cri.Container) bool { return c.GetPodSandboxId() != pod }), nil
}

func (r runtimes) Container(ctx context.Context, endpoint, container string) (*cri.ContainerStatus, error) {
	at, err := r.at(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	if s := at.Ended[container]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("the container runtime at %s: container %s: not found", endpoint, container)
}

func (r runtimes) StopContainer(ctx context.Context, endpoint, container string, _ time.Duration) error {
	if _, err := r.at(ctx, endpoint); err != nil {
		return err
	}
	return r.m.before("stop container %s", container)
}
