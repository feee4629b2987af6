package resource_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/resource"
)

// criServer is a runtime that has a Pod of a container, whatever it is asked for.
type criServer struct {
	cri.UnimplementedRuntimeServiceServer
}

func (criServer) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "v2.4.2"}, nil
}

func (criServer) ListPodSandbox(_ context.Context, q *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	return &cri.ListPodSandboxResponse{Items: []*cri.PodSandbox{{Id: "p", Labels: q.GetFilter().GetLabelSelector()}}}, nil
}

func (criServer) ListContainers(_ context.Context, q *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	return &cri.ListContainersResponse{Containers: []*cri.Container{{Id: "c", PodSandboxId: q.GetFilter().GetPodSandboxId()}}}, nil
}

func (criServer) ContainerStatus(_ context.Context, q *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{Id: q.GetContainerId(), ExitCode: 3}}, nil
}

func (criServer) StopContainer(_ context.Context, q *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	return nil, fmt.Errorf("%s has %d seconds", q.GetContainerId(), q.GetTimeout())
}

// serveCRI has a runtime answer until the end of the test.
func serveCRI(t *testing.T, listener net.Listener) {
	t.Helper()
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, criServer{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func TestLocalCRI(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cri.sock")
	endpoint := "unix://" + socket
	l := &resource.LocalCRI{}
	defer l.Close()
	if _, err := l.Version(t.Context(), "tcp://10.0.0.1:1"); err == nil {
		t.Error("it asks another machine")
	}
	want := "the container runtime at " + endpoint + ": dial unix " + socket + ": connect: no such file or directory"
	if _, err := l.Version(t.Context(), endpoint); err == nil || err.Error() != want {
		t.Errorf("without a runtime it says %v; want %s", err, want)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveCRI(t, listener)
	version, err := l.Version(t.Context(), endpoint)
	for err != nil && t.Context().Err() == nil { // it tries again by itself
		version, err = l.Version(t.Context(), endpoint)
	}
	if version != "containerd v2.4.2" {
		t.Errorf("its version is %q", version)
	}
	if pods, err := l.Pods(t.Context(), endpoint, map[string]string{"a": "b"}); err != nil || len(pods) != 1 || pods[0].GetLabels()["a"] != "b" {
		t.Errorf("its Pods are %v, %v", pods, err)
	}
	if list, err := l.Containers(t.Context(), endpoint, "p"); err != nil || len(list) != 1 || list[0].GetPodSandboxId() != "p" {
		t.Errorf("its containers are %v, %v", list, err)
	}
	if c, err := l.Container(t.Context(), endpoint, "c"); err != nil || c.GetId() != "c" || c.GetExitCode() != 3 {
		t.Errorf("its container is %v, %v", c, err)
	}
	if err := l.StopContainer(t.Context(), endpoint, "c", 30*time.Second); err == nil || err.Error() != "the container runtime at "+endpoint+": c has 30 seconds" {
		t.Errorf("of stopping it says %v", err)
	}
}

// slowListener is of a runtime that takes its time to speak first.
type slowListener struct {
	net.Listener
	wait time.Duration
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	time.Sleep(l.wait)
	return c, err
}

// A machine that has much to do lets a runtime take longer to greet than the time between two attempts.
func TestLocalCRIWaitsForASlowRuntime(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "cri.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveCRI(t, slowListener{listener, 600 * time.Millisecond})
	l := &resource.LocalCRI{}
	defer l.Close()
	if _, err := l.Version(t.Context(), "unix://"+socket); err != nil {
		t.Error(err)
	}
}
