package v1alpha1

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// checkEndpoint checks where the API is found.
func (v *validation) checkEndpoint(c *Cluster) {
	e := c.Endpoint
	oneOf(v, "endpoint.kind", e.Kind, LocalEndpoint, ExternalEndpoint, KeepalivedEndpoint)
	v.checkEndpointName(e)
	switch e.Kind {
	case LocalEndpoint:
		for _, field := range []string{"address", "port"} {
			if v.stated("endpoint." + field) {
				v.say("endpoint."+field, "endpoint.kind: external, or no "+field, "the kind local has none: each worker has a balancer of its own")
			}
		}
	case ExternalEndpoint:
		v.checkEndpointAddress(c)
		if e.Port != c.APIServer.Port && !e.Local && !v.hasProblem("endpoint.port") && !v.hasProblem("apiServer.port") {
			v.say("endpoint.port", "that of API servers, or endpoint.local: true: then workers have balancers of their own, and only people are led to this port",
				"%d is not the port of API servers, %d, and nodes know the API by one name and one port", e.Port, c.APIServer.Port)
		}
	case KeepalivedEndpoint:
		v.checkEndpointAddress(c)
		v.checkKeepalived(c)
	}
	if e.Kind != KeepalivedEndpoint {
		v.checkNoKeepalived(e)
	}
}

// checkNoKeepalived says that there are balancers, or options of them, that nothing would come of.
func (v *validation) checkNoKeepalived(e Endpoint) {
	if e.Kind != LocalEndpoint && e.Kind != ExternalEndpoint {
		return // nobody knows what is meant
	}
	if k := e.Keepalived; k.Role != "" || k.RouterID != 0 || k.Interval != "" || len(k.Priorities) > 0 || k.Preempt || k.BalancerPort != 0 || k.Statistics.stated() {
		v.say("endpoint.keepalived", "endpoint.kind: keepalived, or none of this", "the kind %s has no address that wanders", e.Kind)
	}
	for i, h := range v.hosts {
		if slices.Contains(h.Roles, LoadBalancer) {
			v.say(v.fields[i]+".roles", "endpoint.kind: keepalived, or another role", "%s has the role %s, and with an endpoint of kind %s such a host has nothing to do", h.Name, LoadBalancer, e.Kind)
			return // once is enough
		}
	}
}

// checkKeepalived checks the options of an address that wanders.
func (v *validation) checkKeepalived(c *Cluster) {
	const field = "endpoint.keepalived"
	k := c.Endpoint.Keepalived
	if v.stated("endpoint.port") {
		v.say("endpoint.port", "none: it is apiServer.port", "the address has the port of API servers")
	}
	oneOf(v, field+".role", k.Role, LoadBalancer, ControlPlane)
	holders := map[string]bool{}
	others := "" // the field of a host that is a balancer without being asked
	for i, h := range v.hosts {
		if slices.Contains(h.Roles, k.Role) {
			holders[h.Name] = true
		} else if slices.Contains(h.Roles, LoadBalancer) && others == "" {
			others = v.fields[i] + ".roles"
		}
	}
	switch {
	case len(v.hosts) == 0 || v.hasProblem("hosts") || v.hasProblem(field+".role"):
	case len(holders) == 0:
		v.say(field+".role", "hosts with that role, or the role "+string(ControlPlane), "no host has the role %s", k.Role)
	case others != "":
		v.say(others, "endpoint.keepalived.role: loadbalancer, or another role", "it has the role %s, and the address is held by hosts with the role %s", LoadBalancer, k.Role)
	}
	if t, err := time.ParseDuration(k.Interval); err != nil || t < 100*time.Millisecond || t > 990*time.Millisecond || t%(10*time.Millisecond) != 0 {
		v.say(field+".interval", "hundredths of a second, 100ms to 990ms", "%q cannot be meant", k.Interval)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Priorities)) {
		at := join(field+".priorities", name)
		if p := k.Priorities[name]; (p < 1 || p > 254) && !v.hasProblem(at) {
			v.say(at, "1 to 254", "%d cannot be meant", p)
		}
		if !holders[name] && !v.hasProblem("hosts") && !v.hasProblem(field+".role") {
			v.say(at, "the name of a host with the role "+string(k.Role), "there is no such host %q", name)
		}
	}
	v.checkBalancerPorts(c)
}

// checkBalancerPorts checks that balancers have ports that nobody else has.
func (v *validation) checkBalancerPorts(c *Cluster) {
	k := c.Endpoint.Keepalived
	ports := map[int]string{c.APIServer.Port: "API servers", HealthPort: "balancers, for their health"}
	maps.Copy(ports, takenPorts)
	for _, p := range append(etcdPorts(c.Etcd), eventsPorts(c.Etcd.Events)...) {
		ports[p.port] = p.who
	}
	check := func(field string, port int) {
		if who, taken := ports[port]; taken && !v.hasProblem(field) {
			v.say(field, "another port", "%d is that of %s", port, who)
		}
		ports[port] = "balancers"
	}
	check("endpoint.keepalived.balancerPort", k.BalancerPort)
	if s := k.Statistics; s.stated() {
		const field = "endpoint.keepalived.statistics"
		if s.Port != 0 {
			check(field+".port", s.Port)
		}
		v.checkCredentials(field+".credentials", s.Credentials)
		v.matches(field+".credentials.username", s.Credentials.Username, userName, "letters, digits, and _ . -, at most 32")
	}
}

// stated says whether something is said of it.
func (s Statistics) stated() bool {
	c := s.Credentials
	return s.Port != 0 || c.Username != "" || c.PasswordFile != "" || c.PasswordEnv != "" || len(c.PasswordCommand) > 0
}

func (v *validation) checkEndpointName(e Endpoint) {
	const field, want = "endpoint.name", "a DNS name with a dot, such as api.prod.internal"
	last := e.Name[strings.LastIndex(e.Name, ".")+1:]
	switch {
	case !v.stated(field) && (v.hasProblem("name") || e.ownName() != ""): // which it is made of
	case len(e.Name) > 253 || !dnsName().MatchString(e.Name) || last == e.Name || strings.Trim(last, "0123456789") == "":
		v.say(field, want, "%q cannot be meant", e.Name)
	case slices.ContainsFunc(v.hosts, func(h Host) bool { return h.Name == e.Name || h.Address == e.Name }):
		v.say(field, "a name of its own", "%s is a host", e.Name)
	case e.ownName() != "" && e.Name != e.ownName():
		v.say(field, "the same as endpoint.address, an endpoint.address that is an IP address, or endpoint.local: true",
			"workers find %s in /etc/hosts, which leads to IP addresses, and endpoint.address is the name %s", e.Name, e.Address)
	}
}

// checkEndpointAddress checks an address that others are led to: that it can be one, and that it is no host's and none of the cluster's own.
func (v *validation) checkEndpointAddress(c *Cluster) {
	const field = "endpoint.address"
	e := c.Endpoint
	want := "an IP address or a DNS name with a dot, such as 10.0.0.10 or api.example.com"
	if e.Kind == KeepalivedEndpoint {
		want = "an IP address that nobody has, such as 10.0.0.10, in the network of the hosts that are to hold it"
	}
	a, err := netip.ParseAddr(e.Address)
	if e.Address == "" {
		v.wrongOrMissing(field, "", want)
		return
	}
	if err != nil {
		if e.Kind == KeepalivedEndpoint || len(e.Address) > 253 || !isAddressOrName(e.Address) || !strings.Contains(e.Address, ".") {
			v.say(field, want, "%q cannot be meant", e.Address)
		} else if slices.ContainsFunc(v.hosts, func(h Host) bool { return h.Name == e.Address || h.Address == e.Address }) {
			v.say(field, "that of your balancer", "%s is a host, and one host is not all of them", e.Address)
		}
		return
	}
	switch holder := v.hostAt(a); {
	case a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast():
		v.say(field, want+", that others reach", "%q cannot be meant", e.Address)
	case holder != "":
		v.say(field, "an address that no host has", "%s is that of %s, and one host is not all of them", e.Address, holder)
	}
	for _, r := range slices.Concat(c.Network.PodRanges, c.Network.ServiceRanges) {
		if p, err := netip.ParsePrefix(r); err == nil && p.Contains(a.Unmap()) {
			v.say(field, "an address outside of network.podRanges and network.serviceRanges, or other ranges", "%s is within %s", e.Address, r)
		}
	}
}

// hostAt is the name of the host that has an address; empty if none has.
func (v *validation) hostAt(a netip.Addr) string {
	for _, h := range v.hosts {
		for _, s := range append(slices.Clone(h.InternalAddresses), h.Address) {
			if has, err := netip.ParseAddr(s); err == nil && has.Unmap() == a.Unmap() {
				return h.Name
			}
		}
	}
	return ""
}
