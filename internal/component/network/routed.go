package network

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Files and unit of nodes that masquerade what Pods send out of the cluster, where the network is the routers'.
const (
	routedPath      = "/etc/cni/net.d/10-routed.conflist"
	masqueradePath  = "/etc/kubewright/pod-network.nft"
	masqueradeUnit  = "kubewright-pod-network.service"
	masqueradeTable = "kubewright_pods"
)

// routedFiles are what the runtime calls for each Pod, and rules for what Pods send out of the cluster. The range comes from the API, and not from containerd's conf_template: that is
// filled in once only, and never again when the template or the range of the node changes, and other runtimes have none.
func routedFiles(in Input, h v1alpha1.Host) []resource.Resource {
	list := []resource.Resource{resource.PodRangeFile{
		Path: routedPath, Node: h.Name, API: resource.API{Servers: in.Cluster.APIServers(h.Name), New: in.API.New}, Text: routedConfiguration(mtuOf(in, h)),
	}}
	if !*in.Cluster.Network.Masquerade {
		return list
	}
	rules := resource.NewFile(masqueradePath, masqueradeRules(in.Cluster))
	var tables []string
	for _, p := range prefixes(in.Cluster.Network.PodRanges) {
		family, _ := tableOf(p)
		tables = append(tables, family+" "+masqueradeTable)
	}
	return append(list, resource.NftablesRules(masqueradeUnit, "Rules for what Pods send out of the cluster", rules, tables...)...)
}

// mtuOf is what the cluster file says, or what the interface has by which a node is reached: nothing is put around what Pods send. It is 0 if it is not known.
func mtuOf(in Input, h v1alpha1.Host) int {
	if in.Cluster.Network.MTU > 0 || len(h.InternalAddresses) == 0 {
		return in.Cluster.Network.MTU
	}
	a, err := netip.ParseAddr(h.InternalAddresses[0])
	if err != nil {
		return 0
	}
	f := in.Hosts[h.Name]
	name, _, _ := f.InterfaceOf(a)
	for _, i := range f.Interfaces {
		if i.Name == name {
			return i.MTU
		}
	}
	return 0
}

// routedConfiguration has the names that flannel's has (its network is cbr0, plugin bridge's interface cni0): the addresses that Pods have stay taken when the plugin changes. A node
// that was registered anew may have another range, and then its bridge has another address (forceAddress).
func routedConfiguration(mtu int) string {
	size := ""
	if mtu > 0 {
		size = fmt.Sprintf("\n      \"mtu\": %d,", mtu)
	}
	return `{
  "cniVersion": "1.0.0",
  "name": "cbr0",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isDefaultGateway": true,
      "forceAddress": true,
      "hairpinMode": true,
      "ipMasq": false,` + size + `
      "ipam": {
        "type": "host-local",
        "ranges": ` + resource.PodRangesHere + `
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
`
}

// tableOf is what nftables calls the family of a range, and the ranges that go to many, which nobody masquerades.
func tableOf(p netip.Prefix) (family, many string) {
	if p.Addr().Is4() {
		return "ip", "224.0.0.0/4"
	}
	return "ip6", "ff00::/8"
}

// prefixes are ranges of the cluster file, which was checked.
func prefixes(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		if p, err := netip.ParsePrefix(s); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// masqueradeRules are those of nftables. What Pods send to each other, and to networks whose routers know the way to Pods, keeps its address.
func masqueradeRules(c *cluster.Cluster) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Kubewright wrote this, and writes it again when it is changed here: it follows the network of the cluster file.")
	for _, pods := range prefixes(c.Network.PodRanges) {
		family, many := tableOf(pods)
		line("table %s %s", family, masqueradeTable)
		line("delete table %s %s", family, masqueradeTable)
		line("table %s %s {", family, masqueradeTable)
		line("    chain postrouting {")
		line("        type nat hook postrouting priority 100; policy accept;")
		line("        %s saddr != %s return", family, pods)
		line("        %s daddr %s return", family, pods)
		line("        %s daddr %s return", family, many)
		for _, p := range prefixes(c.Network.Routed.Unmasqueraded) {
			if p.Addr().Is4() == pods.Addr().Is4() {
				line("        %s daddr %s return", family, p)
			}
		}
		line("        masquerade fully-random")
		line("    }")
		line("}")
	}
	return b.String()
}

// routesWanted says of nodes that come that routers have to know the way to their Pods.
func routesWanted(in Input) []plan.Problem {
	var names []string
	for _, h := range in.Cluster.Nodes() {
		if f, answered := in.Hosts[h.Name]; answered && !f.Kubernetes.Joined {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	who := strings.Join(names, ", ")
	if len(names) > 8 {
		who = fmt.Sprintf("%s and %d others", strings.Join(names[:7], ", "), len(names)-7)
	}
	return []plan.Problem{{Message: "routers have to know the way to the Pods of " + who + ": network.plugin is routed, and each node gets a range of its own",
		Remedy: "Put the routes that \"kubewright network routes\" prints on your routers once the nodes are registered, from another terminal while \"kubewright apply\" waits for CoreDNS: before, Pods reach neither Pods nor API servers on other nodes"}}
}
