package converge

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
)

func TestWhoseMembersEnd(t *testing.T) {
	member := facts.Host{Kubernetes: facts.Kubernetes{Etcd: facts.Etcd{Data: true}}}
	begun := facts.Host{Kubernetes: facts.Kubernetes{Manifests: map[string]string{"etcd.yaml": "x"}}}
	left := member
	left.Kubernetes.Etcd.Members = []facts.EtcdMember{{Name: "c1"}, {Name: "older"}, {Name: ""}}
	for _, c := range []struct {
		name    string
		every   map[string]facts.Host
		leavers []facts.Leaver
		ends    []string
		silent  []string
	}{
		{"all others are silent", map[string]facts.Host{"c1": left}, nil, nil, []string{"c2", "c3", "older"}},
		{"one answers", map[string]facts.Host{"c1": left, "c2": member, "w1": {}}, nil, []string{"c2"}, []string{"c3", "older"}},
		{"fresh machines", map[string]facts.Host{"c1": left, "c2": {}, "c3": begun, "older": {}}, nil, []string{"c3"}, nil},
		{"those that left", map[string]facts.Host{"c1": left, "c2": {}, "c3": {}, "older": member},
			[]facts.Leaver{
				{InventoryHost: facts.InventoryHost{Name: "older"}, Host: &member},
				{InventoryHost: facts.InventoryHost{Name: "plane", Roles: []string{"control-plane"}}, Silent: "no route"},
				{InventoryHost: facts.InventoryHost{Name: "worker", Roles: []string{"worker"}}, Silent: "no route"},
			}, []string{"older"}, []string{"plane"}},
	} {
		ends, silent := others(model(t).MainEtcd(), c.every, "c1", c.leavers)
		if !slices.Equal(ends, c.ends) || !slices.Equal(silent, c.silent) {
			t.Errorf("%s: %q end, %q are silent", c.name, ends, silent)
		}
	}
}
