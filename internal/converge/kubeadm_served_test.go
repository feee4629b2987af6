package converge

import (
	"bytes"
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// served is an API in memory, and what is in it.
type served struct {
	api  *kubefake.API
	env  *resource.Env
	refs []kube.Ref
}

// newServed has the node that the kubelet of cp1 registers, as kubeadm's dry run has it.
func newServed(t *testing.T) *served {
	t.Helper()
	s := &served{api: kubefake.New(), env: fake.New("cp1", nil).Env(nil)}
	t.Cleanup(s.api.Close)
	s.env.Kube = &kube.Pool{}
	t.Cleanup(s.env.Kube.Close)
	s.env.Secret = func(context.Context, resource.ID, string) ([]byte, error) {
		return []byte("abcdef.0123456789abcdef"), nil
	}
	for _, file := range []string{"/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"} {
		if err := s.env.Files.Write(file, resource.Attributes{Mode: 0o600}, bytes.NewReader(s.api.Kubeconfig)); err != nil {
			t.Fatal(err)
		}
	}
	s.api.Put("{apiVersion: v1, kind: Node, metadata: {name: cp1}}")
	return s
}

// toThis is a resource of the API, as one that makes the same in this one, or nil if that is nothing that is compared.
func (s *served) toThis(t *testing.T, r resource.Resource) resource.Resource {
	t.Helper()
	at := func(a resource.API) resource.API {
		return resource.API{Kubeconfig: a.Kubeconfig, Servers: []string{s.api.Address}}
	}
	switch r := r.(type) {
	case resource.KubeObject:
		var u unstructured.Unstructured
		if err := u.UnmarshalJSON(r.Object); err != nil {
			t.Fatal(err)
		}
		s.refs = append(s.refs, kube.RefOf(&u))
		r.API = at(r.API)
		return r
	case resource.BootstrapToken:
		s.refs = append(s.refs, kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "bootstrap-token-abcdef"})
		r.API = at(r.API)
		return r
	case resource.Node:
		if r.Name != "cp1" {
			return nil
		}
		s.refs = append(s.refs, kube.Ref{APIVersion: "v1", Kind: "Node", Name: r.Name})
		r.API = at(r.API)
		return r
	case resource.KubeObjects: // takes away
		return nil
	}
	t.Fatalf("what becomes of %s is not known here", r.ID())
	return nil
}
