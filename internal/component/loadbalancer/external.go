package loadbalancer

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
)

// upstream is an API server as a balancer outside of the cluster reaches it.
type upstream struct{ name, address string }

// upstreams are all API servers of a cluster file, at the addresses that other hosts reach them by, or where the file leaves these to be found out, that it has for us.
func upstreams(c *cluster.Cluster) []upstream {
	var list []upstream
	for _, h := range c.With(v1alpha1.ControlPlane) {
		list = append(list, upstream{h.Name, net.JoinHostPort(cmp.Or(cluster.NodeAddress(h), h.Address), strconv.Itoa(c.Cluster.APIServer.Port))})
	}
	return list
}

// publicPort is the port that an endpoint is reached at.
func publicPort(c *cluster.Cluster) int { return cmp.Or(c.Endpoint.Port, c.Cluster.APIServer.Port) }

// about begins a configuration for others.
func about(c *cluster.Cluster) string {
	return fmt.Sprintf("# The endpoint of the cluster %s: port %d, in front of its control planes. \"kubewright endpoint config\" printed this of the cluster file;\n"+
		"# print it again when control planes come or go.\n", c.Name, publicPort(c))
}

// ExternalHAProxy is a whole configuration for a HAProxy of the user's, 2.2 or newer. It is like that of a balancer on hosts, where is said why it is as it is, but for these:
//
//   - Certificates of API servers are not verified, since the authority may not be there yet. Clients verify them in any case; what is said here is how the balancer does, too.
//   - Servers are those with the fewest connections: one balancer knows of all of them.
//   - There are more connections: all of the cluster's.
func ExternalHAProxy(c *cluster.Cluster) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(about(c))
	line("global")
	line("    log stdout format short daemon notice")
	line("    maxconn 20000")
	line("    no strict-limits # where it may not open so many files, it takes fewer connections, rather than none")
	line("    hard-stop-after 30s")
	line("\ndefaults")
	line("    log global")
	line("    mode tcp")
	line("    option tcplog")
	line("    option clitcpka")
	line("    option srvtcpka")
	line("    option redispatch 1")
	line("    retries 3")
	line("    timeout connect 1s")
	line("    timeout check 5s")
	line("    timeout queue 20s")
	line("    timeout client 4h")
	line("    timeout server 4h")
	line("\nfrontend %s", c.Name)
	line("    bind :%d # with IPv6: bind [::]:%[1]d v4v6", publicPort(c))
	line("    default_backend %s-apiservers", c.Name)
	line("\nbackend %s-apiservers", c.Name)
	line("    balance leastconn")
	line("    option httpchk")
	line("    http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s", c.Health("/readyz"), c.Endpoint.Name)
	line("    http-check expect status 200")
	line("    # To have the checks verify certificates, copy %s of a control plane here, and put these in the place of \"verify none\":", authorityPath)
	line("    # verify required verifyhost %[1]s check-sni %[1]s ca-file PATH", c.Endpoint.Name)
	line("    default-server check check-ssl verify none inter 1s fastinter 250ms downinter 1s fall 3 rise 2 observe layer4 error-limit 1 on-error fastinter on-marked-down shutdown-sessions")
	for _, u := range upstreams(c) {
		line("    server %s %s", u.name, u.address)
	}
	return b.String()
}

// ExternalNginx is what the main context of an nginx of the user's needs, with its module stream. It asks no server whether it is ready, which only the commercial one can: a server that does not
// take a connection is passed over.
func ExternalNginx(c *cluster.Cluster) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	b.WriteString(about(c))
	line("# It belongs beside \"http { … }\" in nginx.conf, not into it, and needs the module stream (on Debian: libnginx-mod-stream).")
	line("stream {")
	line("    upstream %s-apiservers {", c.Name)
	line("        least_conn;")
	for _, u := range upstreams(c) {
		line("        server %s max_fails=1 fail_timeout=5s; # %s", u.address, u.name)
	}
	line("    }")
	line("    server {")
	line("        listen %d; # with IPv6 also: listen [::]:%[1]d;", publicPort(c))
	line("        proxy_pass %s-apiservers;", c.Name)
	line("        proxy_connect_timeout 2s;")
	line("        proxy_timeout 4h; # exec and port-forward may be silent")
	line("        proxy_socket_keepalive on;")
	line("    }")
	line("}")
	return b.String()
}
