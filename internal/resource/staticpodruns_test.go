package resource_test

import (
	"context"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestStaticPodRuns(t *testing.T) {
	pod := func(id, state, digest, created string) string {
		return `{"id": "` + id + `", "state": "` + state + `", "createdAt": "` + created + `", "metadata": {"name": "etcd-m1", "namespace": "kube-system"},
			"annotations": {"kubernetes.io/config.source": "file", "kubewright.dev/manifest": "` + digest + `"}}`
	}
	const (
		running = `{"containers": [{"id": "c1", "state": "CONTAINER_EXITED", "metadata": {"name": "etcd"}}, {"id": "c2", "state": "CONTAINER_RUNNING", "metadata": {"name": "etcd", "attempt": 1}}]}`
		exited  = `{"containers": [{"id": "c2", "state": "CONTAINER_EXITED", "metadata": {"name": "etcd", "attempt": 1}}, {"id": "c1", "state": "CONTAINER_EXITED", "metadata": {"name": "etcd"}}]}`
		stillOn = `{"containers": [{"id": "c3", "state": "CONTAINER_RUNNING", "metadata": {"name": "etcd"}}]}`
	)
	for _, c := range []struct{ name, pods, containers, why string }{
		{"no Pod", "", "", `the kubelet has not started etcd; "journalctl -u kubelet" says why`},
		{"of others", `{"id": "p1", "state": "SANDBOX_READY", "annotations": {"kubernetes.io/config.source": "api", "kubewright.dev/manifest": "now"}}`, running, `the kubelet has not started etcd; "journalctl -u kubelet" says why`},
		{"well", pod("p1", "SANDBOX_READY", "now", "1"), running, ""},
		{"old one", pod("p1", "SANDBOX_READY", "before", "1"), running, "etcd still runs by an older manifest"},
		{"old one ended", pod("p1", "SANDBOX_NOTREADY", "before", "1"), running, `the kubelet has not started etcd; "journalctl -u kubelet" says why`},
		{"new one beside", pod("p0", "SANDBOX_READY", "before", "1") + "," + pod("p1", "SANDBOX_READY", "now", "2"), running, ""},
		{"after a reboot", pod("p0", "SANDBOX_NOTREADY", "now", "9") + "," + pod("p1", "SANDBOX_READY", "now", "10"), running, ""},
		{"stopped", pod("p1", "SANDBOX_NOTREADY", "now", "1"), running, "the Pod of etcd stopped, and the kubelet has not started it again"},
		{"no container", pod("p1", "SANDBOX_READY", "now", "1"), `{"containers": []}`, `no container of etcd was started yet; its image may be missing: "journalctl -u kubelet" says more`},
		{"starting", pod("p1", "SANDBOX_READY", "now", "1"), strings.Replace(stillOn, "RUNNING", "CREATED", 1), "the container etcd of etcd is being started"},
		{"crash", pod("p1", "SANDBOX_READY", "now", "1"), exited, "the container etcd of etcd ended with code 2, for the 2. time: a | b | no such flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fake.New("m", nil)
			m.SetProgram("/usr/local/bin/crictl", func(_ context.Context, cmd resource.Command) (resource.Output, error) {
				switch args := strings.Join(cmd.Args, " "); args {
				case "pods --label io.kubernetes.pod.namespace=kube-system --name ^etcd- -o json":
					return resource.Output{Stdout: `{"items": [` + c.pods + `]}`}, nil
				case "ps --all --pod p1 -o json":
					return resource.Output{Stdout: c.containers}, nil
				case "inspect -o json c2":
					return resource.Output{Stdout: `{"status": {"exitCode": 2, "reason": "Error"}}`}, nil
				case "logs --tail 3 c2":
					return resource.Output{Stdout: "a\n", Stderr: "b\nno such flag\n"}, nil
				default:
					t.Errorf("crictl is asked %q", args)
					return resource.Output{Code: 1}, nil
				}
			})
			if why, err := (resource.StaticPodRuns{Name: "etcd", Digest: "now"}).Check(t.Context(), m.Env(nil)); err != nil || why != c.why {
				t.Errorf("it says %q, %v; want %q", why, err, c.why)
			}
		})
	}
	m := fake.New("m", nil)
	p := resource.StaticPodRuns{Name: "etcd", Digest: "now"}
	if why, err := p.Check(t.Context(), m.Env(nil)); err == nil {
		t.Errorf("without crictl it says %q", why)
	}
	m.SetProgram("/usr/local/bin/crictl", func(context.Context, resource.Command) (resource.Output, error) {
		return resource.Output{Code: 1, Stderr: "time=x level=warning msg=y\nno such socket\n"}, nil
	})
	if why, err := p.Check(t.Context(), m.Env(nil)); err != nil || why != "the container runtime: crictl pods: no such socket" {
		t.Errorf("without a runtime it says %q, %v", why, err)
	}
}
