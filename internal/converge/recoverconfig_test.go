package converge

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
)

func parsed(t *testing.T, more string) *v1alpha1.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestDifferencesOfARecoveredFile(t *testing.T) {
	spec := parsed(t, `hosts:
- {name: c1, address: 10.0.0.1, roles: [control-plane]}
- {name: w1, address: 10.0.0.2, roles: [worker], ssh: {port: 2222}}
`)
	same := []facts.InventoryHost{{Name: "c1", Address: "10.0.0.1", Roles: []string{"control-plane"}}, {Name: "w1", Address: "10.0.0.2", Port: 2222, Roles: []string{"worker"}}}
	for _, c := range []struct {
		name   string
		change func(hosts []facts.InventoryHost) []facts.InventoryHost
		want   string
	}{
		{"the same", func(h []facts.InventoryHost) []facts.InventoryHost { return h }, ""},
		{"another address", func(h []facts.InventoryHost) []facts.InventoryHost { h[0].Address = "10.9.0.1"; return h }, "c1 is at 10.0.0.1 in the file, and was reached at 10.9.0.1 before"},
		{"another port", func(h []facts.InventoryHost) []facts.InventoryHost { h[1].Port = 0; return h }, "w1 is at 10.0.0.2, port 2222 in the file, and was reached at 10.0.0.2 before"},
		{"another role", func(h []facts.InventoryHost) []facts.InventoryHost { h[1].Roles = []string{"etcd"}; return h }, "w1 has the roles worker in the file, and had etcd before"},
		{"not joined", func(h []facts.InventoryHost) []facts.InventoryHost { return h[:1] }, "w1 is in the file, and was not reached before"},
		{"still there", func(h []facts.InventoryHost) []facts.InventoryHost {
			return append(h, facts.InventoryHost{Name: "old", Address: "10.0.0.9"})
		},
			"old is not in the file, and was reached at 10.0.0.9 before: it has not left the cluster yet"},
		{"left", func(h []facts.InventoryHost) []facts.InventoryHost {
			return append(h, facts.InventoryHost{Name: "old", Address: "10.0.0.9", Left: true})
		},
			"old, which was at 10.0.0.9, left the cluster without having been put back as it was found"},
	} {
		if got := strings.Join(Differences(spec, facts.Inventory{Hosts: c.change(slices.Clone(same))}), "\n"); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
	}
}

func TestNamedFiles(t *testing.T) {
	spec := parsed(t, `ssh: {key: keys/id}
hosts:
- {name: c1, address: 10.0.0.1, roles: [control-plane]}
- {name: w1, address: 10.0.0.2, roles: [worker]}
registries:
- host: registry.example.com
  ca: ca.pem
  credentials: {username: puller, passwordFile: password}
files:
- {source: motd, path: /etc/motd}
- {source: gpu, path: /etc/gpu, roles: [worker]}
audit: {policy: audit.yaml}
addons: {coreDNS: {corefile: Corefile}}
`)
	var got []string
	for _, n := range NamedFiles(spec) {
		got = append(got, n.Field+" "+n.Path+": "+n.Lost)
	}
	want := []string{
		"ssh.key keys/id: the private key that c1 is logged in to with: put yours there. A changed path is shown by plan, and remembered by apply",
		"registries[0].ca ca.pem: all hosts have it as /etc/containerd/certs.d/registry.example.com/authorities.pem",
		"registries[0].credentials.passwordFile password: the password of puller at registry.example.com",
		"files[0].source motd: all hosts have it as /etc/motd",
		"files[1].source gpu: hosts with the role worker have it as /etc/gpu",
		"audit.policy audit.yaml: control planes have it as /etc/kubernetes/audit-policy.yaml",
		"addons.coreDNS.corefile Corefile: the ConfigMap kube-system/coredns has it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if more := NamedFiles(parsed(t, "hosts: [{name: c1, address: 10.0.0.1, roles: [control-plane]}]\n")); len(more) > 0 {
		t.Errorf("of a plain file: %v", more)
	}
}

func TestWhoRemembersNoClusterFile(t *testing.T) {
	member := of("c1", "x")
	plane := member
	plane.Inventory = &facts.Inventory{Hosts: []facts.InventoryHost{{Name: "c1", Address: "10.0.0.1", Roles: []string{"control-plane"}}}}
	for _, c := range []struct {
		host    facts.Host
		content string
		want    string
	}{
		{plane, "x", ""},
		{facts.Host{}, "", "c1 belongs to no cluster of Kubewright"},
		{member, "", "c1 is of the cluster called x and no control plane of it"},
		{plane, "", "Name another control plane, or write the file again; its hosts are c1 at 10.0.0.1 (control-plane)"},
	} {
		err := remembersFile("c1", c.host, []byte(c.content))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
}
