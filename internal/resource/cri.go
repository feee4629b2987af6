package resource

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRI are the machine's container runtimes, as kubelets know them: the part of the CRI (k8s.io/cri-api/pkg/apis/runtime/v1) that resources use. An endpoint is where
// one listens: "unix:///run/containerd/containerd.sock". What it says is not to be changed. One that does not answer is an error that says why.
type CRI interface {
	// Version is its name and version: "containerd v2.4.2".
	Version(ctx context.Context, endpoint string) (string, error)
	// Pods are those that bear all of some labels, whether they run or not.
	Pods(ctx context.Context, endpoint string, labels map[string]string) ([]*cri.PodSandbox, error)
	// Containers are those of a Pod, whether they run or not.
	Containers(ctx context.Context, endpoint, pod string) ([]*cri.Container, error)
	// Container is how one is, or how it ended.
	Container(ctx context.Context, endpoint, container string) (*cri.ContainerStatus, error)
	// StopContainer ends a container, by force if it takes longer than a time.
	StopContainer(ctx context.Context, endpoint, container string, within time.Duration) error
}
