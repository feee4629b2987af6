package resource

import (
	"context"
	"fmt"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StaticPodStarted is that the kubelet has started the Pod of a manifest as the manifest says now. It is what cures StaticPodRuns: what an older manifest left is ended, and the kubelet is
// restarted, which ends no Pod. A kubelet whose manifests change within seconds of its start may never start them (kubernetes/kubernetes#134908, seen with 1.37.1), and one that
// cannot reach the API ends no Pod that it did not start.
type StaticPodStarted struct {
	// Name of the Pod without the node's: "etcd".
	Name string `json:"name"`
	// Digest is the value of its annotation (ManifestAnnotation).
	Digest string `json:"digest"`
	// Socket is where the container runtime listens: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
}

// startTime is how long a kubelet may take after its restart to start a static Pod: 62 s were seen beside an API server that hangs.
const startTime = 75 * time.Second

// ID names the Pod.
func (p StaticPodStarted) ID() ID { return ID{"static-pod-started", p.Name} }

// Passing says that the machine does not remember it: there is nothing to put back.
func (p StaticPodStarted) Passing() {}

// Observe finds whether it is "started". It is Present whatever it finds.
func (p StaticPodStarted) Observe(ctx context.Context, env *Env) (Observed, error) {
	_, now, err := p.pods(ctx, env)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{}}
	if now {
		o.Values["started"] = "yes"
	}
	return o, nil
}

// pods are those of older manifests that run, and whether the one of this manifest does.
func (p StaticPodStarted) pods(ctx context.Context, env *Env) (old []*cri.PodSandbox, now bool, err error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	all, err := staticPods(limited, env, p.Socket, p.Name)
	for _, s := range all {
		switch {
		case s.GetState() != cri.PodSandboxState_SANDBOX_READY:
		case s.GetAnnotations()[ManifestAnnotation] == p.Digest:
			now = true
		default:
			old = append(old, s)
		}
	}
	return old, now, err
}

// Diff says that the kubelet is restarted.
func (p StaticPodStarted) Diff(o Observed) []Change {
	if o.Value("started") != "" {
		return nil
	}
	return []Change{{What: "restart of " + kubeletUnit, New: "it has not started " + p.Name, Disturbs: true}}
}

// Apply ends what older manifests left, restarts the kubelet, and waits until it has started the Pod.
func (p StaticPodStarted) Apply(ctx context.Context, env *Env) error {
	old, _, err := p.pods(ctx, env)
	if err != nil {
		return err
	}
	env.progress("ending what is left of older manifests, and restarting the kubelet")
	if err := stopContainers(ctx, env, p.Socket, old); err != nil {
		return err
	}
	if err := env.Systemd.Restart(ctx, kubeletUnit); err != nil {
		return fmt.Errorf("restarting %s: %w", kubeletUnit, err)
	}
	limited, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(endPause)
	defer tick.Stop()
	for {
		_, now, err := p.pods(limited, env) // a runtime that does not answer may yet
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && now:
			return nil
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return fmt.Errorf("the kubelet did not start %s within %s of its restart, either; \"journalctl -u kubelet\" says why", p.Name, startTime)
		}
	}
}

// Undo leaves it: what put the manifest there undoes that.
func (p StaticPodStarted) Undo(context.Context, *Env, Observed) error { return nil }
