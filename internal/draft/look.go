package draft

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/docker/go-units"
	"k8s.io/apimachinery/pkg/util/validation"
)

// What a control plane needs at least: kubeadm's (ControlPlaneMem and ControlPlaneNumCPU in cmd/kubeadm/app/constants of v1.37).
const (
	leastMemory = 1700 << 20 // bytes
	leastCPUs   = 2
)

// maxName is how long the name of a host may be: Kubernetes takes so many characters for the label that holds it.
const maxName = 63

// IsName says whether a host may be called so.
func IsName(s string) bool {
	return len(s) <= maxName && len(validation.IsDNS1123Subdomain(s)) == 0
}

// small says whether a host is known to have less than a control plane needs.
func (h Host) small() bool {
	return h.Found != nil && (h.Found.Memory < leastMemory || h.Found.CPUs < leastCPUs)
}

// arranged are hosts, control planes first: the first ones that are not known to be too small. Whoever named hosts knows what each is for: these stay as they are.
func arranged(hosts []Host) []Host {
	list := slices.Clone(hosts)
	if !slices.ContainsFunc(list, func(h Host) bool { return h.Name != "" }) {
		slices.SortStableFunc(list, func(a, b Host) int {
			switch {
			case a.small() == b.small():
				return 0
			case a.small():
				return 1
			}
			return -1
		})
	}
	return list
}

// named gives hosts names that have none: what they call themselves, if no other does, or else by their roles.
func named(hosts []Host, planes int) {
	taken, themselves := map[string]bool{}, map[string]int{}
	for _, h := range hosts {
		taken[h.Name] = true
		themselves[h.hostname()]++
	}
	for i := range hosts {
		if own := hosts[i].hostname(); hosts[i].Name == "" && own != "" && themselves[own] == 1 && !taken[own] {
			hosts[i].Name, taken[own] = own, true
		}
	}
	for i := range hosts {
		for n := i; hosts[i].Name == ""; n++ {
			name := fmt.Sprintf("cp%d", n+1)
			if i >= planes {
				name = fmt.Sprintf("w%d", n+1-planes)
			}
			if !taken[name] {
				hosts[i].Name, taken[name] = name, true
			}
		}
	}
}

// hostname is what a host calls itself, if it may be called so; empty if it was not looked at, or was never given a name.
func (h Host) hostname() string {
	if h.Found == nil {
		return ""
	}
	name := strings.ToLower(h.Found.Hostname)
	if first, _, _ := strings.Cut(name, "."); first == "localhost" || !IsName(name) {
		return ""
	}
	return name
}

// inside are the addresses that other hosts reach each host by, where the file has to say them; empty for the others. It has to for a host behind an address that is
// none of its own, and for one that is given by a name and has several to choose from. Of these, the one that the default route leaves by is taken; of IPv4, as Pods are
// by default.
func inside(hosts []Host) []string {
	list, times := make([]string, len(hosts)), map[string]int{}
	for i, h := range hosts {
		if h.Found == nil {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(h.Found.Addresses), func(a netip.Addr) bool { return !a.Is4() })
		given, err := netip.ParseAddr(h.Address)
		if len(of) == 0 || err == nil && slices.Contains(h.Found.Addresses, given.Unmap()) || err != nil && len(of) == 1 {
			continue
		}
		list[i] = of[0].String()
		times[list[i]]++
	}
	for i, a := range list {
		if times[a] > 1 { // every one behind a router of its own: it cannot be the one
			list[i] = ""
		}
	}
	return list
}

// remarks are what was found of a host, each for a line. inside is what the file says of how others reach it, and may be empty; moved says that it is no control plane because it is
// too small.
func (h Host) remarks(inside string, controlPlane, moved bool) []string {
	var list []string
	if f := h.Found; f != nil {
		processors := fmt.Sprintf("%d processors", f.CPUs)
		if f.CPUs == 1 {
			processors = "1 processor"
		}
		list = append(list, fmt.Sprintf("%s, Linux %s, %s, %s, %s of memory.", cmp.Or(f.OS.Name, "An unknown distribution"), f.Kernel, f.Arch, processors, units.BytesSize(float64(f.Memory))))
		given, err := netip.ParseAddr(h.Address)
		switch has := addresses(f.Addresses); {
		case err == nil && !slices.Contains(f.Addresses, given.Unmap()) && inside == "":
			list = append(list, fmt.Sprintf("It is not known by which address others reach it: %s is none of its own, it has %s. Say internalAddresses.", h.Address, has))
		case err == nil && inside != "":
			list = append(list, fmt.Sprintf("%s is none of its own addresses: it has %s.", h.Address, has))
		case inside != "":
			list = append(list, fmt.Sprintf("It has several addresses: %s.", has))
		}
	}
	needs := fmt.Sprintf("a control plane needs %d processors and %s of memory", leastCPUs, units.BytesSize(leastMemory))
	switch {
	case controlPlane && h.small():
		list = append(list, "It is too small: "+needs+".")
	case moved:
		list = append(list, "It came first, and is too small for that: "+needs+".")
	}
	if w := h.Warning(); w != "" {
		list = append(list, w)
	}
	for i := range list {
		list[i] = oneLine(list[i])
	}
	return list
}

func addresses(list []netip.Addr) string {
	if len(list) == 0 {
		return "none"
	}
	var texts []string
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// Warning is what stands in the way of having a host in a cluster, as far as it was looked at: a sentence, or nothing.
func (h Host) Warning() string {
	switch f := h.Found; {
	case h.Silent != "":
		return oneLine("It did not answer: " + h.Silent)
	case f == nil:
	case f.Identity.Cluster != "":
		return oneLine(fmt.Sprintf("It belongs to the cluster %s (%s) already; \"kubewright reset\" with that cluster's file makes it free.", f.Identity.ClusterName, f.Identity.Cluster))
	case len(f.Carries) > 0:
		return oneLine(fmt.Sprintf("It already runs %s; a cluster wants fresh hosts.", strings.Join(f.Carries, ", ")))
	}
	return ""
}

// oneLine is a text of hosts as a comment may have it.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}
