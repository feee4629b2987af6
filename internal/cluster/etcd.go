package cluster

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
)

// WithoutEvents is the query by which an API server is asked whether it is well without its etcd for events. With it, --etcd-servers-overrides makes the server look after that etcd in /healthz and
// /livez (etcd-override-0) and in /readyz, too (etcd-override-readiness-0; addEtcdHealthEndpoint in pkg/server/options/etcd.go of k8s.io/apiserver v0.37): if that etcd were lost, kubelets would end
// all API servers and balancers would lead to none, although they serve all but events. Names that a server does not have are no failure (handleRootHealth in pkg/server/healthz). The whole group
// "etcd" cannot be left out instead: the main etcd's own check is in it.
//
// What no question helps with: an API server that is started does not come up before it is connected to some member of that etcd, with or without a quorum (newETCD3Storage in
// pkg/storage/storagebackend/factory/etcd3.go waits for 20 s and fails). So those wait for one that are to be started anew.
const WithoutEvents = "exclude=etcd-override-0&exclude=etcd-override-readiness-0"

// Health is the path by which an API server is asked how it is, "/livez" or "/readyz", without what it may do without.
func (c *Cluster) Health(path string) string {
	if c.Etcd.Events.Wanted() {
		return path + "?" + WithoutEvents
	}
	return path
}

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

// MainEtcd is the cluster of etcd that holds what the API stores; without hosts if that is the user's own.
func (c *Cluster) MainEtcd() EtcdCluster {
	e := c.Etcd
	return EtcdCluster{Name: facts.MainEtcd, Hosts: c.EtcdHosts(), ClientPort: e.ClientPort, PeerPort: e.PeerPort, MetricsPort: v1alpha1.EtcdMetricsPort, DataDir: e.DataDir, Field: "etcd"}
}

// EventsEtcd is the cluster of etcd for events; without hosts if there is to be none.
func (c *Cluster) EventsEtcd() EtcdCluster {
	e := c.Etcd.Events
	all := EtcdCluster{Name: facts.EventsEtcd, ClientPort: e.ClientPort, PeerPort: e.PeerPort, MetricsPort: v1alpha1.EventsMetricsPort, DataDir: e.DataDir, Field: "etcd.events"}
	for _, h := range c.Hosts {
		if slices.Contains(e.Hosts, h.Name) {
			all.Hosts = append(all.Hosts, h)
		}
	}
	return all
}

// EtcdClusters are those that hosts carry members of, the main one first.
func (c *Cluster) EtcdClusters() []EtcdCluster {
	return slices.DeleteFunc([]EtcdCluster{c.MainEtcd(), c.EventsEtcd()}, func(e EtcdCluster) bool { return len(e.Hosts) == 0 })
}

// Events says that it is the one for events.
func (e EtcdCluster) Events() bool { return e.Name == facts.EventsEtcd }

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
