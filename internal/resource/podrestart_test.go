package resource_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestPodRestart(t *testing.T) {
	conf := resource.ID{Kind: "kubeconfig", Name: "/etc/kubernetes/scheduler.conf"}
	p := resource.PodRestart{Name: "kube-scheduler", Manifest: "/etc/kubernetes/manifests/kube-scheduler.yaml", RestartOn: []resource.ID{conf}}
	const (
		pods = `{"items": [
			{"id": "ours", "state": "SANDBOX_READY", "annotations": {"kubernetes.io/config.source": "file"}},
			{"id": "before", "state": "SANDBOX_NOTREADY", "annotations": {"kubernetes.io/config.source": "file"}},
			{"id": "theirs", "state": "SANDBOX_READY", "annotations": {"kubernetes.io/config.source": "api"}}]}`
		containers = `{"containers": [{"id": "c2", "state": "CONTAINER_RUNNING", "metadata": {"name": "kube-scheduler", "attempt": 1}},
			{"id": "c1", "state": "CONTAINER_EXITED", "metadata": {"name": "kube-scheduler"}}]}`
		ended = `{"containers": [{"id": "c0", "state": "CONTAINER_EXITED", "metadata": {"name": "kube-scheduler"}}]}`
	)
	m := fake.New("m", nil)
	env := m.Env(nil)
	var stopped []string
	answer := resource.Output{}
	m.SetProgram("/usr/local/bin/crictl", func(_ context.Context, c resource.Command) (resource.Output, error) {
		switch args := strings.Join(c.Args, " "); args {
		case "pods --label io.kubernetes.pod.namespace=kube-system --name ^kube-scheduler- -o json":
			return resource.Output{Stdout: pods}, nil
		case "ps --all --pod ours -o json":
			return resource.Output{Stdout: containers}, nil
		case "ps --all --pod before -o json":
			return resource.Output{Stdout: ended}, nil
		default:
			stopped = append(stopped, args)
			return answer, nil
		}
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
	if err := p.Fire(t.Context(), env, []resource.ID{conf}); err != nil || !slices.Equal(stopped, []string{"stop --timeout 30 c2"}) {
		t.Errorf("%v, stopped are %q; want what runs of the static Pod alone", err, stopped)
	}

	answer = resource.Output{Code: 1, Stderr: "no such socket\n"}
	err := p.Fire(t.Context(), env, []resource.ID{conf})
	if _, passes := errors.AsType[resource.TransientError](err); !passes || !strings.HasSuffix(err.Error(), "no such socket") {
		t.Errorf("a runtime that fails: %v", err)
	}
}
