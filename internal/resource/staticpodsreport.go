package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// StaticPodsReport looks at the static Pods that the machine shall run, and whether they do. It needs no API. It finds a list of StaticPodFound.
type StaticPodsReport struct {
	// Socket is where the container runtime answers: "unix:///run/containerd/containerd.sock".
	Socket string `json:"socket"`
}

// StaticPodFound is a static Pod as its manifest says.
type StaticPodFound struct {
	// Name of the Pod without the node's: "kube-apiserver".
	Name string `json:"name"`
	// Image of its first container: "registry.k8s.io/kube-apiserver:v1.37.1".
	Image string `json:"image,omitempty"`
	// Unwell is why it does not run as the manifest says, with what it said last; empty if it runs.
	Unwell string `json:"unwell,omitempty"`
}

// staticPodsDir is where the kubelet finds them, as kubeadm tells it.
const staticPodsDir = "/etc/kubernetes/manifests"

// ID is the same everywhere.
func (r StaticPodsReport) ID() ID { return ID{"static-pods", "machine"} }

// Look reads the manifests, and asks the container runtime for each.
func (r StaticPodsReport) Look(ctx context.Context, env *Env) (any, error) {
	names, err := env.Files.List(staticPodsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing %s: %w", staticPodsDir, err)
	}
	if _, err := env.CRI.Version(ctx, r.Socket); err != nil {
		return nil, err // how they are cannot be known
	}
	found := []StaticPodFound{}
	for _, name := range names {
		if path.Ext(name) != ".yaml" || strings.HasPrefix(name, ".") {
			continue // the kubelet reads what does not begin with a dot
		}
		text, err := readFile(env, path.Join(staticPodsDir, name), maxKubeconfig)
		if err != nil {
			return nil, err
		}
		p := StaticPodFound{Name: strings.TrimSuffix(name, ".yaml")}
		var pod corev1.Pod
		if err := yaml.Unmarshal(text, &pod); err != nil || pod.Name == "" || len(pod.Spec.Containers) == 0 {
			p.Unwell = name + " is no Pod"
			found = append(found, p)
			continue
		}
		p.Name, p.Image = pod.Name, pod.Spec.Containers[0].Image
		p.Unwell, err = StaticPodRuns{Name: pod.Name, Digest: pod.Annotations[ManifestAnnotation], Socket: r.Socket}.Check(ctx, env)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}
