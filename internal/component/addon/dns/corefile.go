package dns

import (
	"strings"

	"github.com/kubewright/kubewright/internal/cluster"
)

// corefile is the user's, or that of kubeadm v1.37.1 with the user's name servers. CoreDNS reads it again when it changes.
func corefile(c *cluster.Cluster) string {
	servers := "/etc/resolv.conf" // the node's, by the Pod's dnsPolicy
	if upstream := c.Addons.CoreDNS.Upstream; len(upstream) > 0 {
		servers = strings.Join(upstream, " ")
	}
	domain := c.Network.DNSDomain
	return `.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes ` + domain + ` in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . ` + servers + ` {
       max_concurrent 1000
    }
    cache 30 {
       disable success ` + domain + `
       disable denial ` + domain + `
    }
    loop
    reload
    loadbalance
}
`
}
