package authority

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane, worker]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
endpoint: {kind: keepalived, address: 10.0.0.10}
`

// input is that of a cluster of which cp3 and w2 did not answer.
func input(t *testing.T) Input {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return Input{Cluster: c, Hosts: map[string]facts.Host{"cp1": {}, "cp2": {}, "w1": {}, "lb1": {}},
		After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} }}
}

func TestSteps(t *testing.T) {
	known := input(t)
	known.Certificates = map[string]string{pki.Kubernetes: "certificate of ca\n", pki.Etcd: "certificate of etcd\n", pki.FrontProxy: "certificate of the front proxy\n"}
	known.Shared = map[string]string{resource.ServiceAccountKey: "sha256:aa", resource.ServiceAccountPublic: "sha256:bb", resource.EncryptionConfig: "sha256:cc"}
	// What is not known is left alone, and the rest is put there.
	part := input(t)
	part.Certificates = map[string]string{pki.Etcd: "certificate of etcd\n"}
	part.Shared = map[string]string{resource.ServiceAccountKey: "sha256:aa"}
	part.After = nil
	for name, in := range map[string]Input{"known": known, "part": part} {
		t.Run(name, func(t *testing.T) {
			steps := Steps(in)
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, name, steps, nil)
		})
	}
}

// Keys are for control planes, whatever else hosts are.
func TestNoKeysElsewhere(t *testing.T) {
	in := input(t)
	in.Certificates = map[string]string{pki.Kubernetes: "a", pki.Etcd: "b", pki.FrontProxy: "c"}
	in.Shared = map[string]string{resource.ServiceAccountKey: "sha256:aa", resource.EncryptionConfig: "sha256:cc"}
	has := map[string]int{}
	for _, s := range Steps(in) {
		for _, r := range s.Resources {
			if u, ok := r.(resource.SecretUser); ok {
				has[s.Host] += len(u.Secrets())
			}
		}
	}
	if has["cp1"] != 5 || has["cp2"] != 5 || has["w1"] != 0 || has["lb1"] != 0 {
		t.Errorf("secrets are used by %v", has)
	}
}

// A member of etcd on a host of its own is given what it knows others by, and no key; the control planes beside it stay as they are.
func TestMembersOnHostsOfTheirOwn(t *testing.T) {
	in := input(t)
	in.Cluster.Hosts = append(in.Cluster.Hosts, v1alpha1.Host{Name: "e1", Roles: []v1alpha1.Role{v1alpha1.Etcd}})
	in.Hosts["e1"] = facts.Host{}
	in.Certificates = map[string]string{pki.Kubernetes: "a", pki.Etcd: "b", pki.FrontProxy: "c"}
	in.Shared = map[string]string{resource.ServiceAccountKey: "sha256:aa", resource.EncryptionConfig: "sha256:cc"}
	has := map[string][]string{}
	for _, s := range Steps(in) {
		for _, r := range s.Resources {
			switch r := r.(type) {
			case resource.Authority:
				has[s.Host] = append(has[s.Host], fmt.Sprintf("%s %t", r.Name, r.Key))
			case resource.SharedFile:
				has[s.Host] = append(has[s.Host], r.Path)
			}
		}
	}
	for host, want := range map[string][]string{"e1": {"ca false", "etcd/ca false"}, "w1": {"ca false"}} {
		if !slices.Equal(has[host], want) {
			t.Errorf("%s has %q; want %q", host, has[host], want)
		}
	}
	if len(has["cp1"]) != 5 {
		t.Errorf("cp1 has %q", has["cp1"])
	}
}

func TestPlaced(t *testing.T) {
	c := Placed(input(t))
	want := []plan.StepID{{Host: "cp1", Name: Step}, {Host: "cp2", Name: Step}}
	if !slices.Equal(c.Of, want) || c.Needed() != len(want) {
		t.Errorf("%d of %v have to be done; want all of %v", c.Needed(), c.Of, want)
	}
}
