package cluster

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// LocalBalancer says whether a host has a balancer of its own in front of the API servers: a node that is no control plane, with an endpoint of kind local, or of another one with local balancers
// besides.
func (c *Cluster) LocalBalancer(h v1alpha1.Host) bool {
	return (c.Endpoint.Kind == v1alpha1.LocalEndpoint || c.Endpoint.Local) && isWorker(h)
}

// isWorker says whether a host is a node that is no control plane.
func isWorker(h v1alpha1.Host) bool {
	return slices.Contains(h.Roles, v1alpha1.Worker) && !slices.Contains(h.Roles, v1alpha1.ControlPlane)
}

// LedToEndpoint says whether a host's way to the API is the endpoint's own address: that of a node that is no control plane and has no balancer of its own.
func (c *Cluster) LedToEndpoint(h v1alpha1.Host) bool { return isWorker(h) && !c.LocalBalancer(h) }

// Led says whether a host's way to the API is another than its own API server: a balancer, here or elsewhere.
func (c *Cluster) Led(h v1alpha1.Host) bool { return isWorker(h) }

// PublicAddress is the address and port of the endpoint that people are led to; empty if it has none of its own.
func (c *Cluster) PublicAddress() string {
	if c.Endpoint.Address == "" {
		return ""
	}
	return net.JoinHostPort(c.Endpoint.Address, strconv.Itoa(cmp.Or(c.Endpoint.Port, c.Cluster.APIServer.Port)))
}

// Holders are the hosts one of which holds the address that wanders, each with a balancer: of the role that the cluster file says, with an endpoint of kind keepalived.
func (c *Cluster) Holders() []v1alpha1.Host {
	if c.Endpoint.Kind != v1alpha1.KeepalivedEndpoint {
		return nil
	}
	return c.With(c.Endpoint.Keepalived.Role)
}

// Holder says whether a host is one of them.
func (c *Cluster) Holder(h v1alpha1.Host) bool {
	return c.Endpoint.Kind == v1alpha1.KeepalivedEndpoint && slices.Contains(h.Roles, c.Endpoint.Keepalived.Role)
}

// Balancer says whether a host has a balancer, for itself or for others.
func (c *Cluster) Balancer(h v1alpha1.Host) bool { return c.LocalBalancer(h) || c.Holder(h) }

// BalancerPort is where the balancer of a holder listens, at the address that wanders: at the API's port, unless an API server has that on the host.
func (c *Cluster) BalancerPort(h v1alpha1.Host) int {
	if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		return c.Endpoint.Keepalived.BalancerPort
	}
	return c.Cluster.APIServer.Port
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

// EndpointNames are those that the endpoint is known by, and that certificates are for: its name, and the address that people are led to, if it has one.
func (c *Cluster) EndpointNames() []string {
	if a := c.Endpoint.Address; a != "" && a != c.Endpoint.Name {
		return []string{c.Endpoint.Name, a}
	}
	return []string{c.Endpoint.Name}
}

// EndpointAddresses are those that a host knows the endpoint's name by: its own API server on control planes (as kubeadm has it: a kubelet must not talk to an API
// server older than itself, and in an upgrade its own is never older), its balancer on other nodes, or the address of the endpoint; none if that is a name itself, which name servers know. Hosts that
// are no nodes do not ask the API, and know none.
func (c *Cluster) EndpointAddresses(h v1alpha1.Host) []string {
	switch {
	case slices.Contains(h.Roles, v1alpha1.ControlPlane):
		return h.InternalAddresses
	case c.LocalBalancer(h):
		return c.Loopback()
	case c.LedToEndpoint(h):
		if a, err := netip.ParseAddr(c.Endpoint.Address); err == nil {
			return []string{a.Unmap().String()}
		}
	}
	return nil
}
