package resource_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestPodRestart(t *testing.T) {
	conf := resource.ID{Kind: "kubeconfig", Name: "/etc/kubernetes/scheduler.conf"}
	p := resource.PodRestart{Name: "kube-scheduler", Socket: "unix:///run/containerd/containerd.sock", Manifest: "/etc/kubernetes/manifests/kube-scheduler.yaml", RestartOn: []resource.ID{conf}}
	pod := func(id, source string, state cri.PodSandboxState) *cri.PodSandbox {
		return &cri.PodSandbox{Id: id, State: state, Metadata: &cri.PodSandboxMetadata{Name: "kube-scheduler-m"},
			Labels: map[string]string{"io.kubernetes.pod.namespace": "kube-system"}, Annotations: map[string]string{"kubernetes.io/config.source": source}}
	}
	container := func(id, pod string, state cri.ContainerState) *cri.Container {
		return &cri.Container{Id: id, PodSandboxId: pod, State: state, Metadata: &cri.ContainerMetadata{Name: "kube-scheduler"}}
	}
	m := fake.New("m", nil)
	env := m.Env(nil)
	var stopped []string
	var refuses error
	m.Before = func(op string) error {
		if id, ok := strings.CutPrefix(op, "stop container "); ok {
			stopped = append(stopped, id)
			return refuses
		}
		return nil
	}
	m.SetRuntime(p.Socket, &fake.Runtime{
		Pods: []*cri.PodSandbox{pod("ours", "file", cri.PodSandboxState_SANDBOX_READY), pod("before", "file", cri.PodSandboxState_SANDBOX_NOTREADY), pod("theirs", "api", cri.PodSandboxState_SANDBOX_READY)},
		Containers: []*cri.Container{
			container("c2", "ours", cri.ContainerState_CONTAINER_RUNNING), container("c1", "ours", cri.ContainerState_CONTAINER_EXITED),
			container("c0", "before", cri.ContainerState_CONTAINER_EXITED), container("c3", "theirs", cri.ContainerState_CONTAINER_RUNNING),
		},
	})
	observe := func() resource.Observed {
		t.Helper()
		o, err := p.Observe(t.Context(), env)
		if err != nil || len(p.Diff(o)) > 0 {
			t.Fatalf("%+v, %v", o, err)
		}
		return o
	}

	// Without a manifest there is no Pod: the first one reads what is there anyway.
	if o := observe(); o.State != resource.Absent || p.Trigger(o, []resource.ID{conf}).What != "" {
		t.Errorf("%+v, which means %q", o, p.Trigger(o, []resource.ID{conf}))
	}
	if err := p.Fire(t.Context(), env, []resource.ID{conf}); err != nil || len(stopped) > 0 {
		t.Errorf("%v, stopped are %q", err, stopped)
	}

	if err := env.Files.Write(p.Manifest, resource.Attributes{Mode: 0o600}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if c := p.Trigger(observe(), []resource.ID{conf}); !c.Disturbs || c.String() != "restart (it reads /etc/kubernetes/scheduler.conf only when it starts)" {
		t.Errorf("it means %q, which disturbs: %t", c, c.Disturbs)
	}
	if err := p.Apply(t.Context(), env); err != nil || len(stopped) > 0 {
		t.Errorf("untriggered: %v, stopped are %q", err, stopped)
	}
	if err := p.Fire(t.Context(), env, []resource.ID{conf}); err != nil || !slices.Equal(stopped, []string{"c2"}) {
		t.Errorf("%v, stopped are %q; want what runs of the static Pod alone", err, stopped)
	}

	refuses = errors.New("no such socket")
	err := p.Fire(t.Context(), env, []resource.ID{conf})
	if _, passes := errors.AsType[resource.TransientError](err); !passes || !strings.HasSuffix(err.Error(), "no such socket") {
		t.Errorf("a runtime that fails: %v", err)
	}
}
