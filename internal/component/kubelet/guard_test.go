package kubelet

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
)

func TestGuard(t *testing.T) {
	const file = `
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: e1, address: 10.0.0.31, roles: [etcd]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
`
	node := facts.Host{Kubernetes: facts.Kubernetes{Joined: true}}
	for _, c := range []struct {
		name, more string
		is         map[string]facts.Host
		want       []string
	}{
		{"all are new", "controlPlane: {standalone: true}\n", map[string]facts.Host{"cp1": {}, "e1": {}, "w1": {}}, nil},
		{"nodes stay nodes", "", map[string]facts.Host{"cp1": node, "e1": {}, "w1": node}, nil},
		{"control planes become nodes", "", map[string]facts.Host{"cp1": {}, "e1": {}, "w1": node}, nil},
		{"control planes shall be none any more", "controlPlane: {standalone: true}\n", map[string]facts.Host{"cp1": node, "e1": {}, "w1": node}, []string{"cp1"}},
		{"a worker shall carry etcd alone", "", map[string]facts.Host{"cp1": node, "e1": node}, []string{"e1"}},
		{"who does not answer says nothing", "controlPlane: {standalone: true}\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Guard(load(t, file, c.more), c.is) {
				if !p.Blocks || p.Remedy == "" {
					t.Errorf("%s does not stand in the way, or says not what to do", p)
				}
				got = append(got, p.Host)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("it refuses %q; want %q", got, c.want)
			}
		})
	}
}
