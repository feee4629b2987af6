package resource_test

import (
	"errors"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestStaticPodRuns(t *testing.T) {
	const (
		ready, notReady  = cri.PodSandboxState_SANDBOX_READY, cri.PodSandboxState_SANDBOX_NOTREADY
		created, running = cri.ContainerState_CONTAINER_CREATED, cri.ContainerState_CONTAINER_RUNNING
		exited           = cri.ContainerState_CONTAINER_EXITED
	)
	pod := func(id string, state cri.PodSandboxState, digest string, created int64) *cri.PodSandbox {
		return &cri.PodSandbox{
			Id: id, State: state, CreatedAt: created, Metadata: &cri.PodSandboxMetadata{Name: "etcd-m1"},
			Labels:      map[string]string{"io.kubernetes.pod.namespace": "kube-system"},
			Annotations: map[string]string{"kubernetes.io/config.source": "file", "kubewright.dev/manifest": digest},
		}
	}
	changed := func(p *cri.PodSandbox, change func(p *cri.PodSandbox)) *cri.PodSandbox {
		change(p)
		return p
	}
	container := func(id string, state cri.ContainerState, attempt uint32) *cri.Container {
		return &cri.Container{Id: id, PodSandboxId: "p1", State: state, Metadata: &cri.ContainerMetadata{Name: "etcd", Attempt: attempt}}
	}
	well := []*cri.Container{container("c1", exited, 0), container("c2", running, 1)}
	const notStarted = `the kubelet has not started etcd; "journalctl -u kubelet" says why`
	for _, c := range []struct {
		name       string
		pods       []*cri.PodSandbox
		containers []*cri.Container
		why        string
	}{
		{"no Pod", nil, nil, notStarted},
		{"of the API", []*cri.PodSandbox{changed(pod("p1", ready, "now", 1), func(p *cri.PodSandbox) { p.Annotations["kubernetes.io/config.source"] = "api" })}, well, notStarted},
		{"of another name", []*cri.PodSandbox{changed(pod("p1", ready, "now", 1), func(p *cri.PodSandbox) { p.Metadata.Name = "etcdctl-m1" })}, well, notStarted},
		{"of another namespace", []*cri.PodSandbox{changed(pod("p1", ready, "now", 1), func(p *cri.PodSandbox) { p.Labels = nil })}, well, notStarted},
		{"well", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, well, ""},
		{"old one", []*cri.PodSandbox{pod("p1", ready, "before", 1)}, well, "etcd still runs by an older manifest"},
		{"old one ended", []*cri.PodSandbox{pod("p1", notReady, "before", 1)}, well, notStarted},
		{"new one beside", []*cri.PodSandbox{pod("p0", ready, "before", 1), pod("p1", ready, "now", 2)}, well, ""},
		{"after a reboot", []*cri.PodSandbox{pod("p1", ready, "now", 10), pod("p0", notReady, "now", 9)}, well, ""},
		{"stopped", []*cri.PodSandbox{pod("p1", notReady, "now", 1)}, well, "the Pod of etcd stopped, and the kubelet has not started it again"},
		{"no container", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, nil, `no container of etcd was started yet; its image may be missing: "journalctl -u kubelet" says more`},
		{"starting", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, []*cri.Container{container("c3", created, 0)}, "the container etcd of etcd is being started"},
		{"crash", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, []*cri.Container{container("c2", exited, 1), container("c1", exited, 0)},
			"the container etcd of etcd ended with code 2, for the 2. time: b | a long line | no such flag"},
		{"out of memory", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, []*cri.Container{container("c4", exited, 0)}, "the container etcd of etcd ended with code 137 (OOMKilled)"},
		{"forgotten", []*cri.PodSandbox{pod("p1", ready, "now", 1)}, []*cri.Container{container("c5", exited, 0)}, "the container etcd of etcd ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := fake.New("m", nil)
			env := m.Env(nil)
			log := "2026-01-02T03:04:05Z stdout F a\n2026-01-02T03:04:05Z stderr F b\n2026-01-02T03:04:05Z stdout P a long\n2026-01-02T03:04:05Z stderr F \n" +
				"2026-01-02T03:04:05Z stdout F  line\n2026-01-02T03:04:06Z stderr P no such flag\n"
			if err := env.Files.Write("/var/log/pods/etcd/1.log", resource.Attributes{Mode: 0o640}, strings.NewReader(log)); err != nil {
				t.Fatal(err)
			}
			m.SetRuntime("unix:///cri", &fake.Runtime{Pods: c.pods, Containers: c.containers, Ended: map[string]*cri.ContainerStatus{
				"c2": {ExitCode: 2, Reason: "Error", LogPath: "/var/log/pods/etcd/1.log"},
				"c4": {ExitCode: 137, Reason: "OOMKilled", LogPath: "/var/log/pods/etcd/9.log"},
			}})
			if why, err := (resource.StaticPodRuns{Name: "etcd", Digest: "now", Socket: "unix:///cri"}).Check(t.Context(), env); err != nil || why != c.why {
				t.Errorf("it says %q, %v; want %q", why, err, c.why)
			}
		})
	}
}

func TestRuntimeThatDoesNotAnswer(t *testing.T) {
	for _, p := range []resource.Probe{
		resource.StaticPodRuns{Name: "etcd", Digest: "now", Socket: "unix:///cri"},
		resource.RuntimeAnswers{Name: "containerd", Socket: "unix:///cri"},
	} {
		m := fake.New("m", nil)
		if why, err := p.Check(t.Context(), m.Env(nil)); err != nil || why != "the container runtime at unix:///cri: no such file or directory" {
			t.Errorf("%s: where there is none it says %q, %v", p.ID(), why, err)
		}
		m.SetRuntime("unix:///cri", &fake.Runtime{Refuses: errors.New("it starts")})
		if why, err := p.Check(t.Context(), m.Env(nil)); err != nil || why != "it starts" {
			t.Errorf("%s: where it starts it says %q, %v", p.ID(), why, err)
		}
	}
	m := fake.New("m", nil)
	m.SetRuntime("unix:///cri", &fake.Runtime{})
	if why, err := (resource.RuntimeAnswers{Name: "containerd", Socket: "unix:///cri"}).Check(t.Context(), m.Env(nil)); why != "" || err != nil {
		t.Errorf("where it answers it says %q, %v", why, err)
	}
}
