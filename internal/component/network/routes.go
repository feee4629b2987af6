package network

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kubewright/kubewright/internal/resource"
)

// Route is the way to the Pods of a node.
type Route struct {
	Node string `json:"node"`
	// To is a range of its Pods.
	To netip.Prefix `json:"to"`
	// Via is the node's address of the same family.
	Via netip.Addr `json:"via"`
}

// Routes are the ways to the Pods of nodes, in order of ranges, and of each node without one why it has none.
func Routes(nodes []resource.NodeFound) (routes []Route, without []string) {
	for _, n := range nodes {
		if len(n.PodRanges) == 0 {
			without = append(without, n.Name+" has no range of Pods yet")
		}
		for _, text := range n.PodRanges {
			to, err := netip.ParsePrefix(text)
			if err != nil {
				without = append(without, fmt.Sprintf("%s has the range %q, which is none", n.Name, text))
				continue
			}
			via := addressFor(to, n.Addresses)
			if !via.IsValid() {
				without = append(without, fmt.Sprintf("%s has no address of the family of its range %s", n.Name, to))
				continue
			}
			routes = append(routes, Route{n.Name, to, via})
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return cmp.Or(a.To.Addr().Compare(b.To.Addr()), a.To.Bits()-b.To.Bits()) })
	return routes, without
}

// addressFor is the first address of a range's family; not valid if there is none.
func addressFor(to netip.Prefix, addresses []string) netip.Addr {
	for _, s := range addresses {
		if a, err := netip.ParseAddr(s); err == nil && a.Unmap().Is4() == to.Addr().Is4() {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// RouteFormats are how routes are written, by their names.
func RouteFormats() map[string]func(io.Writer, []Route) error {
	return map[string]func(io.Writer, []Route) error{"text": asTable, "ip": asCommands, "frr": asFRR, "bird": asBIRD, "json": asJSON}
}

func asTable(out io.Writer, routes []Route) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "PODS\tVIA\tNODE")
	for _, r := range routes {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r.To, r.Via, r.Node)
	}
	return t.Flush()
}

// asCommands are for a router that is a Linux machine; they may be run again (ip-route(8)).
func asCommands(out io.Writer, routes []Route) error {
	return lines(out, routes, func(r Route) string {
		return fmt.Sprintf("ip %sroute replace %s via %s", six(r, "-6 "), r.To, r.Via)
	})
}

// asFRR are static routes of FRR (https://docs.frrouting.org/en/latest/static.html); Cisco's IOS reads those of IPv4 with masks only.
func asFRR(out io.Writer, routes []Route) error {
	return lines(out, routes, func(r Route) string {
		ip := "ip"
		if r.To.Addr().Is6() {
			ip = "ipv6"
		}
		return fmt.Sprintf("%s route %s %s", ip, r.To, r.Via)
	})
}

// asBIRD are a protocol for each family, of BIRD 2 and newer.
func asBIRD(out io.Writer, routes []Route) error {
	var b strings.Builder
	for _, family := range []string{"ipv4", "ipv6"} {
		of := slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.To.Addr().Is4() != (family == "ipv4") })
		if len(of) == 0 {
			continue
		}
		fmt.Fprintf(&b, "protocol static kubernetes_pods_%s {\n    %s;\n", family, family)
		for _, r := range of {
			fmt.Fprintf(&b, "    route %s via %s; # %s\n", r.To, r.Via, r.Node)
		}
		b.WriteString("}\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func asJSON(out io.Writer, routes []Route) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(append([]Route{}, routes...)) // of none a list, too
}

func lines(out io.Writer, routes []Route, line func(Route) string) error {
	for _, r := range routes {
		if _, err := fmt.Fprintln(out, line(r)); err != nil {
			return err
		}
	}
	return nil
}

// six is what is said of routes of IPv6 alone.
func six(r Route, text string) string {
	if r.To.Addr().Is6() {
		return text
	}
	return ""
}
