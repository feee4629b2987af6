package v1alpha1

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxMaskDifference is how much longer the prefix of a node's range may be than that of the Pods' range: PodSubnetNodeMaskMaxDiff of kubeadm v1.37, and for
// IPv6 clusterSubnetMaxDiff of the controller manager (pkg/controller/nodeipam/ipam/cidrset), which keeps a bit for each.
const maxMaskDifference = 16

// maxServiceBits is how large a range of Services may be, in bits: MaximumBitsForServiceSubnet of kubeadm v1.37.
const maxServiceBits = 20

// minServiceBits has it hold the address of names, which is the tenth.
const minServiceBits = 4

// notForPods are addresses of a node's range that no Pod gets: the network's, the bridge's and the last one (host-local of the CNI plugins).
const notForPods = 3

// special are ranges that networks don't carry, or that mean something else.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0/96"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// checkNetwork checks the network of a cluster that has its defaults.
func (v *validation) checkNetwork(c *Cluster) {
	n := c.Network
	pods, podsOK := v.checkRanges("network.podRanges", n.PodRanges)
	services, servicesOK := v.checkRanges("network.serviceRanges", n.ServiceRanges)
	if podsOK && servicesOK && !slices.Equal(familiesOf(pods), familiesOf(services)) {
		v.say("network.serviceRanges", "the same families in the same order", "it is of %s, network.podRanges of %s", families(services), families(pods))
	}
	for i, p := range pods {
		for j, s := range services {
			if p.IsValid() && s.IsValid() && p.Overlaps(s) {
				v.say(fmt.Sprintf("network.serviceRanges[%d]", j), "ranges that share no address", "%s and network.podRanges[%d], %s, overlap", s, i, p)
			}
		}
	}
	for i, s := range services {
		at := fmt.Sprintf("network.serviceRanges[%d]", i)
		switch bits := s.Addr().BitLen() - s.Bits(); {
		case !s.IsValid():
		case bits > maxServiceBits:
			v.say(at, fmt.Sprintf("a /%d or smaller", s.Addr().BitLen()-maxServiceBits), "%s has more than 2^%d addresses", s, maxServiceBits)
		case bits < minServiceBits:
			v.say(at, fmt.Sprintf("a /%d or larger", s.Addr().BitLen()-minServiceBits), "%s has no room for the API's address and that of names, the tenth", s)
		}
	}
	for i, p := range pods {
		if p.IsValid() {
			v.checkRoom(c, fmt.Sprintf("network.podRanges[%d]", i), p)
		}
	}
	v.checkHostAddresses(append(slices.Clone(pods), services...))
	if podsOK {
		v.checkHostFamilies(c, pods)
	}
	v.matches("network.dnsDomain", n.DNSDomain, dnsName, "a DNS name, such as cluster.local")
	if len(n.DNSDomain) > 128 {
		v.say("network.dnsDomain", "at most 128", "it has %d characters", len(n.DNSDomain))
	}
	v.checkPlugin(n, slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is6() }))
}

func (v *validation) checkPlugin(n Network, ipv6 bool) {
	oneOf(v, "network.plugin", n.Plugin, Flannel, Routed, NoPlugin)
	if (n.Plugin == NoPlugin || n.Plugin == Routed) && v.stated("network.flannel") {
		v.say("network.flannel", "network.plugin flannel, or no options of it", "network.plugin is %s", n.Plugin)
	}
	v.checkRouted(n)
	oneOf(v, "network.flannel.backend", n.Flannel.Backend, VXLAN, HostGW)
	if n.Flannel.Backend == HostGW {
		for _, field := range []string{"network.flannel.port", "network.flannel.directRouting"} {
			if v.stated(field) {
				v.say(field, "network.flannel.backend "+VXLAN, "%s has no VXLAN", HostGW)
			}
		}
	}
	if ipv6 && n.MTU >= 576 && n.MTU < 1280 {
		v.say("network.mtu", "1280 to 65535", "%d is less than IPv6 needs (RFC 8200)", n.MTU)
	}
}

// checkRouted checks the options of a network that is the routers'.
func (v *validation) checkRouted(n Network) {
	const field = "network.routed"
	switch {
	case n.Plugin != Routed && len(n.Routed.Unmasqueraded) > 0:
		if !v.hasProblem("network.plugin") {
			v.say(field, "network.plugin routed, or no options of it", "network.plugin is %s", n.Plugin)
		}
		return
	case len(n.Routed.Unmasqueraded) > 0 && !*n.Masquerade:
		v.say(field+".unmasqueraded", "network.masquerade: true, or none of this", "with network.masquerade false, all that Pods send bears their own addresses")
	}
	for i, r := range n.Routed.Unmasqueraded {
		at := fmt.Sprintf("%s.unmasqueraded[%d]", field, i)
		const want = "a range such as 10.0.0.0/8 or fd00::/8"
		p, err := netip.ParsePrefix(r)
		switch {
		case r == "":
			v.wrongOrMissing(at, r, want)
		case err != nil:
			v.say(at, want, "%q is none", r)
		case p != p.Masked():
			v.say(at, p.Masked().String(), "%s is not where its range begins", r)
		case !slices.ContainsFunc(n.PodRanges, func(s string) bool {
			pods, err := netip.ParsePrefix(s)
			return err != nil || pods.Addr().Is4() == p.Addr().Is4()
		}):
			v.say(at, "a range of a family that Pods have", "%s is of %s, which no range of network.podRanges is", r, family(p.Addr()))
		}
	}
}

// checkRanges reads ranges of addresses, of which those that make no sense are not valid. It says whether all do.
func (v *validation) checkRanges(field string, list []string) ([]netip.Prefix, bool) {
	ranges, ok := make([]netip.Prefix, len(list)), true
	for i, r := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		const want = "a range such as 10.244.0.0/16 or fd00:10:244::/56"
		p, err := netip.ParsePrefix(r)
		before := len(v.problems)
		switch {
		case r == "":
			v.wrongOrMissing(at, r, want)
		case err != nil:
			v.say(at, want, "%q is none", r)
		case p != p.Masked():
			v.say(at, p.Masked().String(), "%s is not where its range begins", r)
		case slices.ContainsFunc(special, p.Overlaps):
			v.say(at, want, "%s holds addresses that mean something else, such as loopback", r)
		case slices.ContainsFunc(ranges[:i], func(o netip.Prefix) bool { return o.IsValid() && o.Addr().Is4() == p.Addr().Is4() }):
			v.say(at, "one range of each family", "%s is a second one of %s", r, family(p.Addr()))
		default:
			ranges[i] = p
		}
		ok = ok && ranges[i].IsValid() && len(v.problems) == before
	}
	return ranges, ok
}

// checkRoom checks that a range of Pods has a part for each node, and that part an address for each of its Pods.
func (v *validation) checkRoom(c *Cluster, field string, p netip.Prefix) {
	mask, maskField := c.Network.NodeMask, "network.nodeMask"
	if p.Addr().Is6() {
		mask, maskField = c.Network.NodeMaskIPv6, "network.nodeMaskIPv6"
	}
	bits := p.Addr().BitLen()
	if v.hasProblem(maskField) {
		return
	}
	at := field
	if v.stated(maskField) {
		at = maskField
	}
	switch nodes := c.nodes(); {
	case mask < p.Bits():
		v.say(at, fmt.Sprintf("a longer %s, or a larger range", maskField), "the /%d of a node is larger than %s", mask, p)
		return
	case mask-p.Bits() > maxMaskDifference:
		v.say(at, fmt.Sprintf("a %s of at most %d, or a range of /%d or longer", maskField, p.Bits()+maxMaskDifference, mask-maxMaskDifference),
			"the /%d of a node is more than %d bits longer than %s", mask, maxMaskDifference, p)
	case nodes > 1<<(mask-p.Bits()):
		need := mask
		for nodes > 1<<(mask-need) {
			need--
		}
		v.say(field, fmt.Sprintf("a /%d or larger, or a longer %s", need, maskField), "%s has room for %d nodes with a /%d each, and there are %d", p, 1<<(mask-p.Bits()), mask, nodes)
	}
	if most := 1<<min(bits-mask, maxMaskDifference) - notForPods; c.Network.Plugin != NoPlugin && c.Kubelet.MaxPods > most && c.Kubelet.MaxPods <= mostPods {
		if v.stated("kubelet.maxPods") {
			at = "kubelet.maxPods"
		}
		v.say(at, fmt.Sprintf("a kubelet.maxPods of at most %d, or a shorter %s", most, maskField), "the /%d of a node has room for %d Pods, and kubelet.maxPods is %d", mask, most, c.Kubelet.MaxPods)
	}
}

// checkHostAddresses checks that no host is within the cluster's own ranges.
func (v *validation) checkHostAddresses(ranges []netip.Prefix) {
	said := map[string]bool{} // once for all hosts that are written as one
	for i, h := range v.hosts {
		check := func(field, address string) {
			a, err := netip.ParseAddr(address)
			if err != nil || said[field] {
				return
			}
			for _, r := range ranges {
				if r.IsValid() && r.Contains(a) {
					said[field] = true
					v.say(field, "an address outside of network.podRanges and network.serviceRanges, or other ranges", "%s of %s is within %s", a, h.Name, r)
					return
				}
			}
		}
		check(v.fields[i]+".address", h.Address)
		for n, a := range h.InternalAddresses {
			check(fmt.Sprintf("%s.internalAddresses[%d]", v.fields[i], n), a)
		}
	}
}

// checkHostFamilies checks that nodes have addresses of the families that their Pods have: the network goes over them, and the API server is found by the first family.
func (v *validation) checkHostFamilies(c *Cluster, pods []netip.Prefix) {
	done := map[string]bool{}
	for i, h := range v.hosts {
		field := v.fields[i]
		if done[field] || !c.isNode(h) && !slices.Contains(h.Roles, ControlPlane) || v.hasProblem(field) {
			continue
		}
		done[field] = true
		internal := h.InternalAddresses
		if len(internal) == 0 {
			internal = []string{h.Address}
		}
		var has []bool // whether each is of IPv4
		for _, text := range internal {
			if a, err := netip.ParseAddr(text); err == nil {
				has = append(has, a.Is4())
			}
		}
		if len(has) == 0 {
			continue // it is found out on the host
		}
		at := field + ".internalAddresses"
		missing := slices.IndexFunc(pods, func(p netip.Prefix) bool { return !slices.Contains(has, p.Addr().Is4()) })
		switch {
		case missing >= 0:
			v.say(at, "an address of each family of network.podRanges", "%s has no address of %s, as its Pods shall have", h.Name, family(pods[missing].Addr()))
		case has[0] != pods[0].Addr().Is4():
			v.say(at, "the family first that is first in network.podRanges", "the first address of %s is not of %s", h.Name, family(pods[0].Addr()))
		}
	}
}

// hasProblem says whether something is wrong with a field, or with one in it.
func (v *validation) hasProblem(field string) bool {
	return slices.ContainsFunc(v.problems, func(p Problem) bool {
		rest, ok := strings.CutPrefix(p.Field, field)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// family is what people call the family of an address.
func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func familiesOf(ranges []netip.Prefix) []string {
	var list []string
	for _, r := range ranges {
		list = append(list, family(r.Addr()))
	}
	return list
}

func families(ranges []netip.Prefix) string { return strings.Join(familiesOf(ranges), ", ") }
