package cluster

import (
	"net/netip"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// LocalBalancer says whether a host has a balancer of its own in front of the API servers: a node that is no control plane, with an endpoint of kind local.
func (c *Cluster) LocalBalancer(h v1alpha1.Host) bool {
	return c.Endpoint.Kind == v1alpha1.LocalEndpoint && slices.Contains(h.Roles, v1alpha1.Worker) && !slices.Contains(h.Roles, v1alpha1.ControlPlane)
}

// Loopback are the addresses that such a balancer listens on: 127.0.0.1, and ::1 if the cluster has IPv6.
func (c *Cluster) Loopback() []string {
	list := []string{"127.0.0.1"}
	for _, r := range slices.Concat(c.Network.PodRanges, c.Network.ServiceRanges) {
		if p, err := netip.ParsePrefix(r); err == nil && p.Addr().Is6() {
			return append(list, "::1")
		}
	}
	return list
}

// EndpointAddresses are those that a host knows the endpoint's name by: its own API server on control planes (as kubeadm has it: a kubelet must not talk to an API
// server older than itself, and in an upgrade its own is never older), its balancer on other nodes. Hosts that are no nodes do not ask the API, and know none.
func (c *Cluster) EndpointAddresses(h v1alpha1.Host) []string {
	switch {
	case slices.Contains(h.Roles, v1alpha1.ControlPlane):
		return h.InternalAddresses
	case c.LocalBalancer(h):
		return c.Loopback()
	}
	return nil
}
