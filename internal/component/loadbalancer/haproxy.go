package loadbalancer

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// Files and a unit of our own: the package's haproxy.service and /etc/haproxy belong to whoever has a HAProxy for other purposes on the host.
const (
	configPath = facts.BalancerConfig
	// Unit is that of systemd.
	Unit = facts.BalancerUnit

	// authorityPath is that of the authority that API servers have their certificates from; it lies on every node before the balancer starts.
	authorityPath = resource.PKIDir + "/" + pki.Kubernetes + ".crt"
)

// haproxyConfig is the configuration of HAProxy 2.6 (what Debian 12 has) and newer. It differs from what kubeadm's guide (docs/ha-considerations.md) and Kubespray
// (roles/kubernetes/node/templates/loadbalancer/haproxy.cfg.j2) have in these:
//
//   - Certificates of API servers are verified: what pretends to be one gets no connections, which would fail there.
//   - /readyz is asked for, not /healthz, so that an API server that is about to stop gets no new connections.
//   - Servers are chosen at random. Each worker has a balancer of its own that knows of its own connections alone: taking turns, or the least of these, sends the first
//     one of each, and that is the kubelet's, to the same server.
//   - Connections that are silent are cut off after 4 hours (35 s and 15 min there), as the kubelet does with streams (streamingConnectionIdleTimeout of
//     kubelet.config.k8s.io/v1beta1): exec and port-forward may well be silent. Whether a silent peer still lives is asked by TCP after 30 s, as Kubernetes' own clients do
//     (ReadIdleTimeout of HTTP/2 in k8s.io/apimachinery/pkg/util/net).
//   - A server that is found dead loses its connections at once. Clients would take up to 45 s to find out.
//   - A server has 1 s to take a connection (5 s there): who loses its power takes none, and is noticed after 3 of those.
//   - What is reloaded ends connections that are left after 30 s. The old process asks no server any more whether it is well, so who is connected through it would not be cut off from one that
//     dies or whose etcd does; and it would stay for as long as a kubelet runs.
//
// How many connections there may be is Kubespray's.
//
// The balancer of a host that may hold the address that wanders serves all others, too: it has more connections, and sends new ones to the API server that has the fewest. Beside its own purpose it
// says on loopback whether an API server answers through it, which keepalived asks, and shows its statistics if somebody wants them.
func haproxyConfig(c *cluster.Cluster, h v1alpha1.Host) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Kubewright wrote this, and writes it again when it is changed here: it follows the control planes and the endpoint of the cluster file.")
	line("global")
	line("    log stdout format short daemon notice")
	line("    maxconn %d", maxConnections(c, h))
	line("    no strict-limits # where it may not open so many files, it takes fewer connections, rather than none")
	line("    nbthread 1")
	line("    hard-stop-after 30s")
	line("\ndefaults")
	line("    mode tcp")
	line("    option tcplog")
	line("    option log-separate-errors")
	line("    option clitcpka")
	line("    clitcpka-idle 30s")
	line("    clitcpka-intvl 5s")
	line("    clitcpka-cnt 3")
	line("    option srvtcpka")
	line("    srvtcpka-idle 30s")
	line("    srvtcpka-intvl 5s")
	line("    srvtcpka-cnt 3")
	line("    option redispatch 1")
	line("    retries 3")
	line("    timeout connect 1s") // also of checks, if inter is not shorter
	line("    timeout check 5s")
	line("    timeout queue 20s")
	line("    timeout client 4h")
	line("    timeout server 4h")
	line("\nfrontend endpoint")
	line("    log global # what becomes of servers is said on standard error, and would be said twice")
	for _, a := range binds(c, h) {
		line("    bind %s", a)
	}
	line("    default_backend apiservers")
	every := checkEvery(c)
	line("\nbackend apiservers")
	line("    balance %s", balancing(c, h))
	line("    option httpchk")
	line("    http-check send meth GET uri %s ver HTTP/1.1 hdr Host %s", c.Health("/readyz"), c.Endpoint.Name)
	line("    http-check expect status 200")
	line("    default-server check check-ssl check-sni %[1]s verify required verifyhost %[1]s ca-file %[2]s inter %[3]dms fastinter %[4]dms downinter %[3]dms fall 3 rise 2 "+
		"observe layer4 error-limit 1 on-error fastinter on-marked-down shutdown-sessions", c.Endpoint.Name, authorityPath, every.Milliseconds(), (every / 4).Milliseconds())
	for _, s := range servers(c) {
		line("    server %s %s", s.name, s.address)
	}
	if c.Holder(h) {
		b.WriteString(health(c))
		b.WriteString(statistics(c, h))
	}
	return b.String()
}

// checksPerSecond is how many checks an API server gets from all balancers together at most, while it is well: each is a TLS handshake, of about a millisecond.
const checksPerSecond = 250

// checkEvery is the time between checks of a server: 1 s in clusters of up to 250 balancers, twice that for twice as many, so that a new worker changes nothing on others but for a few that
// cross such a bound.
func checkEvery(c *cluster.Cluster) time.Duration {
	balancers := 0
	for _, h := range c.Hosts {
		if c.Balancer(h) {
			balancers++
		}
	}
	every := time.Second
	for most := checksPerSecond; balancers > most; most *= 2 {
		every *= 2
	}
	return every
}

// servers are the API servers that are known.
func servers(c *cluster.Cluster) []upstream {
	return slices.DeleteFunc(upstreams(c), func(u upstream) bool {
		return cluster.NodeAddress(*c.Host(u.name)) == "" // nobody knows it yet
	})
}

// binds are where a balancer listens: on loopback for its host alone, at the address that wanders for all.
func binds(c *cluster.Cluster, h v1alpha1.Host) []string {
	var list []string
	if c.LocalBalancer(h) {
		for _, a := range c.Loopback() {
			list = append(list, net.JoinHostPort(a, strconv.Itoa(c.Cluster.APIServer.Port)))
		}
	}
	if c.Holder(h) {
		list = append(list, net.JoinHostPort(c.Endpoint.Address, strconv.Itoa(c.BalancerPort(h))))
	}
	return list
}

func maxConnections(c *cluster.Cluster, h v1alpha1.Host) int {
	if c.Holder(h) {
		return 20000
	}
	return 4000
}

func balancing(c *cluster.Cluster, h v1alpha1.Host) string {
	if c.Holder(h) {
		return "leastconn"
	}
	return "random"
}

// health asks an API server, as everybody else is led to one, and takes its certificate for no less.
func health(c *cluster.Cluster) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\ndefaults")
	line("    mode http")
	line("    option redispatch 1")
	line("    retries 3")
	line("    timeout connect 2s")
	line("    timeout client 30s")
	line("    timeout server 5s")
	line("\nfrontend health # keepalived asks here")
	line("    bind %s", healthAddress)
	line("    http-request deny unless { path /readyz }")
	line("    default_backend readyz")
	line("\nbackend readyz")
	line("    http-request set-header Host %s", c.Endpoint.Name)
	if _, query, asks := strings.Cut(c.Health("/readyz"), "?"); asks {
		line("    http-request set-query %s", query)
	}
	for _, s := range servers(c) {
		line("    server %[1]s %[2]s ssl sni str(%[3]s) verify required verifyhost %[3]s ca-file %[4]s track apiservers/%[1]s", s.name, s.address, c.Endpoint.Name, authorityPath)
	}
	return b.String()
}

// statistics is the page of them, if one is wanted. The password is in no configuration: it comes by the environment.
func statistics(c *cluster.Cluster, h v1alpha1.Host) string {
	s := c.Endpoint.Keepalived.Statistics
	if !s.Wanted() {
		return ""
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("\nfrontend statistics")
	line("    bind %s", net.JoinHostPort(cluster.NodeAddress(h), strconv.Itoa(s.Port)))
	line("    stats enable")
	line("    stats uri /")
	line("    stats refresh 10s")
	line("    stats hide-version")
	line(`    stats auth "%s:${%s}"`, s.Credentials.Username, passwordVariable)
	return b.String()
}

const (
	// passwordVariable is the variable of a balancer's environment that holds the password of its statistics, passwordPath the file that brings it.
	passwordVariable = "STATISTICS_PASSWORD"
	passwordPath     = "/etc/kubewright/endpoint-statistics.env"
)

// environment is a file of systemd's with the password of statistics. What is in double quotes there has these escaped (systemd.exec(5), EnvironmentFile).
func environment(password string) string {
	return passwordVariable + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`).Replace(password) + "\"\n"
}

// service is like Debian's haproxy.service, with a user of its own that may do nothing but listen, at a port below 1024 if the API has one.
func service(c *cluster.Cluster, h v1alpha1.Host) string {
	text := unit
	if c.Holder(h) {
		text = strings.Replace(text, "LimitNOFILE=16384", "LimitNOFILE=65536", 1)
		if c.Endpoint.Keepalived.Statistics.Wanted() {
			text = strings.Replace(text, "Type=notify\n", "EnvironmentFile="+passwordPath+"\nType=notify\n", 1)
		}
	}
	return text
}

const unit = `# Kubewright wrote this, and writes it again when it is changed here: put more beside it with "systemctl edit".
[Unit]
Description=Balancer in front of the Kubernetes API servers
Documentation=man:haproxy(1)
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/sbin/haproxy -Ws -f ` + configPath + `
ExecReload=/usr/sbin/haproxy -Ws -f ` + configPath + ` -c -q
ExecReload=/bin/kill -USR2 $MAINPID
Type=notify
KillMode=mixed
Restart=always
RestartSec=1
SuccessExitStatus=143
LimitNOFILE=16384

DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`
