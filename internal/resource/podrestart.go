package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PodRestart has the containers of a static Pod started anew when something changes that they read only when they start, and that its manifest does not say: a certificate that is renewed.
// It stands before the manifest: a Pod that is not there yet needs none, and one whose manifest changes is started anew by the kubelet.
type PodRestart struct {
	// Name of the Pod without the node's: "kube-scheduler".
	Name string `json:"name"`
	// Manifest is the file that the kubelet runs it by.
	Manifest string `json:"manifest"`
	// Socket is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
	// RestartOn are resources of the same step.
	RestartOn []ID `json:"restartOn"`
}

// ID names the Pod.
func (p PodRestart) ID() ID { return ID{"pod-restart", p.Name} }

// Observe looks whether there is a manifest. By which certificate its Pod was started is not to be seen; the machine remembers what changed since.
func (p PodRestart) Observe(_ context.Context, env *Env) (Observed, error) {
	_, err := env.Files.Stat(p.Manifest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Observed{State: Absent}, nil
	case err != nil:
		return Observed{}, fmt.Errorf("looking for %s: %w", p.Manifest, err)
	}
	return Observed{State: Present}, nil
}

// Diff says nothing: it is only ever triggered.
func (p PodRestart) Diff(Observed) []Change { return nil }

// Apply does nothing.
func (p PodRestart) Apply(context.Context, *Env) error { return nil }

// Undo does nothing.
func (p PodRestart) Undo(context.Context, *Env, Observed) error { return nil }

// TriggeredBy is what its containers read when they start.
func (p PodRestart) TriggeredBy() []ID { return p.RestartOn }

// Trigger is the restart, if there is a Pod.
func (p PodRestart) Trigger(o Observed, by []ID) Change {
	if o.State == Absent {
		return Change{}
	}
	var names []string
	for _, id := range by {
		names = append(names, id.Name)
	}
	return Change{What: "restart", Why: "it reads " + strings.Join(names, ", ") + " only when it starts", Disturbs: true}
}

// stopTime is how long a container may take to end by itself: that of Pods that say nothing (terminationGracePeriodSeconds).
const stopTime = 30 * time.Second

// Fire stops the containers that run. The kubelet starts them again at once, and they see the files that are there now: what is mounted alone stays what it was in a container that runs.
func (p PodRestart) Fire(ctx context.Context, env *Env, _ []ID) error {
	if o, err := p.Observe(ctx, env); err != nil || o.State == Absent {
		return err
	}
	pods, err := staticPods(ctx, env, p.Socket, p.Name)
	if err != nil {
		return TransientError{err}
	}
	for _, pod := range pods {
		containers, err := env.CRI.Containers(ctx, p.Socket, pod.GetId())
		if err != nil {
			return TransientError{err}
		}
		for _, c := range containers {
			if c.GetState() != cri.ContainerState_CONTAINER_RUNNING {
				continue
			}
			if err := env.CRI.StopContainer(ctx, p.Socket, c.GetId(), stopTime); err != nil {
				return TransientError{fmt.Errorf("stopping the container %s of %s, so that the kubelet starts it anew: %w", c.GetMetadata().GetName(), p.Name, err)}
			}
		}
	}
	return nil
}

// Ran says that nothing is started again when what it reads goes.
func (p PodRestart) Ran(Observed) bool { return false }

// Refire does nothing.
func (p PodRestart) Refire(context.Context, *Env) error { return nil }
