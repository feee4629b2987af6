package dns

import (
	"strings"

	"github.com/kubewright/kubewright/internal/plan"
)

// upstream is who is asked for names outside of the cluster, as the plugin forward takes it: the user's name servers, or what the node's /etc/resolv.conf says, which the
// Pod has by its dnsPolicy; nobody, if no node knows any: CoreDNS v1.14 does not start then when it is told to ask them.
func upstream(in Input) (string, []plan.Problem) {
	if servers := in.Cluster.Addons.CoreDNS.Upstream; len(servers) > 0 {
		return strings.Join(servers, " "), nil
	}
	var without []plan.Problem
	answered := 0
	for _, h := range in.Cluster.Nodes() {
		f, ok := in.Hosts[h.Name]
		if !ok {
			continue
		}
		answered++
		if len(f.NameServers) == 0 {
			without = append(without, plan.Problem{Host: h.Name, Message: "its /etc/resolv.conf names no name server, as those of other hosts do, and CoreDNS does not start on it",
				Remedy: "Name one there, or say addons.coreDNS.upstream in the cluster file"})
		}
	}
	if answered > 0 && len(without) == answered {
		return "", []plan.Problem{{Message: "no host has a name server in its /etc/resolv.conf, and addons.coreDNS.upstream says none, so that Pods find names of the cluster alone"}}
	}
	return "/etc/resolv.conf", without
}
