package v1alpha1

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// mostPods of a node: far more than the kubelet is tested with.
const mostPods = 1000

// Forms of what Kubernetes is told.
var (
	versionForm  = form(`^v1\.(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})$`)
	quantityForm = form(`^([0-9]{1,18}|[0-9]{1,9}\.[0-9]{1,9})(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$`) // without exponents, which can make numbers of any length
	percentForm  = form(`^(100|[0-9]{1,2}(\.[0-9]{1,6})?)%$`)
	resourceForm = form(`^(\*\.\*|(\*|[a-z][a-z0-9-]*(/[a-z]+)?)(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?)$`)
)

// checkKubernetes checks what is said of Kubernetes, in the light of defaults where things have to fit together.
func (v *validation) checkKubernetes(stated *Cluster) {
	whole := *stated
	whole.Hosts = v.hosts
	whole.setKubernetesDefaults()
	c := &whole
	v.matches("kubernetesVersion", c.KubernetesVersion, versionForm, "a version such as v1.37.1")
	v.checkNumbers(stated)
	v.checkEndpoint(c)
	v.checkNetwork(c)
	v.checkEtcd(c)
	v.checkAPIServer(c)
	v.checkArgs("controllerManager.extraArgs", c.ControllerManager.ExtraArgs, controllerManagerFlags)
	v.checkArgs("scheduler.extraArgs", c.Scheduler.ExtraArgs, managerFlags)
	oneOf(v, "kubeProxy.mode", c.KubeProxy.Mode, NFTables, IPTables, IPVS)
	v.checkConfig("kubeProxy.config", "", c.KubeProxy.Config, kubeProxyFields)
	v.checkKubelet(c)
	v.checkCertificates(c.Certificates)
	v.checkEncryption(c.Encryption)
	v.checkAddons(c.Addons)
	oneOf(v, "cloudProvider", c.CloudProvider, External)
}

// checkNumbers checks numbers as they stand in the file: 0 is a number, too, and no default takes its place.
func (v *validation) checkNumbers(c *Cluster) {
	v.between("network.nodeMask", c.Network.NodeMask, 8, 28)
	v.between("network.nodeMaskIPv6", c.Network.NodeMaskIPv6, 16, 124)
	v.between("network.flannel.port", c.Network.Flannel.Port, 1, 65535)
	v.between("network.mtu", c.Network.MTU, 576, 65535)
	v.between("apiServer.port", c.APIServer.Port, 1, 65535)
	v.between("etcd.clientPort", c.Etcd.ClientPort, 1024, 65535)
	v.between("etcd.peerPort", c.Etcd.PeerPort, 1024, 65535)
	v.between("etcd.events.clientPort", c.Etcd.Events.ClientPort, 1024, 65535)
	v.between("etcd.events.peerPort", c.Etcd.Events.PeerPort, 1024, 65535)
	v.between("endpoint.port", c.Endpoint.Port, 1, 65535)
	v.between("endpoint.keepalived.routerID", c.Endpoint.Keepalived.RouterID, 1, 255)
	v.between("endpoint.keepalived.balancerPort", c.Endpoint.Keepalived.BalancerPort, 1024, 65535)
	v.between("endpoint.keepalived.statistics.port", c.Endpoint.Keepalived.Statistics.Port, 1024, 65535)
	v.between("kubelet.maxPods", c.Kubelet.MaxPods, 1, mostPods)
	v.between("audit.maxAge", c.Audit.MaxAge, 1, 3650)
	v.between("audit.maxBackup", c.Audit.MaxBackup, 1, 1000)
	v.between("audit.maxSize", c.Audit.MaxSize, 1, 10000)
	v.between("addons.coreDNS.replicas", c.Addons.CoreDNS.Replicas, 1, 100)
	v.between("addons.metricsServer.replicas", c.Addons.MetricsServer.Replicas, 1, 100)
}

func (v *validation) checkEtcd(c *Cluster) {
	v.checkExternalEtcd(c)
	e := c.Etcd
	if q, ok := v.quantity("etcd.quota", e.Quota, "a size of 128Mi to 16Gi"); ok && (q.Cmp(resource.MustParse("128Mi")) < 0 || q.Cmp(resource.MustParse("16Gi")) > 0) {
		v.say("etcd.quota", "128Mi to 16Gi", "%s cannot be meant", e.Quota)
	}
	oneOf(v, "etcd.compactionMode", e.CompactionMode, "periodic", "revision")
	switch e.CompactionMode {
	case "periodic":
		v.duration("etcd.compactionRetention", e.CompactionRetention, time.Minute, maxValidity)
	case "revision":
		if n, err := strconv.ParseUint(e.CompactionRetention, 10, 31); err != nil || n < 1 {
			v.say("etcd.compactionRetention", "how many revisions are kept, in quotes", "%q is no number of them", e.CompactionRetention)
		}
	}
	if v.stated("etcd.dataDir") {
		v.checkOwnDirectory("etcd.dataDir", e.DataDir, "/var/lib/etcd")
	}
	root := c.Runtime.Root
	if root == "" {
		root = defaultRuntimeRoot
	}
	if within(e.DataDir, root) || within(root, e.DataDir) {
		v.say("etcd.dataDir", "a directory beside it", "%s and runtime.root, %s, are one in the other", e.DataDir, root)
	}
	v.checkEvents(c)
	all := etcdPorts(c.Etcd)
	v.checkEtcdPorts(c, all...)
	if c.Etcd.Events.Wanted() {
		var others []etcdPort
		if v.eventsBeside {
			others = all
		}
		v.checkEtcdPorts(c, append(eventsPorts(c.Etcd.Events), others...)...)
	}
	v.checkArgs("etcd.extraArgs", e.ExtraArgs, etcdFlags)
}

// etcdPort is a port of etcd that the cluster file can say.
type etcdPort struct {
	field string
	port  int
	who   string
}

func etcdPorts(e EtcdOptions) []etcdPort {
	return []etcdPort{{"etcd.clientPort", e.ClientPort, "etcd, for clients"}, {"etcd.peerPort", e.PeerPort, "etcd, for its members"}}
}

// eventsPorts are those of the cluster for events, if there is to be one.
func eventsPorts(e EtcdEvents) []etcdPort {
	if !e.Wanted() {
		return nil
	}
	return []etcdPort{{"etcd.events.clientPort", e.ClientPort, "etcd for events, for clients"}, {"etcd.events.peerPort", e.PeerPort, "etcd for events, for its members"}}
}

// checkEtcdPorts checks that members have ports that nobody else has on their hosts. Where a port is as it is by default, what collides with it is said of the other one.
func (v *validation) checkEtcdPorts(c *Cluster, all ...etcdPort) {
	taken := maps.Clone(takenPorts)
	taken[c.APIServer.Port] = "API servers"
	if c.Etcd.Events.Wanted() {
		taken[EventsMetricsPort] = "etcd for events, for its health"
	}
	for _, p := range all {
		if !v.stated(p.field) {
			taken[p.port] = p.who
		}
	}
	for _, p := range all {
		if !v.stated(p.field) || v.hasProblem(p.field) {
			taken[p.port] = p.who
			continue
		}
		if who, is := taken[p.port]; is {
			v.say(p.field, "another port", "%d is that of %s", p.port, who)
		} else if c.ofServices(p.port) {
			v.say(p.field, "another port", "%d is one that Services may get, 30000 to 32767", p.port)
		}
		taken[p.port] = p.who
	}
}

// ofServices says whether Services may get a port, as far as that is known.
func (c *Cluster) ofServices(port int) bool {
	_, others := c.APIServer.ExtraArgs["service-node-port-range"]
	return !others && port >= 30000 && port <= 32767
}

// within says whether a path is a directory or in it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// takenPorts are those that hosts of clusters have for others.
var takenPorts = map[int]string{
	22: "sshd", EtcdMetricsPort: "etcd, for its health", 10248: "the kubelet, for its health", 10249: "kube-proxy, for its metrics",
	10250: "the kubelet", 10256: "kube-proxy, for its health", 10257: "the controller manager", 10259: "the scheduler",
}

func (v *validation) checkAPIServer(c *Cluster) {
	const field = "apiServer.port"
	a := c.APIServer
	ports := maps.Clone(takenPorts)
	if c.Etcd.Events.Wanted() {
		ports[EventsMetricsPort] = "etcd for events, for its health"
	}
	for _, p := range append(etcdPorts(c.Etcd), eventsPorts(c.Etcd.Events)...) {
		if !v.stated(p.field) { // or it is said there
			ports[p.port] = p.who
		}
	}
	switch who, taken := ports[a.Port]; {
	case taken:
		v.say(field, "another port, such as 6443", "%d is that of %s", a.Port, who)
	case a.Port == MetricsPort && c.ControlPlane.Standalone && !c.Addons.MetricsServer.Disabled:
		v.say(field, "another port, such as 6443", "%d is that of metrics-server, where control planes are no nodes", a.Port)
	case c.ofServices(a.Port):
		v.say(field, "another port, such as 6443", "%d is one that Services may get, 30000 to 32767", a.Port)
	}
	for i, s := range a.ExtraSANs {
		at, want := fmt.Sprintf("apiServer.extraSANs[%d]", i), "an IP address or a DNS name, such as api.example.com or *.example.com"
		name, wildcard := strings.CutPrefix(s, "*.")
		_, err := netip.ParseAddr(name)
		switch {
		case s == "":
			v.wrongOrMissing(at, s, want)
		case len(s) > 253 || !isAddressOrName(name) || wildcard && err == nil || strings.Contains(s, "%"):
			v.say(at, want, "%q cannot be meant", s)
		}
	}
	v.checkArgs("apiServer.extraArgs", a.ExtraArgs, apiServerFlags)
}

// Signals at which Pods are evicted and resources that are kept, as the kubelet has them (pkg/kubelet/eviction/api, parseResourceList in
// cmd/kubelet/app/server.go of v1.37).
var (
	evictionSignals = []string{"memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree", "containerfs.available",
		"containerfs.inodesFree", "pid.available"}
	reservable = []string{"cpu", "memory", "ephemeral-storage", "pid"}
)

func (v *validation) checkKubelet(c *Cluster) {
	k := c.Kubelet
	v.checkClusterDNS(k.ClusterDNS, c.Network.ServiceRanges)
	v.checkReserved("kubelet.systemReserved", k.SystemReserved)
	v.checkReserved("kubelet.kubeReserved", k.KubeReserved)
	for _, signal := range slices.Sorted(maps.Keys(k.EvictionHard)) {
		at := join("kubelet.evictionHard", signal)
		oneOf(v, at, signal, evictionSignals...)
		if value := k.EvictionHard[signal]; !percentForm().MatchString(value) {
			if q, ok := v.quantity(at, value, "an amount or a percentage, such as 500Mi or 10%"); ok && q.Sign() <= 0 {
				v.say(at, "more than 0, or 0% for no threshold", "%q is no threshold", value)
			}
		}
	}
	v.checkConfig("kubelet.config", "", k.Config, kubeletFields)
}

func (v *validation) checkReserved(field string, reserved map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(reserved)) {
		at := join(field, name)
		oneOf(v, at, name, reservable...)
		v.quantity(at, reserved[name], "an amount such as 500m or 1Gi")
	}
}

// checkClusterDNS checks where Pods ask for names. More than three resolv.conf does not take (MaxDNSNameservers of the kubelet).
func (v *validation) checkClusterDNS(list, serviceRanges []string) {
	if len(list) > 3 {
		v.say("kubelet.clusterDNS", "at most 3", "it has %d addresses", len(list))
	}
	for i, s := range list {
		at, want := fmt.Sprintf("kubelet.clusterDNS[%d]", i), "an address within network.serviceRanges, or 169.254.20.10 of NodeLocal DNSCache"
		a, err := netip.ParseAddr(s)
		switch {
		case s == "":
			v.wrongOrMissing(at, s, want)
			continue
		case err != nil || a.Zone() != "":
			v.say(at, want, "%q is no IP address", s)
			continue
		case slices.Contains(list[:i], s):
			v.say(at, "", "%s is given twice", s)
		}
		if a.IsLinkLocalUnicast() {
			continue
		}
		inside := false
		for _, r := range serviceRanges {
			p, err := netip.ParsePrefix(r)
			if err != nil || !p.Contains(a) {
				continue
			}
			inside = true
			if first := p.Masked().Addr(); a == first || a == first.Next() {
				v.say(at, "another one, such as the tenth of the range", "%s is that of the range or of the API", a)
			}
		}
		if !inside {
			v.say(at, want, "%s is none", a)
		}
	}
}

// maxValidity of certificates and the like: a hundred years, as hours.
const maxValidity = 876_000 * time.Hour

func (v *validation) checkCertificates(c Certificates) {
	oneOf(v, "certificates.algorithm", c.Algorithm, ECDSAP256, ECDSAP384, RSA2048, RSA3072, RSA4096)
	validity, ok1 := v.duration("certificates.validity", c.Validity, time.Hour, maxValidity)
	authority, ok2 := v.duration("certificates.authorityValidity", c.AuthorityValidity, time.Hour, maxValidity)
	if ok1 && ok2 && validity > authority {
		v.say("certificates.validity", "no longer than certificates.authorityValidity", "%s is longer than %s", c.Validity, c.AuthorityValidity)
	}
}

func (v *validation) checkEncryption(e Encryption) {
	oneOf(v, "encryption.provider", e.Provider, Secretbox, AESGCM, AESCBC, "none")
	if e.Provider == "none" && v.stated("encryption.resources") {
		v.say("encryption.resources", "another encryption.provider, or no resources", "encryption.provider is none")
	}
	for i, r := range e.Resources {
		at, want := fmt.Sprintf("encryption.resources[%d]", i), "resource or resource.group in lower case, such as secrets; *.group or *.* for all"
		switch {
		case r == "":
			v.wrongOrMissing(at, r, want)
		// The API server refuses these (pkg/apis/apiserver/validation of k8s.io/apiserver v0.37).
		case !resourceForm().MatchString(r) || slices.Contains([]string{"*", "apiserveripinfo", "serviceipallocations", "servicenodeportallocations"}, r):
			v.say(at, want, "%q cannot be meant", r)
		case slices.Contains(e.Resources[:i], r):
			v.say(at, "", "%s is given twice", r)
		case len(e.Resources) > 1 && r == "*.*":
			v.say(at, "it alone", "*.* is all resources")
		}
	}
}

func (v *validation) checkAddons(a Addons) {
	const dns = "addons.coreDNS"
	if a.CoreDNS.Corefile != "" && len(a.CoreDNS.Upstream) > 0 {
		v.say(dns+".upstream", "one of corefile and upstream", "the Corefile says whom it asks")
	}
	if len(a.CoreDNS.Upstream) > maxUpstreams {
		v.say(dns+".upstream", fmt.Sprintf("at most %d", maxUpstreams), "it has %d addresses", len(a.CoreDNS.Upstream))
	}
	for i, s := range a.CoreDNS.Upstream {
		ip, err := netip.ParseAddr(s)
		switch at := fmt.Sprintf("%s.upstream[%d]", dns, i); {
		case s == "":
			v.wrongOrMissing(at, s, "an IP address")
		case err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast():
			v.say(at, "an IP address", "%q cannot be meant", s)
		case ip.IsLoopback():
			v.say(at, "an address that Pods reach", "in a Pod %s is the Pod itself", s)
		}
	}
}

// maxUpstreams is how many CoreDNS's plugin forward takes.
const maxUpstreams = 15

// quantity reads an amount as Kubernetes writes them, or says what is wrong with it.
func (v *validation) quantity(field, value, want string) (resource.Quantity, bool) {
	if value == "" {
		v.wrongOrMissing(field, value, want)
		return resource.Quantity{}, false
	}
	if quantityForm().MatchString(value) {
		if q, err := resource.ParseQuantity(value); err == nil {
			return q, true
		}
	}
	v.say(field, want, "%q cannot be meant", value)
	return resource.Quantity{}, false
}

// duration reads a time, or says what is wrong with it.
func (v *validation) duration(field, value string, low, high time.Duration) (time.Duration, bool) {
	want := fmt.Sprintf("a time of %s to %s", short(low), short(high))
	t, err := time.ParseDuration(value)
	if err != nil || t < low || t > high {
		v.say(field, want, "%q cannot be meant", value)
		return 0, false
	}
	return t, true
}

// short is a time of whole hours or minutes as people write it.
func short(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
