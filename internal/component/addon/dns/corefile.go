package dns

import "github.com/kubewright/kubewright/internal/plan"

// corefile is the user's, or that of kubeadm v1.37.1 with who is asked for names outside of the cluster, if anybody. CoreDNS reads it again when it changes.
func corefile(in Input) (string, []plan.Problem) {
	if len(in.Cluster.Corefile) > 0 {
		return string(in.Cluster.Corefile), nil
	}
	servers, problems := upstream(in)
	forward, loop := "", ""
	if servers != "" {
		forward = `    forward . ` + servers + ` {
       max_concurrent 1000
    }
`
		loop = "    loop\n" // finds out whether it asks itself
	}
	domain := in.Cluster.Network.DNSDomain
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
` + forward + `    cache 30 {
       disable success ` + domain + `
       disable denial ` + domain + `
    }
` + loop + `    reload
    loadbalance
}
`, problems
}
