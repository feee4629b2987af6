package clusterobjects

import (
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, internalAddresses: [10.0.0.11, "fd00::11"], roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, internalAddresses: [10.0.0.12, "fd00::12"], roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, internalAddresses: [10.0.0.13, "fd00::13"], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: [10.0.0.21, "fd00::21"], roles: [worker]}
- {name: w2, address: 10.0.0.22, internalAddresses: [10.0.0.22, "fd00::22"], roles: [worker]}
`

// load is the cluster with more in its file, its hosts' addresses found out.
func load(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+more))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Cluster: spec}
}

func input(c *cluster.Cluster) Input {
	return Input{
		Cluster: c, Executor: "cp3", CA: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", Joining: true,
		KubeletConfig: []byte("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"),
		Bundle: &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{
			{Kind: bundle.Image, Name: "registry.k8s.io/etcd:3.7.3-0", KubeadmTag: "3.7.0-0"},
			{Kind: bundle.Image, Name: "registry.k8s.io/coredns/coredns:v1.14.6"},
		}},
		API:   resource.API{Servers: []string{"10.0.0.13:6443"}, New: true},
		After: []plan.Condition{{Name: "the API answers"}},
	}
}

func TestSteps(t *testing.T) {
	standard := input(load(t, ""))

	special := input(load(t, `- {name: w3, address: w3.example, internalAddresses: [10.0.0.23, "2001:db8::23"], roles: [worker]}
network: {podRanges: [10.244.0.0/16, "fd00:1::/56"], serviceRanges: [10.96.0.0/16, "fd00:2::/112"], dnsDomain: k8s.example}
apiServer: {port: 7443, extraSANs: [k8s.example, 192.0.2.1], extraArgs: {v: "2", profiling: "false"}}
scheduler: {extraArgs: {v: "3"}}
etcd: {dataDir: /data/etcd, extraArgs: {snapshot-count: "5000"}}
certificates: {algorithm: RSA-4096, validity: 4380h}
kubeProxy: {disabled: true}
addons: {coreDNS: {disabled: true}}
`))
	special.Joining = false
	special.Programs = map[string]Program{"kube-apiserver": {
		Args:    map[string]string{"profiling": "true", "audit-log-maxage": "30"},
		Volumes: []Volume{{Name: "audit", HostPath: "/var/log/kubernetes/audit", MountPath: "/var/log/kubernetes/audit", PathType: "DirectoryOrCreate"}},
	}}
	special.Bundle.Parts = []bundle.Part{
		{Kind: bundle.Image, Name: "mirror.example/k8s/etcd:3.7.3-0"},
		{Kind: bundle.Image, Name: "mirror.example/k8s/coredns:v1.14.7", KubeadmTag: "v1.14.6"},
	}

	// Control planes are no nodes, and members of etcd are elsewhere: kubeadm has to know where.
	apart := input(load(t, `- {name: e1, address: 10.0.0.31, internalAddresses: [10.0.0.31, "fd00::31"], roles: [etcd]}
controlPlane: {standalone: true}
etcd: {clientPort: 4001}
`))

	for name, in := range map[string]Input{"standard": standard, "special": special, "apart": apart} {
		t.Run(name, func(t *testing.T) {
			steps, problems := Steps(in)
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, name, steps, problems)
		})
	}
}

// A host that comes costs one object: what all nodes read, or Pods start anew by, stays.
func TestAHostMoreChangesTheInventoryAlone(t *testing.T) {
	objects := func(more string) map[string]string {
		steps, problems := Steps(input(load(t, more)))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		all := map[string]string{}
		for _, s := range steps {
			for _, r := range s.Resources {
				if o, ok := r.(resource.KubeObject); ok {
					all[o.ID().Name] = string(o.Object)
				}
			}
		}
		return all
	}
	before, after := objects(""), objects("- {name: a1, address: 10.0.0.24, roles: [worker]}\n")
	if len(before) == 0 || len(before) != len(after) {
		t.Fatalf("there are %d objects, then %d", len(before), len(after))
	}
	for name, object := range after {
		if changed := object != before[name]; changed != (name == "ConfigMap kube-system/kubewright-inventory") {
			t.Errorf("%s changes: %t", name, changed)
		}
	}
}

// The first step needs no role that it makes itself: a run that ended before it was done, or an API server that learns of roles a moment later, would stop it for ever.
func TestRolesNeedNoRoles(t *testing.T) {
	steps, _ := Steps(input(load(t, "")))
	for _, r := range steps[0].Resources {
		if o, ok := r.(resource.KubeObject); !ok || o.API.Kubeconfig != superAdmin {
			t.Errorf("%s is made by %+v", r.ID(), r)
		}
	}
}
