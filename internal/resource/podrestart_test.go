package resource_test

import (
	"context"
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
	p := resource.PodRestart{Name: "kube-scheduler", Manifest: "/etc/kubernetes/manifests/kube-scheduler.yaml", Socket: "unix:///run/runtime.sock", RestartOn: []resource.ID{conf}}
	pod := func(id, name, source string) *cri.PodSandbox {
		return &cri.PodSandbox{Id: id, Metadata: &cri.PodSandboxMetadata{Name: name}, Labels: map[string]string{"io.kubernetes.pod.namespace": "kube-system"},
			Annotations: map[string]string{"kubernetes.io/config.source": source}}
	}
	container := func(id, pod string, state cri.ContainerState) *cri.Container {
		return &cri.Container{Id: id, PodSandboxId: pod, State: state, Metadata: &cri.ContainerMetadata{Name: "kube-scheduler"}}
	}
	const running, exited = cri.ContainerState_CONTAINER_RUNNING, cri.ContainerState_CONTAINER_EXITED
	m := fake.New("m", nil)
	env := m.Env(nil)
	var stopped []string
	var refuses error
	m.SetRuntime(p.Socket, &fake.Runtime{
		Pods: []*cri.PodSandbox{pod("ours", "kube-scheduler-m1", "file"), pod("before", "kube-scheduler-m1", "file"), pod("theirs", "kube-scheduler-m1", "api"), pod("another", "kube-proxy-m1", "file")},
		Containers: []*cri.Container{container("c2", "ours", running), container("c1", "ours", exited), container("c0", "before", exited),
			container("c3", "theirs", running), container("c4", "another", running)},
		Stops: func(_ context.Context, id string) error {
			stopped = append(stopped, id)
			return refuses
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

	refuses = errors.New("not now")
	err := p.Fire(t.Context(), env, []resource.ID{conf})
	if _, passes := errors.AsType[resource.TransientError](err); !passes || !strings.HasSuffix(err.Error(), "not now") {
		t.Errorf("a runtime that fails: %v", err)
	}
}
