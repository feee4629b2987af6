package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Where Kubewright leaves the inventory.
const (
	inventoryNamespace = "kube-system"
	inventoryName      = "kubewright-inventory"
	inventoryKey       = "nodes.json"
)

// inventory says which nodes there are, by name, and what each may call itself.
type inventory map[string]node

type node struct {
	addresses map[netip.Addr]bool
	dnsNames  map[string]bool
}

// parseInventory reads {"nodes":[{"name":"w1","addresses":["10.0.1.1"],"dnsNames":["w1"]}]}. What it does not know it skips: a newer Kubewright may
// say more. One that is damaged allows nothing.
func parseInventory(text string) (inventory, error) {
	var list struct {
		Nodes []struct {
			Name      string   `json:"name"`
			Addresses []string `json:"addresses"`
			DNSNames  []string `json:"dnsNames"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	inv := inventory{}
	for _, l := range list.Nodes {
		if l.Name == "" {
			return nil, errors.New("a node has no name")
		}
		if _, twice := inv[l.Name]; twice {
			return nil, fmt.Errorf("there are two nodes %q", l.Name)
		}
		n := node{addresses: map[netip.Addr]bool{}, dnsNames: map[string]bool{}}
		for _, a := range l.Addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				return nil, fmt.Errorf("node %q: %w", l.Name, err)
			}
			n.addresses[addr] = true
		}
		for _, d := range l.DNSNames {
			n.dnsNames[d] = true
		}
		inv[l.Name] = n
	}
	return inv, nil
}
