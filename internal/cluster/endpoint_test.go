package cluster

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestEndpointAddresses(t *testing.T) {
	ipv4 := v1alpha1.Network{PodRanges: []string{"10.244.0.0/16"}, ServiceRanges: []string{"10.96.0.0/16"}}
	ipv6 := v1alpha1.Network{PodRanges: []string{"10.244.0.0/16", "fd01::/48"}, ServiceRanges: []string{"10.96.0.0/16", "fd02::/112"}}
	addresses := []string{"10.0.0.11", "fd00::11"}
	for _, c := range []struct {
		name    string
		kind    v1alpha1.EndpointKind
		network v1alpha1.Network
		roles   []v1alpha1.Role
		want    []string
	}{
		{"control plane", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.ControlPlane}, addresses},
		{"control plane that works, too", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.ControlPlane, v1alpha1.Worker}, addresses},
		{"worker", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.Worker}, []string{"127.0.0.1"}},
		{"worker with both families", v1alpha1.LocalEndpoint, ipv6, []v1alpha1.Role{v1alpha1.Worker}, []string{"127.0.0.1", "::1"}},
		{"etcd and worker", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.Etcd, v1alpha1.Worker}, []string{"127.0.0.1"}},
		{"etcd", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.Etcd}, nil},
		{"balancer", v1alpha1.LocalEndpoint, ipv4, []v1alpha1.Role{v1alpha1.LoadBalancer}, nil},
		{"another kind", "other", ipv4, []v1alpha1.Role{v1alpha1.Worker}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := &Cluster{Cluster: &v1alpha1.Cluster{Network: c.network, Endpoint: v1alpha1.Endpoint{Kind: c.kind}}}
			if got := model.EndpointAddresses(v1alpha1.Host{Roles: c.roles, InternalAddresses: addresses}); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
