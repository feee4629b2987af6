package kubelet

import (
	"reflect"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
	"github.com/kubewright/kubewright/internal/resource"
)

const hosts = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
`

func load(t *testing.T, hosts, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nendpoint: {kind: keepalived, address: 10.0.0.10}\nhosts:"+hosts+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func input(c *cluster.Cluster, digit string, hosts map[string]facts.Host) Input {
	return Input{
		Cluster: c, Hosts: hosts, RuntimeEndpoint: "unix:///run/runtime.sock", RuntimeUnit: "runtime.service",
		Bundle: &bundle.Bundle{Kubernetes: "v1.37.1", Parts: []bundle.Part{{Kind: bundle.Programs, Name: "kubernetes", Blobs: []bundle.Blob{{
			Digest: v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(digit, 64)}, Size: 1000, MediaType: bundle.ProgramLayer, Title: "kubernetes",
			Commands: []string{"kubeadm", "kubectl", "kubelet"},
		}}}}},
		Content:       "/var/lib/containerd/blobs",
		AfterPrograms: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} },
		After:         func(host string) []plan.Condition { return []plan.Condition{{Name: host + " runs containers"}} },
	}
}

var server = facts.Host{Hostname: "localhost", RaisePriority: true, Packages: "apt", Cgroup: 2}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name, hosts, more string
		facts             map[string]facts.Host
	}{
		{"debian", hosts, "", map[string]facts.Host{"cp1": server, "w1": server, "lb1": server}},
		{"container", `
- name: cp1
  address: cp1.example
  internalAddresses: ["fd00::11", 10.0.0.11]
  roles: [control-plane, worker]
  labels: {disk: fast, topology.kubernetes.io/zone: a, node-role.kubernetes.io/storage: "", kubelet.kubernetes.io/x: "1", example.org/team: "7"}
  taints: [{key: dedicated, value: db, effect: NoExecute}, {key: other, effect: PreferNoSchedule}]
`, `
hostPreparation: {hostname: false, swap: true}
network: {dnsDomain: prod.example, serviceRanges: ["fd00:10:96::/112", 10.96.0.0/16], podRanges: ["fd00:10:244::/56", 10.244.0.0/16]}
kubelet:
  maxPods: 200
  systemReserved: {cpu: 500m, memory: 1Gi}
  kubeReserved: {memory: 512Mi}
  evictionHard: {memory.available: 500Mi}
cloudProvider: external
`, map[string]facts.Host{"cp1": {Hostname: "ip-10-0-0-11", Packages: "dnf", Cgroup: 1, Resolver: true}}},
		{"standalone", `
- {name: cp1, address: 10.0.0.11, internalAddresses: [10.0.0.11], roles: [control-plane], labels: {rack: a}}
- {name: e1, address: 10.0.0.31, internalAddresses: [10.0.0.31], roles: [etcd]}
- {name: e2, address: 10.0.0.32, internalAddresses: [10.0.0.32], roles: [etcd, worker], taints: [{key: etcd, effect: NoSchedule}]}
- {name: e3, address: 10.0.0.33, internalAddresses: [10.0.0.33], roles: [etcd]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: lb1, address: 10.0.0.5, roles: [loadbalancer]}
`, `
controlPlane: {standalone: true}
kubelet: {systemReserved: {memory: 1Gi}, config: {podPidsLimit: 4096, authentication: {webhook: {cacheTTL: 30s}}}}
cloudProvider: external
`, map[string]facts.Host{"cp1": server, "e1": server, "e2": server, "lb1": server}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.hosts, c.more)
			if c.name == "container" {
				model.Kubelet.Config = map[string]any{
					"authentication": map[string]any{"webhook": map[string]any{"cacheTTL": "30s"}}, "evictionHard": map[string]any{"nodefs.available": "5%"},
					"clusterDNS": []any{"10.96.0.99"}, "podPidsLimit": 4096,
				}
			}
			steps, problems := Steps(input(model, "a", c.facts))
			if err := plan.Check(steps, []plan.Group{{Name: cluster.ControlPlanes, AtOnce: 1}, {Name: cluster.EtcdHosts, AtOnce: 1}, {Name: cluster.Workers, AtOnce: 1}}); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
		})
	}
}

// The unit is started anew by what changes in its own step: another program is another drop-in there.
func TestAnotherProgramStartsTheKubeletAnew(t *testing.T) {
	digests := func(digit string) map[resource.ID]string {
		steps, _ := Steps(input(load(t, hosts, ""), digit, map[string]facts.Host{"w1": server}))
		found := map[resource.ID]string{}
		for _, r := range steps[1].Resources {
			if f, ok := r.(resource.File); ok {
				found[f.ID()] = f.Digest
			}
		}
		return found
	}
	steps, _ := Steps(input(load(t, hosts, ""), "a", map[string]facts.Host{"w1": server}))
	var u resource.Unit
	for _, r := range steps[1].Resources {
		if found, ok := r.(resource.Unit); ok {
			u = found
		}
	}
	before, after := digests("a"), digests("b")
	changed := 0
	for _, id := range u.RestartOn {
		if before[id] != after[id] {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("%d of %v changed with the program; want 1", changed, u.RestartOn)
	}
}

func TestOneMoreHostTouchesNoOther(t *testing.T) {
	text := func(more string) string {
		steps, problems := Steps(input(load(t, hosts+more, ""), "a", map[string]facts.Host{"cp1": server, "w1": server}))
		return plantest.Render(t, steps, problems)
	}
	if before, after := text(""), text("- {name: w2, address: 10.0.0.22, roles: [worker]}\n"); before != after {
		t.Errorf("it changes\n%s", strings.Join(resource.DiffLines(before, after), "\n"))
	}
}

func TestMayLabel(t *testing.T) {
	for name, want := range map[string]bool{
		"disk": true, "example.org/disk": true, "notkubernetes.io/x": true, "kubernetes.io/hostname": true, "topology.kubernetes.io/zone": true,
		"node.kubernetes.io/anything": true, "my.node.kubernetes.io/anything": true, "kubelet.kubernetes.io/x": true,
		"node-role.kubernetes.io/worker": false, "kubernetes.io/role": false, "k8s.io/x": false, "my.k8s.io/x": false, "node-restriction.kubernetes.io/x": false,
	} {
		if got := mayLabel(name); got != want {
			t.Errorf("mayLabel(%s) = %t", name, got)
		}
	}
}

func TestBundleWithoutKubernetes(t *testing.T) {
	in := input(load(t, hosts, ""), "a", map[string]facts.Host{"w1": server})
	in.Bundle.Parts = nil
	steps, problems := Steps(in)
	if len(steps) > 0 || len(problems) != 1 || !problems[0].Blocks || problems[0].Message != "the bundle of Kubernetes v1.37.1 has no program kubernetes" {
		t.Errorf("%d steps, problems %v", len(steps), problems)
	}
}

// The example of RKE's guide: what is reserved of a node of 32 processors, 64 GiB and 100 GiB. Of the rest, 60.5 GiB and 88 GiB, TestAllocatable of package sizing is.
func TestReservations(t *testing.T) {
	model := load(t, hosts, `
kubelet:
  kubeReserved: {cpu: "1", memory: 2Gi, ephemeral-storage: 1Gi}
  systemReserved: {cpu: "1", memory: 1Gi, ephemeral-storage: 1Gi}
  evictionHard: {memory.available: 500Mi, nodefs.available: 10%}
`)
	text, err := Configuration(model)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"kubeReserved":   map[string]any{"cpu": "1", "memory": "2Gi", "ephemeral-storage": "1Gi"},
		"systemReserved": map[string]any{"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"},
		"evictionHard":   map[string]any{"memory.available": "500Mi", "nodefs.available": "10%"},
		// Signals that are not named keep their thresholds.
		"mergeDefaultEvictionSettings": true,
		// Pods are held to what is left, as kubelets do by themselves. The control groups of the system's own programs are not held to what is reserved: that would end some of them.
		"enforceNodeAllocatable": nil, "kubeReservedCgroup": nil, "systemReservedCgroup": nil,
	} {
		if !reflect.DeepEqual(config[name], want) {
			t.Errorf("%s is %v, not %v", name, config[name], want)
		}
	}
}
