package converge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/measure"
)

// port is one that a program of the cluster has on a host.
type port struct {
	network string
	number  uint16
	// program as the kernel calls its process, which is 15 characters at most; none for what the kernel itself has.
	program string
}

func (p port) String() string { return fmt.Sprintf("%d/%s", p.number, p.network) }

// portsOf are those of a host (kubernetes.io/docs/reference/networking/ports-and-protocols, and pkg/cluster/ports of Kubernetes v1.37 for what only the host itself reaches). Where
// several networks of Pods or balancers are possible, those of this cluster.
func portsOf(c *cluster.Cluster, h v1alpha1.Host) []port {
	has := func(list []v1alpha1.Host) bool {
		return slices.ContainsFunc(list, func(o v1alpha1.Host) bool { return o.Name == h.Name })
	}
	api := uint16(c.Cluster.APIServer.Port)
	var list []port
	tcp := func(program string, numbers ...uint16) {
		for _, n := range numbers {
			list = append(list, port{"tcp", n, program})
		}
	}
	if has(c.With(v1alpha1.ControlPlane)) {
		tcp("kube-apiserver", api)
		tcp("kube-controller", 10257)
		tcp("kube-scheduler", 10259)
	}
	for _, e := range c.EtcdClusters() {
		if e.Carries(h.Name) {
			tcp("etcd", uint16(e.ClientPort), uint16(e.PeerPort), uint16(e.MetricsPort))
		}
	}
	if c.HasKubelet(h) {
		tcp("kubelet", 10248, 10250)
	}
	if c.IsNode(h) {
		if c.ControlPlane.Standalone && !c.Addons.MetricsServer.Disabled {
			tcp("metrics-server", v1alpha1.MetricsPort)
		}
		if !c.KubeProxy.Disabled {
			tcp("kube-proxy", 10249, 10256)
		}
		if c.Network.Plugin == v1alpha1.Flannel && c.Network.Flannel.Backend == v1alpha1.VXLAN {
			list = append(list, port{"udp", uint16(c.Network.Flannel.Port), ""})
		}
	}
	if c.LocalBalancer(h) {
		tcp("haproxy", api)
	}
	if c.Holder(h) {
		if !c.LocalBalancer(h) || uint16(c.BalancerPort(h)) != api {
			tcp("haproxy", uint16(c.BalancerPort(h)))
		}
		tcp("haproxy", v1alpha1.HealthPort)
		if s := c.Endpoint.Keepalived.Statistics; s.Wanted() {
			tcp("haproxy", uint16(s.Port))
		}
	}
	return list
}

// taken says which ports that a host needs somebody else has.
func taken(needed []port, listeners []measure.Listener) []string {
	var list []string
	for _, p := range needed {
		i := slices.IndexFunc(listeners, func(l measure.Listener) bool {
			return l.Network == p.network && l.Port == p.number && (p.program == "" && l.PID != 0 || p.program != "" && !strings.HasPrefix(l.Process, p.program))
		})
		if i < 0 {
			continue
		}
		who := "the kernel"
		if l := listeners[i]; l.PID != 0 {
			who = fmt.Sprintf("%s (process %d)", l.Process, l.PID)
		}
		list = append(list, fmt.Sprintf("%s, which %s has", p, who))
	}
	return list
}
