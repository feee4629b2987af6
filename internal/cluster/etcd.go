package cluster

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// EtcdName is the name of the cluster of etcd that holds what the API stores.
const EtcdName = "etcd"

// EtcdCluster is a cluster of etcd: who its members are, and where they are reached.
type EtcdCluster struct {
	// Name is that of its Pods without the nodes', of the manifests, and what steps begin with: "etcd".
	Name string
	// Hosts carry its members, in the order of the file; none if there is no such cluster.
	Hosts []v1alpha1.Host
	// ClientPort, PeerPort and MetricsPort are those of each member.
	ClientPort, PeerPort, MetricsPort int
	// DataDir is the directory of each member's data.
	DataDir string
	// Field is the object of the cluster file that says all this: "etcd".
	Field string
}

// MainEtcd is the cluster of etcd that holds what the API stores.
func (c *Cluster) MainEtcd() EtcdCluster {
	e := c.Etcd
	return EtcdCluster{Name: EtcdName, Hosts: c.EtcdHosts(), ClientPort: e.ClientPort, PeerPort: e.PeerPort, MetricsPort: v1alpha1.EtcdMetricsPort, DataDir: e.DataDir, Field: "etcd"}
}

// Carries says whether a host, by its name, shall have a member.
func (e EtcdCluster) Carries(host string) bool {
	return slices.ContainsFunc(e.Hosts, func(h v1alpha1.Host) bool { return h.Name == host })
}

// ClientURL is where clients on other hosts reach the member of a host: "https://10.0.0.11:2379".
func (e EtcdCluster) ClientURL(h v1alpha1.Host) string { return httpsURL(NodeAddress(h), e.ClientPort) }

// LocalURL is where clients on the host itself do: "https://127.0.0.1:2379".
func (e EtcdCluster) LocalURL(h v1alpha1.Host) string { return httpsURL(LoopbackOf(h), e.ClientPort) }

// PeerURL is where other members do: "https://10.0.0.11:2380".
func (e EtcdCluster) PeerURL(h v1alpha1.Host) string { return httpsURL(NodeAddress(h), e.PeerPort) }

// MetricsURL is where the member says on its host how it is: "http://127.0.0.1:2381".
func (e EtcdCluster) MetricsURL(h v1alpha1.Host) string {
	return "http://" + net.JoinHostPort(LoopbackOf(h), strconv.Itoa(e.MetricsPort))
}

func httpsURL(address string, port int) string {
	return "https://" + net.JoinHostPort(address, strconv.Itoa(port))
}

// LoopbackOf is the address of loopback of the family that a host's node has its address of.
func LoopbackOf(h v1alpha1.Host) string {
	if a, err := netip.ParseAddr(NodeAddress(h)); err == nil && a.Is6() {
		return "::1"
	}
	return "127.0.0.1"
}
