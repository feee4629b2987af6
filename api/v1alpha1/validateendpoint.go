package v1alpha1

import (
	"net/netip"
	"slices"
	"strings"
)

// checkEndpoint checks where the API is found.
func (v *validation) checkEndpoint(c *Cluster) {
	e := c.Endpoint
	oneOf(v, "endpoint.kind", e.Kind, LocalEndpoint, ExternalEndpoint)
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
	}
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
	a, err := netip.ParseAddr(e.Address)
	if e.Address == "" {
		v.wrongOrMissing(field, "", want)
		return
	}
	if err != nil {
		if len(e.Address) > 253 || !isAddressOrName(e.Address) || !strings.Contains(e.Address, ".") {
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
