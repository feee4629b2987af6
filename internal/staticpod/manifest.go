package staticpod

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/resource"
)

// Manifest is the file from which the kubelet runs a Pod, and the question whether it does. The file says in an annotation which Pod it is of: a digest of what
// the Pod is, and of what it reads only when it starts.
// Socket is where the container runtime listens: "unix:///run/containerd/containerd.sock".
func Manifest(pod corev1.Pod, socket string, reads ...string) (resource.File, resource.Probe, error) {
	failed := func(err error) (resource.File, resource.Probe, error) {
		return resource.File{}, nil, fmt.Errorf("writing the manifest of %s: %w", pod.Name, err)
	}
	b, err := json.Marshal(pod)
	if err != nil {
		return failed(err)
	}
	sum := sha256.New()
	sum.Write(b)
	for _, r := range reads {
		fmt.Fprintf(sum, "\n%s", r)
	}
	digest := hex.EncodeToString(sum.Sum(nil))[:16]
	annotations := maps.Clone(pod.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resource.ManifestAnnotation] = digest
	pod.Annotations = annotations
	b, err = yaml.Marshal(pod)
	if err != nil {
		return failed(err)
	}
	f := resource.NewFile(path.Join(Dir, pod.Name+".yaml"), string(b))
	f.Mode, f.ShowMasked, f.Disturbs = 0o600, true, true
	return f, resource.StaticPodRuns{Name: pod.Name, Digest: digest, Socket: socket, Manifest: f.Path}, nil
}
