package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StaticPodsGone is that some static Pods are no more: their manifests are gone, and the kubelet has ended them, all at once. It is for Pods that have to end before something else does;
// what put the manifests there still has them to undo.
type StaticPodsGone struct {
	// Names of the Pods without the node's: "kube-apiserver".
	Names []string `json:"names"`
	// Dir is where their manifests are, by their names.
	Dir string `json:"dir"`
	// Socket is where the container runtime listens: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
}

const (
	// endTime is how long a kubelet may take to end Pods: half a minute, which static Pods have by default to end by themselves, and what it takes to notice.
	endTime = time.Minute
	// endPause is between looking and looking again.
	endPause = 200 * time.Millisecond
)

// ID has the names.
func (p StaticPodsGone) ID() ID { return ID{"static-pods-gone", strings.Join(p.Names, ",")} }

// Passing says that the machine does not remember it: there is nothing to put back.
func (p StaticPodsGone) Passing() {}

func (p StaticPodsGone) manifest(name string) string { return path.Join(p.Dir, name+".yaml") }

// Observe finds which have a "manifest NAME", and which have "runs NAME". It is Present whatever it finds.
func (p StaticPodsGone) Observe(ctx context.Context, env *Env) (Observed, error) {
	values := map[string]string{}
	for _, name := range p.Names {
		_, err := env.Files.Stat(p.manifest(name))
		if err == nil {
			values["manifest "+name] = "yes"
		} else if !errors.Is(err, fs.ErrNotExist) {
			return Observed{}, err
		}
		ready, err := p.ready(ctx, env, name)
		if err != nil {
			return Observed{}, err
		}
		if len(ready) > 0 {
			values["runs "+name] = "yes"
		}
	}
	return Observed{State: Present, Values: values}, nil
}

// ready are the sandboxes of a Pod that run.
func (p StaticPodsGone) ready(ctx context.Context, env *Env, name string) ([]*cri.PodSandbox, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	pods, err := staticPods(limited, env, p.Socket, name)
	if err != nil {
		return nil, err
	}
	var ready []*cri.PodSandbox
	for _, s := range pods {
		if s.GetState() == cri.PodSandboxState_SANDBOX_READY {
			ready = append(ready, s)
		}
	}
	return ready, nil
}

// Diff says what ends.
func (p StaticPodsGone) Diff(o Observed) []Change {
	var changes []Change
	for _, name := range p.Names {
		switch {
		case o.Value("runs "+name) != "":
			changes = append(changes, Change{What: name, Old: "active", New: "inactive", Disturbs: true})
		case o.Value("manifest "+name) != "":
			changes = append(changes, Change{What: name, Old: "not running", New: "absent"})
		}
	}
	return changes
}

// Apply takes the manifests away and waits until the Pods have ended. If no kubelet does that, the runtime is told to.
func (p StaticPodsGone) Apply(ctx context.Context, env *Env) error {
	for _, name := range p.Names {
		if err := env.Files.Remove(p.manifest(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	limited, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(endPause)
	defer tick.Stop()
	var running []*cri.PodSandbox // when it was last known
	var unseen error
	said := ""
	for {
		left, err := p.left(limited, env)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && len(left) == 0:
			return nil
		case err == nil:
			running, unseen = left, nil
			if now := "waiting for " + namesOf(left) + " to end"; now != said {
				said = now
				env.progress(said)
			}
		case limited.Err() == nil:
			unseen = err
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if unseen != nil {
				return TransientError{fmt.Errorf("whether %s ended is not known: %w", strings.Join(p.Names, ", "), unseen)}
			}
			return p.end(ctx, env, running)
		}
	}
}

// namesOf are the names of Pods, with the node's.
func namesOf(pods []*cri.PodSandbox) string {
	var names []string
	for _, s := range pods {
		names = append(names, s.GetMetadata().GetName())
	}
	return strings.Join(names, ", ")
}

// left are the sandboxes that still run.
func (p StaticPodsGone) left(ctx context.Context, env *Env) ([]*cri.PodSandbox, error) {
	var all []*cri.PodSandbox
	for _, name := range p.Names {
		ready, err := p.ready(ctx, env, name)
		if err != nil {
			return nil, err
		}
		all = append(all, ready...)
	}
	return all, nil
}

// end has the runtime end what the kubelet did not.
func (p StaticPodsGone) end(ctx context.Context, env *Env, left []*cri.PodSandbox) error {
	if err := stopContainers(ctx, env, p.Socket, left); err != nil {
		return err
	}
	return TransientError{fmt.Errorf("the kubelet did not end %s within %s after their manifests went, so their containers were stopped; \"journalctl -u kubelet\" says why", namesOf(left), endTime)}
}

// stopContainers has the runtime stop those of some sandboxes that run.
func stopContainers(ctx context.Context, env *Env, socket string, of []*cri.PodSandbox) error {
	for _, pod := range of {
		list, err := env.CRI.Containers(ctx, socket, pod.GetId())
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.GetState() != cri.ContainerState_CONTAINER_RUNNING {
				continue
			}
			if err := env.CRI.StopContainer(ctx, socket, c.GetId(), stopTime); err != nil {
				return err
			}
		}
	}
	return nil
}

// Undo leaves them: what put the manifests there undoes that.
func (p StaticPodsGone) Undo(context.Context, *Env, Observed) error { return nil }
