package agent

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/internal/facts"
)

// ways says what the machine has of ways to the API.
func (g *gathering) ways() facts.Ways {
	e := facts.Ways{Balancer: g.there(facts.UnitDir + "/" + facts.BalancerUnit), Address: g.there(facts.UnitDir + "/" + facts.AddressUnit)}
	if e.Balancer {
		e.Ports = bound(g.text(facts.BalancerConfig))
	}
	return e
}

// bound are the ports at which a HAProxy listens for others than its own machine, sorted.
func bound(config string) []int {
	var ports []int
	for line := range strings.Lines(config) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "bind" {
			continue
		}
		host, number, err := net.SplitHostPort(fields[1])
		if err != nil {
			continue
		}
		port, err := strconv.Atoi(number)
		if a, wrong := netip.ParseAddr(host); err == nil && (wrong != nil || !a.IsLoopback()) {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
