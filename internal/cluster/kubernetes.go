package cluster

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// NodeAddress is the address that a host's node has: its first internal one. Before that is found out, there is none.
func NodeAddress(h v1alpha1.Host) string {
	if len(h.InternalAddresses) == 0 {
		return ""
	}
	return h.InternalAddresses[0]
}

// Nodes are the hosts that become nodes: workers, and control planes unless those are none, in the order of the file.
func (c *Cluster) Nodes() []v1alpha1.Host {
	return slices.DeleteFunc(slices.Clone(c.Hosts), func(h v1alpha1.Host) bool { return !c.IsNode(h) })
}

// IsNode says whether a host becomes a node.
func (c *Cluster) IsNode(h v1alpha1.Host) bool {
	return slices.Contains(h.Roles, v1alpha1.Worker) || slices.Contains(h.Roles, v1alpha1.ControlPlane) && !c.ControlPlane.Standalone
}

// HasKubelet says whether a host has a kubelet: a node has, and whatever else carries static Pods.
func (c *Cluster) HasKubelet(h v1alpha1.Host) bool { return c.IsNode(h) || c.Carries(h) }

// Carries says whether a host carries static Pods: those of a control plane, or a member of etcd.
func (c *Cluster) Carries(h v1alpha1.Host) bool {
	return slices.Contains(h.Roles, v1alpha1.ControlPlane) || c.HasAnyMember(h)
}

// Standalone says whether the kubelet of a host stands alone: it runs the static Pods there, and asks no API.
func (c *Cluster) Standalone(h v1alpha1.Host) bool { return c.Carries(h) && !c.IsNode(h) }

// ControlPlaneRole is the label of nodes that are control planes, and the taint that keeps Pods off them that do not tolerate it, as kubeadm has them
// (LabelNodeRoleControlPlane in its constants).
const ControlPlaneRole = "node-role.kubernetes.io/control-plane"

// TaintsOf are those of a host's node: what the cluster file gives it, and that of control planes which are no workers.
func TaintsOf(h v1alpha1.Host) []v1alpha1.Taint {
	list := slices.Clone(h.Taints)
	own := v1alpha1.Taint{Key: ControlPlaneRole, Effect: v1alpha1.NoSchedule}
	if slices.Contains(h.Roles, v1alpha1.ControlPlane) && !slices.Contains(h.Roles, v1alpha1.Worker) &&
		!slices.ContainsFunc(list, func(t v1alpha1.Taint) bool { return t.Key == own.Key && t.Effect == own.Effect }) {
		list = slices.Insert(list, 0, own)
	}
	return list
}

// APIServer is the address and port of the API server of a control plane.
func (c *Cluster) APIServer(h v1alpha1.Host) string {
	return net.JoinHostPort(NodeAddress(h), strconv.Itoa(c.Cluster.APIServer.Port))
}

// APIServers are those of all control planes; that of a host comes first, if it has one.
func (c *Cluster) APIServers(first string) []string {
	var list []string
	for _, h := range c.With(v1alpha1.ControlPlane) {
		if h.Name == first {
			list = slices.Insert(list, 0, c.APIServer(h))
		} else {
			list = append(list, c.APIServer(h))
		}
	}
	return list
}

// EndpointAddress is the name and port by which the cluster's own programs reach the API: "api.prod.internal:6443".
func (c *Cluster) EndpointAddress() string {
	return net.JoinHostPort(c.Endpoint.Name, strconv.Itoa(c.Cluster.APIServer.Port))
}

// EndpointURL is the same as kubeconfigs have it.
func (c *Cluster) EndpointURL() string { return "https://" + c.EndpointAddress() }

// ServiceAddress is the nth address of each range of Services, counted from its first one: the 1st is the API's own, the 10th that of names (as kubeadm has
// them). The cluster file was checked to have such addresses.
func (c *Cluster) ServiceAddress(n int) []netip.Addr {
	var list []netip.Addr
	for _, r := range c.Network.ServiceRanges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			continue
		}
		a := p.Masked().Addr()
		for range n {
			a = a.Next()
		}
		list = append(list, a)
	}
	return list
}

// ClusterDNS are the addresses that Pods ask for names.
func (c *Cluster) ClusterDNS() []string {
	if len(c.Kubelet.ClusterDNS) > 0 {
		return c.Kubelet.ClusterDNS
	}
	var list []string
	for _, a := range c.ServiceAddress(10) {
		list = append(list, a.String())
	}
	return list
}
