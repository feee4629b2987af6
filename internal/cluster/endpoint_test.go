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
	local, external := v1alpha1.Endpoint{Kind: v1alpha1.LocalEndpoint}, v1alpha1.Endpoint{Kind: v1alpha1.ExternalEndpoint, Address: "10.0.0.10"}
	beside, named := external, external
	beside.Local, named.Address = true, "api.example.com"
	for _, c := range []struct {
		name     string
		endpoint v1alpha1.Endpoint
		network  v1alpha1.Network
		roles    []v1alpha1.Role
		want     []string
	}{
		{"control plane", local, ipv4, []v1alpha1.Role{v1alpha1.ControlPlane}, addresses},
		{"control plane that works, too", local, ipv4, []v1alpha1.Role{v1alpha1.ControlPlane, v1alpha1.Worker}, addresses},
		{"worker", local, ipv4, []v1alpha1.Role{v1alpha1.Worker}, []string{"127.0.0.1"}},
		{"worker with both families", local, ipv6, []v1alpha1.Role{v1alpha1.Worker}, []string{"127.0.0.1", "::1"}},
		{"etcd and worker", local, ipv4, []v1alpha1.Role{v1alpha1.Etcd, v1alpha1.Worker}, []string{"127.0.0.1"}},
		{"etcd", local, ipv4, []v1alpha1.Role{v1alpha1.Etcd}, nil},
		{"balancer", local, ipv4, []v1alpha1.Role{v1alpha1.LoadBalancer}, nil},
		{"control plane, external", external, ipv4, []v1alpha1.Role{v1alpha1.ControlPlane, v1alpha1.Worker}, addresses},
		{"worker, external", external, ipv4, []v1alpha1.Role{v1alpha1.Worker}, []string{"10.0.0.10"}},
		{"worker, external with a name", named, ipv4, []v1alpha1.Role{v1alpha1.Worker}, nil},
		{"worker, external and local", beside, ipv4, []v1alpha1.Role{v1alpha1.Worker}, []string{"127.0.0.1"}},
		{"etcd, external", external, ipv4, []v1alpha1.Role{v1alpha1.Etcd}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := &Cluster{Cluster: &v1alpha1.Cluster{Network: c.network, Endpoint: c.endpoint}}
			if got := model.EndpointAddresses(v1alpha1.Host{Roles: c.roles, InternalAddresses: addresses}); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestPublicAddress(t *testing.T) {
	for want, e := range map[string]v1alpha1.Endpoint{
		"": {Name: "api.a.internal"}, "10.0.0.10:7443": {Address: "10.0.0.10"}, "a.example:443": {Address: "a.example", Port: 443}, "[fd00::10]:7443": {Address: "fd00::10"},
	} {
		c := &Cluster{Cluster: &v1alpha1.Cluster{Endpoint: e, APIServer: v1alpha1.APIServer{Port: 7443}}}
		if got := c.PublicAddress(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}
