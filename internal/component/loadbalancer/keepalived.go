package loadbalancer

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Files and units of hosts that may hold the address that wanders; the package's keepalived.service and /etc/keepalived belong to whoever has a keepalived for other purposes on the host.
const (
	keepalivedPath = "/etc/kubewright/keepalived.conf"
	healthScript   = "/etc/kubewright/endpoint-health"
	rulesPath      = "/etc/kubewright/endpoint.nft"
	// AddressUnit is that of keepalived, RulesUnit loads rules of nftables.
	AddressUnit = facts.AddressUnit
	RulesUnit   = "kubewright-endpoint-rules.service"
)

// healthAddress is where a balancer says whether an API server answers through it.
var healthAddress = net.JoinHostPort("127.0.0.1", strconv.Itoa(v1alpha1.HealthPort))

// holder is what a host needs besides a balancer to hold the address that wanders.
func holder(c *cluster.Cluster, h v1alpha1.Host, f facts.Host) []resource.Resource {
	rules := resource.NewFile(rulesPath, rules(c, h))
	health := resource.NewFile(healthScript, healthText)
	health.Mode = 0o755
	config := resource.NewFile(keepalivedPath, keepalivedConfig(c, h, f))
	unit := resource.NewFile("/etc/systemd/system/"+AddressUnit, addressService(c, h, f))
	return append(resource.NftablesRules(RulesUnit, "Rules for the address of the Kubernetes API that wanders", rules, family(c)+" "+table),
		health, config, unit,
		resource.Unit{Name: AddressUnit, Active: true, Enabled: true, RestartOn: []resource.ID{unit.ID()}, ReloadOn: []resource.ID{config.ID()}},
	)
}

// addressOf is the address by which a host takes part: that of its internal ones which is of the family of the one that wanders.
func addressOf(c *cluster.Cluster, h v1alpha1.Host) netip.Addr {
	floating := floating(c)
	for _, s := range h.InternalAddresses {
		if a, err := netip.ParseAddr(s); err == nil && a.Unmap().Is4() == floating.Is4() {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// floating is the address that wanders. The cluster file was checked to have one.
func floating(c *cluster.Cluster) netip.Addr {
	a, _ := netip.ParseAddr(c.Endpoint.Address)
	return a.Unmap()
}

// peers are the others that may hold the address.
func peers(c *cluster.Cluster, h v1alpha1.Host) []string {
	var list []string
	for _, o := range c.Holders() {
		if a := addressOf(c, o); o.Name != h.Name && a.IsValid() {
			list = append(list, a.String())
		}
	}
	return list
}

// priority of a host among those that could take the address.
func priority(c *cluster.Cluster, h v1alpha1.Host) int {
	i := slices.IndexFunc(c.Holders(), func(o v1alpha1.Host) bool { return o.Name == h.Name })
	return cmp.Or(c.Endpoint.Keepalived.Priorities[h.Name], max(1, 100-i))
}

// keepalivedConfig is the configuration of keepalived 2.2 (what Debian 12 has) and newer, VRRP of version 3 alone. It differs from guide C's in these:
//
//   - A host whose balancer finds no API server gives the address up, whatever its priority: it does not depend on sums of priorities, and goes with nopreempt. Guide C ends keepalived for good.
//   - All begin as backups, and the address stays where it is when another comes back, unless preempt says otherwise: each move breaks connections.
//   - Adverts go to the other hosts by their addresses, since many networks carry no multicast, and are taken from these alone. No password stands in them, which anybody on the network could read
//     (RFC 5798 has none, either).
//   - They come every 300 ms, not 2 s: another host takes over after 0.9 to 1.2 s.
//   - It runs the script, and itself, as a user that may do nothing else.
func keepalivedConfig(c *cluster.Cluster, h v1alpha1.Host, f facts.Host) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	k := c.Endpoint.Keepalived
	own := addressOf(c, h)
	name, _, known := f.InterfaceOf(own)
	line("# Kubewright wrote this, and writes it again when it is changed here: it follows the endpoint of the cluster file.")
	line("global_defs {")
	line("    router_id %s", h.Name)
	line("    vrrp_version 3")
	line("    vrrp_check_unicast_src")
	line("    vrrp_garp_master_delay 1")
	line("    vrrp_garp_master_refresh 60")
	line("    script_user haproxy")
	line("    enable_script_security")
	line("    max_auto_priority -1")
	line("}")
	line("\nvrrp_script api {")
	line("    script %s", healthScript)
	line("    interval 1")
	line("    timeout 5") // the script is done within 3 s
	line("    fall 1")    // what may pass by itself is asked about twice by the script
	line("    rise 2")
	line("    init_fail")
	line("}")
	line("\nvrrp_instance endpoint {")
	line("    state BACKUP")
	if known {
		line("    interface %s", name)
	}
	line("    virtual_router_id %d", k.RouterID)
	line("    priority %d", priority(c, h))
	line("    advert_int %s", seconds(k.Interval))
	if !k.Preempt {
		line("    nopreempt")
	}
	line("    unicast_src_ip %s", own)
	if list := peers(c, h); len(list) > 0 {
		line("    unicast_peer {")
		for _, a := range list {
			line("        %s", a)
		}
		line("    }")
	}
	line("    virtual_ipaddress {")
	line("        %s", address(c, name, known))
	line("    }")
	line("    track_script {")
	line("        api")
	line("    }")
	line("}")
	return b.String()
}

// address is the one that wanders, with the prefix of a network of its own: it is not the host's, which has another in that network.
func address(c *cluster.Cluster, device string, known bool) string {
	a := floating(c)
	text := netip.PrefixFrom(a, a.BitLen()).String()
	if known {
		text += " dev " + device
	}
	return text
}

// seconds is a time as keepalived has it: "0.3". The cluster file was checked to have one.
func seconds(interval string) string {
	d, _ := time.ParseDuration(interval)
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

// healthText asks by what bash has itself: hosts need no other program for it. Wherever it fails, the answer is no.
const healthText = `#!/bin/bash
# Kubewright wrote this, and writes it again when it is changed here. keepalived runs it: does an API server say, through the balancer of this host, that it is ready?
exec 2>/dev/null
connect() { exec 3<>/dev/tcp/127.0.0.1/16444; }
ready() {
	connect || { sleep 0.3 && connect; } || exit 1 # there is no balancer, and none that is just being restarted
	printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
	read -r -t 1 _ status _ <&3
	[ "$status" = 200 ]
}
ready || { sleep 1 && ready; }
`

// rules are those of nftables. VRRP comes from the other holders alone: whoever else could say that he holds the address would have it. Where an API server has the API's port, what comes to the address
// there is led to the balancer beside it; without that it would reach the API server of the host, which is no harm either.
func rules(c *cluster.Cluster, h v1alpha1.Host) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	family := family(c)
	line("# Kubewright wrote this, and writes it again when it is changed here: it follows the endpoint of the cluster file.")
	line("table %s %s", family, table)
	line("delete table %s %s", family, table)
	line("table %s %s {", family, table)
	line("    chain input {")
	line("        type filter hook input priority -10; policy accept;")
	if list := peers(c, h); len(list) > 0 {
		line("        meta l4proto %d %s saddr != { %s } drop", vrrp, family, strings.Join(list, ", "))
	} else {
		line("        meta l4proto %d drop", vrrp)
	}
	line("    }")
	if port := c.BalancerPort(h); port != c.Cluster.APIServer.Port {
		a := floating(c)
		for _, hook := range []struct {
			name     string
			priority int
		}{{"prerouting", -110}, {"output", -110}} { // before those of Services
			line("    chain %s {", hook.name)
			line("        type nat hook %s priority %d; policy accept;", hook.name, hook.priority)
			line("        %s daddr %s tcp dport %d dnat to %s", family, a, c.Cluster.APIServer.Port, net.JoinHostPort(a.String(), strconv.Itoa(port)))
			line("    }")
		}
	}
	line("}")
	return b.String()
}

const (
	// table of nftables that holds the rules.
	table = "kubewright_endpoint"
	// vrrp is the number of the protocol.
	vrrp = 112
)

// family of the address that wanders, as nftables calls it.
func family(c *cluster.Cluster) string {
	if floating(c).Is4() {
		return "ip"
	}
	return "ip6"
}

// addressService is keepalived without what only root may do but for addresses and raw packets, and choosing groups, which it does before each run of the script although it has them already. It is the
// user that the package of HAProxy brings, under which nothing of ours runs: keepalived wants one with a name. An address that it leaves behind when it dies is taken away, since another host has
// it by then.
func addressService(c *cluster.Cluster, h v1alpha1.Host, f facts.Host) string {
	after := ""
	if name, _, known := f.InterfaceOf(addressOf(c, h)); known {
		after = "ExecStopPost=-+/sbin/ip address delete " + address(c, name, true) + "\n"
	}
	return `# Kubewright wrote this, and writes it again when it is changed here: put more beside it with "systemctl edit".
[Unit]
Description=Address of the Kubernetes API that wanders
Documentation=man:keepalived(8)
After=network-online.target ` + RulesUnit + ` ` + Unit + `
Wants=network-online.target ` + RulesUnit + `
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/sbin/keepalived --dont-fork --log-console --no-syslog --vrrp --use-file=` + keepalivedPath + ` --pid=/run/kubewright-endpoint/keepalived.pid --vrrp_pid=/run/kubewright-endpoint/vrrp.pid
ExecReload=/usr/sbin/keepalived --config-test --use-file=` + keepalivedPath + `
ExecReload=/bin/kill -HUP $MAINPID
` + after + `Type=notify
NotifyAccess=all
KillMode=mixed
Restart=always
RestartSec=1

User=haproxy
Group=haproxy
RuntimeDirectory=kubewright-endpoint
AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_SETGID
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SETGID
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`
}

// problems are what stands in the way of an address that wanders, by what hosts are.
func problems(in Input) []plan.Problem {
	var list []plan.Problem
	blocks := func(host, remedy, format string, args ...any) {
		list = append(list, plan.Problem{Host: host, Blocks: true, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if in.Cluster.Endpoint.Kind != v1alpha1.KeepalivedEndpoint {
		return nil
	}
	a := floating(in.Cluster)
	const another = "Say another endpoint.address in the cluster file, one that nobody has"
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		name, has, found := f.InterfaceOf(a)
		if !in.Cluster.Holder(h) {
			if found && !(f.Ways.Address && has.Bits() == a.BitLen()) { // a keepalived of ours lets it go when it ends
				blocks(h.Name, another+"; or take it away there, if it is left from before", "it has the address %s on %s, which the file gives to hosts with the role %s", a, name, in.Cluster.Endpoint.Keepalived.Role)
			}
			continue
		}
		own := addressOf(in.Cluster, h)
		device, network, known := f.InterfaceOf(own)
		switch {
		case found && has.Bits() < a.BitLen():
			blocks(h.Name, another, "it has the address %s as one of its own (%s on %s), and endpoint.address wanders", a, has, name)
		case !own.IsValid():
			blocks(h.Name, "Give it one in internalAddresses, or take an address of another family", "it has no address of the family of %s, which it is to hold", a)
		case !known: // that it does not have its own address, host preparation says
		case !network.Masked().Contains(a):
			blocks(h.Name, "Take an address of that network, or hosts in the network of the address (endpoint.keepalived.role)",
				"it cannot hold the address %s: that is not in its network, %s on %s, where others would look for it", a, network.Masked(), device)
		}
	}
	return list
}
