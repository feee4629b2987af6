package v1alpha1

import (
	"cmp"
	"net/netip"
	"slices"
)

// defaultOpenFiles is the kernel's own limit (sysctl_nr_open in fs/file.c).
const defaultOpenFiles = 1_048_576

// defaultRuntimeRoot is containerd's own.
const defaultRuntimeRoot = "/var/lib/containerd"

// setDefaults fills in what the file leaves out. Each default is documented at its field. How hosts are reached stays open where ~/.ssh/config
// may say it.
func (c *Cluster) setDefaults() {
	for i := range c.Hosts {
		h := &c.Hosts[i]
		h.SSH.Port = cmp.Or(h.SSH.Port, c.SSH.Port)
		h.SSH.User = cmp.Or(h.SSH.User, c.SSH.User)
		h.SSH.Key = cmp.Or(h.SSH.Key, c.SSH.Key)
		h.SSH.Bastion = cmp.Or(h.SSH.Bastion, c.SSH.Bastion)
		if _, err := netip.ParseAddr(h.Address); err == nil && len(h.InternalAddresses) == 0 {
			h.InternalAddresses = []string{h.Address}
		}
	}
	p := &c.HostPreparation
	if p.Hostname == nil {
		p.Hostname = new(true)
	}
	if p.Swap == nil {
		p.Swap = new(false)
	}
	p.Firewall = cmp.Or(p.Firewall, Open)
	p.SELinux = cmp.Or(p.SELinux, Permissive)
	p.OpenFiles = cmp.Or(p.OpenFiles, defaultOpenFiles)
	p.JournalSize = cmp.Or(p.JournalSize, "1G")
	if t := &c.TimeSync; t.Mode == "" {
		t.Mode = "leave"
		if len(t.Servers)+len(t.ServerHosts) > 0 {
			t.Mode = "chrony"
		}
	}
	c.TimeSync.ServerHosts = expandAll(c.TimeSync.ServerHosts)
	c.Etcd.Events.Hosts = expandAll(c.Etcd.Events.Hosts)
	c.Runtime.Name = cmp.Or(c.Runtime.Name, "containerd")
	c.Runtime.Root = cmp.Or(c.Runtime.Root, defaultRuntimeRoot)
	c.Runtime.MaxConcurrentDownloads = cmp.Or(c.Runtime.MaxConcurrentDownloads, 3)
	c.setKubernetesDefaults()
	for i := range c.Files {
		c.Files[i].Mode = cmp.Or(c.Files[i].Mode, "0644")
		c.Files[i].Owner = cmp.Or(c.Files[i].Owner, "root:root")
	}
}

// expandAll writes out names. Validation said what is wrong with them.
func expandAll(names []string) []string {
	var all []string
	for _, name := range names {
		list, _ := expand(name)
		all = append(all, list...)
	}
	return all
}

// setKubernetesDefaults are those of what runs on hosts.
func (c *Cluster) setKubernetesDefaults() {
	c.Endpoint.Kind = cmp.Or(c.Endpoint.Kind, LocalEndpoint)
	c.Endpoint.Name = cmp.Or(c.Endpoint.Name, c.Endpoint.ownName(), "api."+c.Name+".internal")
	n := &c.Network
	if len(n.PodRanges) == 0 {
		n.PodRanges = []string{"10.244.0.0/16"}
	}
	if len(n.ServiceRanges) == 0 {
		n.ServiceRanges = []string{"10.96.0.0/16"}
	}
	n.NodeMask = cmp.Or(n.NodeMask, 24)
	n.NodeMaskIPv6 = cmp.Or(n.NodeMaskIPv6, 64)
	n.DNSDomain = cmp.Or(n.DNSDomain, "cluster.local")
	n.Plugin = cmp.Or(n.Plugin, Flannel)
	n.Flannel.Backend = cmp.Or(n.Flannel.Backend, VXLAN)
	n.Flannel.Port = cmp.Or(n.Flannel.Port, 8472)
	if n.Masquerade == nil {
		n.Masquerade = new(n.Plugin != Routed) // routers know the way to Pods
	}
	e := &c.Etcd
	e.Quota = cmp.Or(e.Quota, "8Gi")
	e.CompactionMode = cmp.Or(e.CompactionMode, "periodic")
	e.CompactionRetention = cmp.Or(e.CompactionRetention, map[string]string{"periodic": "8h", "revision": "10000"}[e.CompactionMode])
	e.DataDir = cmp.Or(e.DataDir, "/var/lib/etcd")
	e.ClientPort = cmp.Or(e.ClientPort, 2379)
	e.PeerPort = cmp.Or(e.PeerPort, 2380)
	if e.Events.Wanted() {
		e.Events.ClientPort = cmp.Or(e.Events.ClientPort, 2382)
		e.Events.PeerPort = cmp.Or(e.Events.PeerPort, 2383)
		e.Events.DataDir = cmp.Or(e.Events.DataDir, "/var/lib/etcd-events")
	}
	if e.External.Wanted() {
		e.External.Prefix = cmp.Or(e.External.Prefix, "/registry")
	}
	c.APIServer.Port = cmp.Or(c.APIServer.Port, 6443)
	if c.Endpoint.Kind == ExternalEndpoint {
		c.Endpoint.Port = cmp.Or(c.Endpoint.Port, c.APIServer.Port)
	}
	if c.Endpoint.Kind == KeepalivedEndpoint {
		c.Endpoint.Keepalived.setDefaults(c)
	}
	c.KubeProxy.Mode = cmp.Or(c.KubeProxy.Mode, NFTables)
	c.Kubelet.MaxPods = cmp.Or(c.Kubelet.MaxPods, 110)
	c.Certificates.Algorithm = cmp.Or(c.Certificates.Algorithm, ECDSAP256)
	c.Certificates.Validity = cmp.Or(c.Certificates.Validity, "8760h")
	c.Certificates.AuthorityValidity = cmp.Or(c.Certificates.AuthorityValidity, "87600h")
	c.Encryption.Provider = cmp.Or(c.Encryption.Provider, Secretbox)
	if len(c.Encryption.Resources) == 0 {
		c.Encryption.Resources = []string{"secrets"}
	}
	c.Audit.MaxAge = cmp.Or(c.Audit.MaxAge, 30)
	c.Audit.MaxBackup = cmp.Or(c.Audit.MaxBackup, 10)
	c.Audit.MaxSize = cmp.Or(c.Audit.MaxSize, 100)
	c.Addons.CoreDNS.Replicas = cmp.Or(c.Addons.CoreDNS.Replicas, min(2, c.nodes()))
	c.Addons.MetricsServer.Replicas = cmp.Or(c.Addons.MetricsServer.Replicas, 1)
}

// setDefaults are those of an endpoint with an address that wanders; the others have none of it.
func (k *Keepalived) setDefaults(c *Cluster) {
	if k.Role == "" {
		k.Role = ControlPlane
		if slices.ContainsFunc(c.Hosts, func(h Host) bool { return slices.Contains(h.Roles, LoadBalancer) }) {
			k.Role = LoadBalancer
		}
	}
	if a, err := netip.ParseAddr(c.Endpoint.Address); err == nil {
		bytes := a.AsSlice()
		k.RouterID = cmp.Or(k.RouterID, int(bytes[len(bytes)-1]), 1)
	}
	k.Interval = cmp.Or(k.Interval, "300ms")
	k.BalancerPort = cmp.Or(k.BalancerPort, 16443)
	if k.Statistics.Wanted() {
		k.Statistics.Port = cmp.Or(k.Statistics.Port, 9000)
	}
}

// ownName is the DNS name of an external balancer that nodes are led to; empty if it has none, or they are not.
func (e Endpoint) ownName() string {
	if _, err := netip.ParseAddr(e.Address); err == nil || e.Kind != ExternalEndpoint || e.Local {
		return ""
	}
	return e.Address
}

// nodes is how many hosts become nodes.
func (c *Cluster) nodes() int {
	n := 0
	for _, h := range c.Hosts {
		if c.isNode(h) {
			n++
		}
	}
	return n
}

// isNode says whether a host becomes a node: a worker, and a control plane unless those are none.
func (c *Cluster) isNode(h Host) bool {
	return slices.Contains(h.Roles, Worker) || slices.Contains(h.Roles, ControlPlane) && !c.ControlPlane.Standalone
}
