package resource

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// StaticPodRuns asks whether the Pod of a manifest runs as the manifest says now: a ready sandbox bears the manifest's annotation (ManifestAnnotation), and all of its containers run.
// If they do not, it says why, with the last lines that the container wrote.
type StaticPodRuns struct {
	// Name of the Pod without the node's: "etcd".
	Name string `json:"name"`
	// Digest is the value of the annotation.
	Digest string `json:"digest"`
	// Socket is where the container runtime listens: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
	// Manifest is the path of the manifest: "/etc/kubernetes/manifests/etcd.yaml".
	Manifest string `json:"manifest"`
}

// ManifestAnnotation is the annotation of static Pods that says which manifest they come from.
const ManifestAnnotation = "kubewright.dev/manifest"

// staticPodLines is how many of the last lines of a container that ended are shown.
const staticPodLines = 3

// staticPodLine is how much of each is, in bytes: programs of Kubernetes write lines of thousands.
const staticPodLine = 300

// ID names the Pod.
func (p StaticPodRuns) ID() ID { return ID{"static-pod", p.Name} }

// Cure is that the kubelet is helped to start it.
func (p StaticPodRuns) Cure() Resource {
	return StaticPodStarted{Name: p.Name, Digest: p.Digest, Socket: p.Socket}
}

// Follows is the manifest: as long as that is another, so is the Pod.
func (p StaticPodRuns) Follows() ID { return ID{"file", p.Manifest} }

// Check asks the container runtime.
func (p StaticPodRuns) Check(ctx context.Context, env *Env) (string, error) {
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	why, err := p.check(limited, env)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return fmt.Sprintf("the container runtime does not say within %v how %s is", answerTime, p.Name), nil
	case err != nil:
		return err.Error(), nil
	}
	return why, nil
}

func (p StaticPodRuns) check(ctx context.Context, env *Env) (string, error) {
	pods, err := staticPods(ctx, env, p.Socket, p.Name)
	if err != nil {
		return "", err
	}
	old := false
	var now *cri.PodSandbox
	for _, s := range pods {
		// Sandboxes of Pods that go are still there for a while, not ready; the newest is the one that counts.
		switch {
		case s.GetAnnotations()[ManifestAnnotation] != p.Digest:
			old = old || s.GetState() == cri.PodSandboxState_SANDBOX_READY
		case now == nil || s.GetCreatedAt() > now.GetCreatedAt():
			now = s
		}
	}
	switch {
	case now == nil && old:
		return p.Name + " still runs by an older manifest", nil
	case now == nil:
		return fmt.Sprintf("the kubelet has not started %s; \"journalctl -u kubelet\" says why", p.Name), nil
	case now.GetState() != cri.PodSandboxState_SANDBOX_READY:
		return fmt.Sprintf("the Pod of %s stopped, and the kubelet has not started it again", p.Name), nil
	}
	return p.containers(ctx, env, now.GetId())
}

// staticPods are the sandboxes of a static Pod, by its name without the node's. Pods of the same beginning that came by the API are others'.
func staticPods(ctx context.Context, env *Env, socket, name string) ([]*cri.PodSandbox, error) {
	pods, err := env.CRI.Pods(ctx, socket, map[string]string{"io.kubernetes.pod.namespace": "kube-system"})
	return slices.DeleteFunc(pods, func(s *cri.PodSandbox) bool {
		component := s.GetLabels()["component"] // which tells etcd from etcd-events: the name of a node may be anything
		return s.GetAnnotations()["kubernetes.io/config.source"] != "file" || !strings.HasPrefix(s.GetMetadata().GetName(), name+"-") || component != "" && component != name
	}), err
}

// containers looks at those of a sandbox: the last attempt of each has to run.
func (p StaticPodRuns) containers(ctx context.Context, env *Env, pod string) (string, error) {
	list, err := env.CRI.Containers(ctx, p.Socket, pod)
	if err != nil {
		return "", err
	}
	last := map[string]*cri.Container{}
	for _, c := range list {
		name := c.GetMetadata().GetName()
		if l, ok := last[name]; !ok || c.GetMetadata().GetAttempt() > l.GetMetadata().GetAttempt() {
			last[name] = c
		}
	}
	if len(last) == 0 {
		return fmt.Sprintf("no container of %s was started yet; its image may be missing: \"journalctl -u kubelet\" says more", p.Name), nil
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		switch last[name].GetState() {
		case cri.ContainerState_CONTAINER_RUNNING:
		case cri.ContainerState_CONTAINER_EXITED:
			return p.ended(ctx, env, last[name]), nil
		default:
			return fmt.Sprintf("the container %s of %s is being started", name, p.Name), nil
		}
	}
	return "", nil
}

// ended says how a container ended. What cannot be found out about that is left out.
func (p StaticPodRuns) ended(ctx context.Context, env *Env, c *cri.Container) string {
	why := fmt.Sprintf("the container %s of %s ended", c.GetMetadata().GetName(), p.Name)
	status, err := env.CRI.Container(ctx, p.Socket, c.GetId())
	if err == nil {
		why += fmt.Sprintf(" with code %d", status.GetExitCode())
		if r := status.GetReason(); r != "" && r != "Error" && r != "Completed" {
			why += " (" + join(r, status.GetMessage()) + ")"
		}
	}
	if attempt := c.GetMetadata().GetAttempt(); attempt > 0 {
		why += fmt.Sprintf(", for the %d. time", attempt+1)
	}
	if path := status.GetLogPath(); path != "" {
		if said := containerLog(env, path, staticPodLines); len(said) > 0 {
			for i, line := range said {
				if len(line) > staticPodLine {
					said[i] = line[:staticPodLine] + "…"
				}
			}
			why += ": " + strings.Join(said, " | ")
		}
	}
	return why
}
