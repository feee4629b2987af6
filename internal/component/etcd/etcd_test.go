package etcd

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const three = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`

func load(t *testing.T, hosts, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nhosts:"+hosts+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testBundle() *bundle.Bundle {
	return &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64", Parts: []bundle.Part{{
		Kind: bundle.Image, Name: "registry.k8s.io/etcd:3.7.3-0", Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("e", 64)}.String(),
	}}}
}

func steps(t *testing.T, c *cluster.Cluster, hosts map[string]facts.Host) ([]plan.Step, []plan.Problem) {
	t.Helper()
	s, problems := Steps(Input{Cluster: c, Etcd: c.MainEtcd(), Hosts: hosts, Bundle: testBundle(), RuntimeEndpoint: "unix:///run/containerd/containerd.sock",
		After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " runs Pods"}} }})
	if err := plan.Check(s, []plan.Group{{Name: cluster.ControlPlanes, AtOnce: 1}, {Name: cluster.EtcdHosts, AtOnce: 1}, {Name: cluster.MainMembers, AtOnce: 1}}); err != nil {
		t.Error(err)
	}
	return s, problems
}

func TestSteps(t *testing.T) {
	answered := map[string]facts.Host{"cp1": {}, "cp2": {}, "cp3": {}, "w1": {}}
	grown := facts.Host{Kubernetes: facts.Kubernetes{Etcd: facts.Etcd{Data: true, Log: true, InitialCluster: "cp1=https://10.0.0.11:2380", InitialClusterState: "existing"}}}
	for _, c := range []struct {
		name, hosts, more string
		facts             map[string]facts.Host
	}{
		{"new", three, "", answered},
		{"settings", `
- {name: cp1, address: cp1.example, internalAddresses: ["fd00::11", 10.0.0.11], roles: [control-plane]}
`, `
etcd:
  dataDir: /data/etcd
  quota: 2Gi
  compactionMode: revision
  compactionRetention: "1000"
  extraArgs: {heartbeat-interval: "200"}
network: {podRanges: ["fd00:10:244::/56", 10.244.0.0/16], serviceRanges: ["fd00:10:96::/112", 10.96.0.0/16]}
certificates: {algorithm: RSA-3072, validity: 720h}
`, map[string]facts.Host{"cp1": {}}},
		{"apart", `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: e1, address: 10.0.0.31, internalAddresses: [10.0.0.31], roles: [etcd]}
`, "", map[string]facts.Host{"cp1": {}, "e1": {}}},
		{"living", three, "", map[string]facts.Host{"cp1": grown}},
		{"ports", three, "etcd: {clientPort: 4001, peerPort: 7001}\n", map[string]facts.Host{"cp1": {}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, problems := steps(t, load(t, c.hosts, c.more), c.facts)
			plantest.Golden(t, c.name, s, problems)
		})
	}
}

// What a member was begun with is never derived again while it has data, whatever becomes of the hosts: another byte would start it anew.
func TestMembersStayAsTheyBegan(t *testing.T) {
	manifestOf := func(hosts string, f facts.Host) resource.File {
		s, problems := steps(t, load(t, hosts, ""), map[string]facts.Host{"cp1": f})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, r := range s[0].Resources {
			if f, ok := r.(resource.File); ok {
				return f
			}
		}
		t.Fatal("there is no manifest")
		return resource.File{}
	}
	const one = "\n- {name: cp1, address: 10.0.0.11, roles: [control-plane]}\n"
	first := manifestOf(one, facts.Host{})
	const alone = "cp1=https://10.0.0.11:2380"
	if !strings.Contains(string(first.Content), "--initial-cluster="+alone+"\n") {
		t.Fatalf("the first member is\n%s", first.Content)
	}
	living := facts.Host{Kubernetes: facts.Kubernetes{Etcd: facts.Etcd{Data: true, Log: true, InitialCluster: alone}}}
	if now := manifestOf(three, living); now.Digest != first.Digest {
		t.Errorf("with more hosts it becomes\n%s", strings.Join(resource.DiffLines(string(first.Content), string(now.Content)), "\n"))
	}
	// Without data nothing began.
	living.Kubernetes.Etcd.Data, living.Kubernetes.Etcd.Log = false, false
	if now := manifestOf(three, living); !strings.Contains(string(now.Content), "--initial-cluster="+alone+",cp2=https://10.0.0.12:2380,cp3=https://10.0.0.13:2380\n") {
		t.Errorf("a member that did not begin is\n%s", now.Content)
	}
}

func TestBundleWithoutEtcd(t *testing.T) {
	c := load(t, three, "")
	s, problems := Steps(Input{Cluster: c, Etcd: c.MainEtcd(), Hosts: map[string]facts.Host{"cp1": {}}, Bundle: &bundle.Bundle{Kubernetes: "v1.37.1"}})
	if len(s) > 0 || len(problems) != 1 || !problems[0].Blocks || problems[0].Message != "the bundle of Kubernetes v1.37.1 has no image etcd" {
		t.Errorf("%d steps, problems %v", len(s), problems)
	}
}
