package hostprep

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/net"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// port is what others reach on hosts that do something.
type port struct {
	ports func(*cluster.Cluster) string // as firewalls write them: "2379-2380/tcp"; empty if the cluster has no use for them
	why   string
	on    func(Input) []v1alpha1.Host
}

// always are ports that are the same in all clusters.
func always(ports string) func(*cluster.Cluster) string {
	return func(*cluster.Cluster) string { return ports }
}

func ofAPI(c *cluster.Cluster) string { return fmt.Sprintf("%d/tcp", c.Cluster.APIServer.Port) }

// ofEtcd is where clients reach members of etcd, and peers too if their port is the next one.
func ofEtcd(of func(*cluster.Cluster) cluster.EtcdCluster) func(*cluster.Cluster) string {
	return func(c *cluster.Cluster) string {
		e := of(c)
		if e.PeerPort != e.ClientPort+1 {
			return fmt.Sprintf("%d/tcp", e.ClientPort)
		}
		return fmt.Sprintf("%d-%d/tcp", e.ClientPort, e.PeerPort)
	}
}

// ofEtcdPeers is where peers reach them, unless that was said.
func ofEtcdPeers(of func(*cluster.Cluster) cluster.EtcdCluster) func(*cluster.Cluster) string {
	return func(c *cluster.Cluster) string {
		e := of(c)
		if e.PeerPort == e.ClientPort+1 {
			return ""
		}
		return fmt.Sprintf("%d/tcp", e.PeerPort)
	}
}

// members are the hosts that carry those of an etcd.
func members(of func(*cluster.Cluster) cluster.EtcdCluster) func(Input) []v1alpha1.Host {
	return func(in Input) []v1alpha1.Host { return of(in.Cluster).Hosts }
}

// ofKubeProxy is its own, and whatever does its work may have none.
func ofKubeProxy(c *cluster.Cluster) string {
	if c.KubeProxy.Disabled {
		return ""
	}
	return "10256/tcp"
}

// ofNodePorts are those that API servers give to Services (--service-node-port-range).
func ofNodePorts(protocol string) func(*cluster.Cluster) string {
	return func(c *cluster.Cluster) string {
		r, err := net.ParsePortRange(cmp.Or(c.Cluster.APIServer.ExtraArgs["service-node-port-range"], "30000-32767"))
		if err != nil {
			return "" // API servers do not start with it
		}
		return fmt.Sprintf("%d-%d/%s", r.Base, r.Base+r.Size-1, protocol)
	}
}

func ofVXLAN(c *cluster.Cluster) string {
	if c.Network.Plugin != v1alpha1.Flannel || c.Network.Flannel.Backend != v1alpha1.VXLAN {
		return ""
	}
	return fmt.Sprintf("%d/udp", c.Network.Flannel.Port)
}

// ofBalancers is where balancers are beside API servers, which what comes to the address that wanders is led to.
func ofBalancers(c *cluster.Cluster) string {
	return fmt.Sprintf("%d/tcp", c.Endpoint.Keepalived.BalancerPort)
}

func ofStatistics(c *cluster.Cluster) string {
	if !c.Endpoint.Keepalived.Statistics.Wanted() {
		return ""
	}
	return fmt.Sprintf("%d/tcp", c.Endpoint.Keepalived.Statistics.Port)
}

// ofMetricsServer is that of its host, which it has where control planes are no nodes.
func ofMetricsServer(c *cluster.Cluster) string {
	if !c.ControlPlane.Standalone || c.Addons.MetricsServer.Disabled {
		return ""
	}
	return fmt.Sprintf("%d/tcp", v1alpha1.MetricsPort)
}

func nodes(in Input) []v1alpha1.Host { return in.Cluster.Nodes() }

func holders(in Input) []v1alpha1.Host { return in.Cluster.Holders() }

// vrrp is the protocol by which holders of an address that wanders know of each other. It has no ports.
const vrrp = "vrrp"

// ports are those that a cluster needs (kubernetes.io/docs/reference/networking/ports-and-protocols). They are open to all: a list of the hosts
// that may reach them would change on every host when one comes. The port of sshd stays as it is: we came in by it.
var ports = []port{
	{ofAPI, "API server, or the balancer in front of it", with(v1alpha1.ControlPlane, v1alpha1.LoadBalancer)},
	{ofEtcd((*cluster.Cluster).MainEtcd), "etcd: clients and peers", members((*cluster.Cluster).MainEtcd)},
	{ofEtcdPeers((*cluster.Cluster).MainEtcd), "etcd: peers", members((*cluster.Cluster).MainEtcd)},
	{ofEtcd((*cluster.Cluster).EventsEtcd), "etcd for events: clients and peers", members((*cluster.Cluster).EventsEtcd)},
	{ofEtcdPeers((*cluster.Cluster).EventsEtcd), "etcd for events: peers", members((*cluster.Cluster).EventsEtcd)},
	{always("10250/tcp"), "kubelet: logs, exec, metrics", nodes},
	{ofKubeProxy, "kube-proxy: health, asked by balancers outside", nodes},
	{ofNodePorts("tcp"), "Services of type NodePort", nodes},
	{ofNodePorts("udp"), "Services of type NodePort", nodes},
	{ofVXLAN, "VXLAN: the network of Pods between hosts", nodes},
	{ofMetricsServer, "metrics-server, asked by API servers that reach no Pods", nodes},
	{ofBalancers, "balancer beside an API server", func(in Input) []v1alpha1.Host {
		return slices.DeleteFunc(in.Cluster.Holders(), func(h v1alpha1.Host) bool { return !slices.Contains(h.Roles, v1alpha1.ControlPlane) })
	}},
	{ofStatistics, "statistics of the balancer", holders},
	{always(vrrp), "VRRP: who holds the address that wanders; the balancers' own rules let in each other alone", holders},
	{always("123/udp"), "time for other hosts", func(in Input) []v1alpha1.Host { return in.TimeServers }},
}

// with are the hosts that have some of the roles, once each.
func with(roles ...v1alpha1.Role) func(Input) []v1alpha1.Host {
	return func(in Input) []v1alpha1.Host {
		return slices.DeleteFunc(slices.Clone(in.Cluster.Hosts), func(h v1alpha1.Host) bool {
			return !slices.ContainsFunc(roles, func(r v1alpha1.Role) bool { return slices.Contains(h.Roles, r) })
		})
	}
}

// openPorts are the ports of each host, by its name: of what it is to carry, and of what it carries until that has gone elsewhere. Host preparation comes before all that moves; what nobody needs any
// more is shut out when hosts are looked at next.
func openPorts(in Input) map[string][]string {
	open := map[string][]string{}
	for _, p := range ports {
		ports := p.ports(in.Cluster)
		if ports == "" {
			continue
		}
		for _, h := range p.on(in) {
			open[h.Name] = append(open[h.Name], ports)
		}
	}
	for _, h := range in.Cluster.Hosts {
		for _, ports := range carried(in.Cluster, in.Hosts[h.Name]) {
			if !slices.Contains(open[h.Name], ports) {
				open[h.Name] = append(open[h.Name], ports)
			}
		}
	}
	return open
}

// carried are the ports of what a host carries now, by its manifests and its ways to the API: others ask members of etcd, API servers and balancers until these are gone.
func carried(c *cluster.Cluster, f facts.Host) []string {
	var list []string
	if _, serves := f.Kubernetes.Manifests["kube-apiserver.yaml"]; serves {
		list = append(list, ofAPI(c)) // a cluster that lives keeps its port
	}
	for _, name := range []string{facts.MainEtcd, facts.EventsEtcd} {
		e := f.Kubernetes.EtcdOf(name)
		client, peer := portOf(e.ClientURL), portOf(e.PeerURL)
		of := func(*cluster.Cluster) cluster.EtcdCluster {
			return cluster.EtcdCluster{ClientPort: client, PeerPort: peer}
		}
		if client != 0 {
			list = append(list, ofEtcd(of)(c))
		}
		if peers := ofEtcdPeers(of)(c); peer != 0 && peers != "" {
			list = append(list, peers)
		}
	}
	for _, p := range f.Ways.Ports {
		list = append(list, fmt.Sprintf("%d/tcp", p))
	}
	if f.Ways.Address {
		list = append(list, vrrp)
	}
	return list
}

// portOf is the port of the first of some URLs, with commas between; 0 if there is none.
func portOf(urls string) int {
	first, _, _ := strings.Cut(urls, ",")
	u, err := url.Parse(first)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port()) // of no number, there is none
	return port
}

// podRanges are the addresses of Pods, on hosts that carry them: a firewall would stop what they send to each other and to the host.
func podRanges(c *cluster.Cluster, h v1alpha1.Host) []string {
	if !c.IsNode(h) {
		return nil
	}
	return c.Network.PodRanges
}

// firewalls are units of systemd.
var firewalls = []string{"firewalld.service", "ufw.service"}

// security is what becomes of SELinux and of firewalls. That a firewall is off is said whether it runs or not: otherwise it would be wanted again as soon
// as it does not.
func security(c *cluster.Cluster, h v1alpha1.Host, f facts.Host, open []string) []resource.Resource {
	p := c.HostPreparation
	var list []resource.Resource
	if p.SELinux == v1alpha1.Permissive && f.SELinux != "" {
		list = append(list, resource.SELinux{Mode: "permissive"})
	}
	switch {
	case p.Firewall == v1alpha1.Disable:
		for _, unit := range firewalls {
			list = append(list, resource.Unit{Name: unit})
		}
	case p.Firewall == v1alpha1.Open && f.Firewall != "":
		ports := slices.Clone(open)
		rules := resource.FirewallPorts{Tool: f.Firewall, Sources: podRanges(c, h)}
		rules.Ports = slices.DeleteFunc(ports, func(p string) bool { return p == vrrp })
		if len(rules.Ports) < len(open) {
			rules.Protocols = []string{vrrp}
		}
		list = append(list, rules)
	}
	return list
}
