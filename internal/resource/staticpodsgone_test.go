package resource_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func TestStaticPodsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := resource.StaticPodsGone{Names: []string{"kube-apiserver", "kube-scheduler"}, Dir: "/etc/kubernetes/manifests", Socket: "unix:///run/containerd/containerd.sock"}
		pod := func(name, source string) *cri.PodSandbox {
			return &cri.PodSandbox{Id: name, State: cri.PodSandboxState_SANDBOX_READY, Metadata: &cri.PodSandboxMetadata{Name: name + "-m"},
				Labels: map[string]string{"io.kubernetes.pod.namespace": "kube-system"}, Annotations: map[string]string{"kubernetes.io/config.source": source}}
		}
		m := fake.New("m", nil)
		env := m.Env(nil)
		etcd := pod("etcd", "file")
		running := &fake.Runtime{
			Pods:       []*cri.PodSandbox{pod("kube-apiserver", "file"), pod("kube-scheduler", "api"), etcd},
			Containers: []*cri.Container{{Id: "c1", PodSandboxId: "kube-apiserver", State: cri.ContainerState_CONTAINER_RUNNING, Metadata: &cri.ContainerMetadata{Name: "kube-apiserver"}}},
		}
		m.SetRuntime(p.Socket, running)
		for _, name := range []string{"kube-apiserver", "kube-scheduler", "etcd"} {
			write(p.Dir+"/"+name+".yaml", "x")(t, m, env)
		}
		said := func() (list []string) {
			t.Helper()
			o, err := p.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Diff(o) {
				list = append(list, c.String())
			}
			return list
		}
		if got := said(); !slices.Equal(got, []string{"kube-apiserver: active \u2192 inactive", "kube-scheduler: not running \u2192 absent"}) {
			t.Errorf("%q", got)
		}

		// A kubelet that does nothing: the runtime is told to, and who waits is told so.
		var stopped []string
		m.Before = func(op string) error {
			if id, ok := strings.CutPrefix(op, "stop container "); ok {
				stopped = append(stopped, id)
			}
			return nil
		}
		err := p.Apply(t.Context(), env)
		if _, passes := errors.AsType[resource.TransientError](err); !passes || !slices.Equal(stopped, []string{"c1"}) {
			t.Errorf("%v, stopped are %q", err, stopped)
		}
		if names, err := env.Files.List(p.Dir); err != nil || !slices.Equal(names, []string{"etcd.yaml"}) {
			t.Errorf("manifests that are left: %q, %v", names, err)
		}
		m.SetRuntime(p.Socket, &fake.Runtime{Pods: []*cri.PodSandbox{etcd}})
		if err := p.Apply(t.Context(), env); err != nil || len(said()) > 0 {
			t.Errorf("%v, it differs by %q", err, said())
		}
		// Who does not answer says nothing.
		m.SetRuntime(p.Socket, nil)
		if _, err := p.Observe(t.Context(), env); err == nil {
			t.Error("without a runtime the Pods are known to be gone")
		}
	})
}
