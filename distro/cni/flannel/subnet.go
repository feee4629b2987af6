package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// subnet is what flanneld says of this host, in the file that its WriteSubnetFile makes (pkg/subnet/subnet.go of flannel v0.28.4).
type subnet struct {
	networks []netip.Prefix // of all hosts, at most one a family
	subnets  []netip.Prefix // of this host, at most one a family
	mtu      int            // bytes
	ipMasq   bool           // flanneld masquerades what leaves the network
}

// readSubnet reads lines such as FLANNEL_MTU=1450. What it does not know it skips: flanneld may say more one day.
func readSubnet(text string) (subnet, error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			values[name] = value
		}
	}
	var s subnet
	var wrong []error
	prefix := func(name string) []netip.Prefix {
		v, ok := values[name]
		if !ok {
			return nil
		}
		p, err := netip.ParsePrefix(v)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
			return nil
		}
		return []netip.Prefix{p.Masked()} // flanneld gives the first address of the subnet
	}
	s.networks = append(prefix("FLANNEL_NETWORK"), prefix("FLANNEL_IPV6_NETWORK")...)
	s.subnets = append(prefix("FLANNEL_SUBNET"), prefix("FLANNEL_IPV6_SUBNET")...)
	var err error
	if s.mtu, err = strconv.Atoi(values["FLANNEL_MTU"]); err != nil || s.mtu <= 0 {
		wrong = append(wrong, fmt.Errorf("FLANNEL_MTU: %q: want a number of bytes", values["FLANNEL_MTU"]))
	}
	if s.ipMasq, err = strconv.ParseBool(values["FLANNEL_IPMASQ"]); err != nil {
		wrong = append(wrong, fmt.Errorf("FLANNEL_IPMASQ: %q: want true or false", values["FLANNEL_IPMASQ"]))
	}
	if len(wrong) == 0 && (len(s.networks) == 0 || len(s.subnets) == 0) {
		wrong = append(wrong, errors.New("want FLANNEL_NETWORK and FLANNEL_SUBNET, or FLANNEL_IPV6_NETWORK and FLANNEL_IPV6_SUBNET"))
	}
	return s, errors.Join(wrong...)
}
