package clusterobjects

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
)

// node is what the certificate of a node's kubelet may hold. The approver reads it (distro/approver).
type node struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	DNSNames  []string `json:"dnsNames"`
}

// inventory are the nodes that there shall be, by name, in JSON with one node a line, so that a new node is one line:
//
//	{"nodes":[
//	{"name":"cp1","addresses":["10.0.0.11"],"dnsNames":["cp1"]},
//	{"name":"w1","addresses":["10.0.0.21"],"dnsNames":["w1"]}
//	]}
func inventory(c *cluster.Cluster) (string, error) {
	var lines []string
	for _, h := range c.Nodes() {
		b, err := json.Marshal(nodeOf(h))
		if err != nil {
			return "", fmt.Errorf("what is known of %s cannot be written as JSON: %w", h.Name, err)
		}
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	return "{\"nodes\":[\n" + strings.Join(lines, ",\n") + "\n]}\n", nil
}

// nodeOf is what the cluster file says that a host is reached by. A cloud controller manager may tell the kubelet its public address, too.
func nodeOf(h v1alpha1.Host) node {
	names, addresses := []string{h.Name}, slices.Clone(h.InternalAddresses)
	if a, err := netip.ParseAddr(h.Address); err != nil {
		names = append(names, h.Address)
	} else {
		addresses = append(addresses, a.String())
	}
	slices.Sort(names)
	slices.Sort(addresses)
	return node{h.Name, slices.Compact(addresses), slices.Compact(names)}
}
