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

// node is what the certificate of a node's kubelet may hold.
type node struct {
	Addresses []string `json:"addresses"`
	Names     []string `json:"names"`
}

// inventory are the nodes that there shall be, by name, in JSON with one node a line:
//
//	{
//	"cp1": {"addresses":["10.0.0.11"],"names":["cp1"]},
//	"w1": {"addresses":["10.0.0.21"],"names":["w1"]}
//	}
func inventory(c *cluster.Cluster) (string, error) {
	var lines []string
	for _, h := range c.Nodes() {
		name, err := json.Marshal(h.Name)
		if err != nil {
			return "", fmt.Errorf("the name of %s cannot be written as JSON: %w", h.Name, err)
		}
		n, err := json.Marshal(nodeOf(h))
		if err != nil {
			return "", fmt.Errorf("what is known of %s cannot be written as JSON: %w", h.Name, err)
		}
		lines = append(lines, string(name)+": "+string(n))
	}
	slices.Sort(lines)
	return "{\n" + strings.Join(lines, ",\n") + "\n}\n", nil
}

// nodeOf is what the cluster file says that a host is reached by. A cloud controller manager may tell the kubelet its public address, too.
func nodeOf(h v1alpha1.Host) node {
	n := node{Addresses: slices.Clone(h.InternalAddresses), Names: []string{h.Name}}
	if a, err := netip.ParseAddr(h.Address); err != nil {
		n.Names = append(n.Names, h.Address)
	} else {
		n.Addresses = append(n.Addresses, a.String())
	}
	slices.Sort(n.Addresses)
	slices.Sort(n.Names)
	return node{slices.Compact(n.Addresses), slices.Compact(n.Names)}
}
