package resource_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestStaticPodStarted(t *testing.T) {
	const socket = "unix:///run/containerd/containerd.sock"
	runs := resource.StaticPodRuns{Name: "etcd", Digest: "now", Socket: socket}
	pod := func(digest string, state cri.PodSandboxState) *cri.PodSandbox {
		return &cri.PodSandbox{Id: digest, State: state, Metadata: &cri.PodSandboxMetadata{Name: "etcd-m"}, Labels: map[string]string{"io.kubernetes.pod.namespace": "kube-system"},
			Annotations: map[string]string{"kubernetes.io/config.source": "file", resource.ManifestAnnotation: digest}}
	}
	const ready, notReady = cri.PodSandboxState_SANDBOX_READY, cri.PodSandboxState_SANDBOX_NOTREADY
	container := &cri.Container{Id: "c1", PodSandboxId: "before", State: cri.ContainerState_CONTAINER_RUNNING, Metadata: &cri.ContainerMetadata{Name: "etcd"}}
	started := &fake.Runtime{Pods: []*cri.PodSandbox{pod("before", notReady), pod("now", ready)}}
	for _, c := range []struct {
		name    string
		is      *fake.Runtime
		after   *fake.Runtime // 5 s after the kubelet was restarted
		differs bool
		did     []string
		failed  string
	}{
		{"it runs", started, nil, false, nil, ""},
		{"it was not started", &fake.Runtime{Pods: []*cri.PodSandbox{pod("before", notReady)}}, started, true, []string{"restart kubelet.service"}, ""},
		{"it stopped", &fake.Runtime{Pods: []*cri.PodSandbox{pod("now", notReady)}}, started, true, []string{"restart kubelet.service"}, ""},
		{"an older one runs", &fake.Runtime{Pods: []*cri.PodSandbox{pod("before", ready)}, Containers: []*cri.Container{container}}, started, true, []string{"stop container c1", "restart kubelet.service"}, ""},
		{"nothing helps", &fake.Runtime{}, &fake.Runtime{}, true, []string{"restart kubelet.service"}, "did not start etcd within 1m15s"},
		{"the runtime ends", &fake.Runtime{}, nil, true, []string{"restart kubelet.service"}, "did not start etcd within 1m15s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := fake.New("m", nil)
				env := m.Env(nil)
				m.DeclareUnit("kubelet.service", true, true)
				m.SetRuntime(socket, c.is)
				p := runs.Cure()
				differs := func() bool {
					t.Helper()
					o, err := p.Observe(t.Context(), env)
					if err != nil {
						t.Fatal(err)
					}
					return len(p.Diff(o)) > 0
				}
				if differs() != c.differs {
					t.Errorf("it differs: %v", !c.differs)
				}
				if !c.differs {
					return
				}
				var did []string
				m.Before = func(op string) error {
					if strings.HasPrefix(op, "stop container ") || strings.HasPrefix(op, "restart ") {
						did = append(did, op)
					}
					if strings.HasPrefix(op, "restart ") {
						time.AfterFunc(5*time.Second, func() { m.SetRuntime(socket, c.after) })
					}
					return nil
				}
				err := p.Apply(t.Context(), env)
				if !slices.Equal(did, c.did) {
					t.Errorf("did %q", did)
				}
				switch {
				case c.failed == "" && (err != nil || differs()):
					t.Errorf("%v, or it differs still", err)
				case c.failed != "" && (err == nil || !strings.Contains(err.Error(), c.failed)):
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestStaticPodStartedOfWhoDoesNotAnswer(t *testing.T) {
	env := fake.New("m", nil).Env(nil)
	if o, err := (resource.StaticPodStarted{Name: "etcd", Digest: "now", Socket: "unix:///none.sock"}).Observe(t.Context(), env); err == nil {
		t.Errorf("without a runtime it is %+v", o)
	}
}
