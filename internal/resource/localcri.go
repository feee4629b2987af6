package resource

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// maxCRIMessage is how many bytes a runtime may say at once, as kubelets let it (maxMsgSize in k8s.io/cri-client).
	maxCRIMessage = 16 << 20
	// criRetry is how long after a failed attempt a runtime is connected to again: it may be starting, and to ask a socket costs nothing.
	criRetry = 200 * time.Millisecond
)

// LocalCRI are the container runtimes of this machine. Each is connected to when it is first asked, once.
type LocalCRI struct {
	mu    sync.Mutex
	conns map[string]*grpc.ClientConn // by endpoint
}

// conn gives the connection to a runtime, which is made while it is waited for.
func (l *LocalCRI) conn(endpoint string) (*grpc.ClientConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.conns[endpoint]; c != nil {
		return c, nil
	}
	if !strings.HasPrefix(endpoint, "unix://") {
		return nil, fmt.Errorf("the container runtime at %q cannot be asked: only sockets of this machine can (unix://…)", endpoint)
	}
	c, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxCRIMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: criRetry, Multiplier: 1, MaxDelay: criRetry},
			// Unless it is said, an attempt gets no longer than the time between two: too short for a machine that has much to do.
			MinConnectTimeout: answerTime,
		}))
	if err != nil {
		return nil, fmt.Errorf("the container runtime at %s cannot be asked: %w", endpoint, err)
	}
	if l.conns == nil {
		l.conns = map[string]*grpc.ClientConn{}
	}
	l.conns[endpoint] = c
	return c, nil
}

// Close ends the connections.
func (l *LocalCRI) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// askCRI asks a runtime one question.
func askCRI[Q, A any](ctx context.Context, l *LocalCRI, endpoint string, ask func(cri.RuntimeServiceClient, context.Context, Q, ...grpc.CallOption) (A, error), q Q) (A, error) {
	c, err := l.conn(endpoint)
	if err != nil {
		var none A
		return none, err
	}
	a, err := ask(cri.NewRuntimeServiceClient(c), ctx, q)
	if err != nil {
		return a, criError{endpoint, err}
	}
	return a, nil
}

// criError is why a runtime did not answer as it was asked.
type criError struct {
	endpoint string
	err      error
}

// Error leaves out what gRPC says around it.
func (e criError) Error() string {
	said := status.Convert(e.err).Message()
	if _, dial, ok := strings.Cut(said, "Error while dialing: "); ok {
		said = strings.TrimSuffix(dial, `"`)
	}
	return fmt.Sprintf("the container runtime at %s: %s", e.endpoint, said)
}

func (e criError) Unwrap() error { return e.err }

// Version asks for what the kubelet asks for first.
func (l *LocalCRI) Version(ctx context.Context, endpoint string) (string, error) {
	v, err := askCRI(ctx, l, endpoint, cri.RuntimeServiceClient.Version, &cri.VersionRequest{})
	if err != nil {
		return "", err
	}
	return v.GetRuntimeName() + " " + v.GetRuntimeVersion(), nil
}

// Pods asks for all at once.
func (l *LocalCRI) Pods(ctx context.Context, endpoint string, labels map[string]string) ([]*cri.PodSandbox, error) {
	list, err := askCRI(ctx, l, endpoint, cri.RuntimeServiceClient.ListPodSandbox, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{LabelSelector: labels}})
	return list.GetItems(), err
}

// Containers asks for those of one Pod.
func (l *LocalCRI) Containers(ctx context.Context, endpoint, pod string) ([]*cri.Container, error) {
	list, err := askCRI(ctx, l, endpoint, cri.RuntimeServiceClient.ListContainers, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{PodSandboxId: pod}})
	return list.GetContainers(), err
}

// Container asks for one.
func (l *LocalCRI) Container(ctx context.Context, endpoint, container string) (*cri.ContainerStatus, error) {
	s, err := askCRI(ctx, l, endpoint, cri.RuntimeServiceClient.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: container})
	return s.GetStatus(), err
}

// StopContainer has the runtime ask it to end, and kill it after a time.
func (l *LocalCRI) StopContainer(ctx context.Context, endpoint, container string, within time.Duration) error {
	_, err := askCRI(ctx, l, endpoint, cri.RuntimeServiceClient.StopContainer, &cri.StopContainerRequest{ContainerId: container, Timeout: int64(within.Seconds())})
	return err
}
