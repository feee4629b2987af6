// Package sizing says what machines and address ranges a cluster of so many nodes wants, and what a node has left for Pods. It calculates with tables of others, which
// it names, and looks at nothing.
package sizing

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"

	"k8s.io/apimachinery/pkg/api/resource"
)

// MaxNodes is the largest cluster that Kubernetes is tested with ("Considerations for large clusters" in its documentation).
const MaxNodes = 5000

// Machine is what a machine has at least.
type Machine struct {
	CPUs   int `json:"cpus"`
	Memory int `json:"memoryGB"` // gigabytes
}

// Disk is what a disk gives at least.
type Disk struct {
	Size      int `json:"sizeGB"`        // gigabytes
	IOPS      int `json:"iops"`          // operations a second, one after the other
	Bandwidth int `json:"bandwidthMBps"` // megabytes a second
}

// EtcdHost is a host of a member of etcd.
type EtcdHost struct {
	Machine
	Disk
}

// etcdHosts are by the nodes of the cluster: "Example hardware configurations" in etcd's documentation (v3.6, op-guide/hardware), which count small to extra large
// clusters by 50, 250, 1,000 and 3,000 nodes.
var etcdHosts = []struct {
	nodes int
	EtcdHost
}{
	{50, EtcdHost{Machine{2, 8}, Disk{50, 1500, 25}}},
	{250, EtcdHost{Machine{4, 16}, Disk{150, 4500, 75}}},
	{1000, EtcdHost{Machine{8, 32}, Disk{250, 7500, 125}}},
	{MaxNodes, EtcdHost{Machine{16, 64}, Disk{500, 15000, 250}}},
}

// controlPlanes are by the nodes of the cluster: what kube-up gave them on Google Compute Engine, which Kubernetes' documentation listed as "Size of master and
// master components" until v1.22. Kubewright's own least is two processors, as kubeadm's.
var controlPlanes = []struct {
	nodes int
	Machine
}{
	{10, Machine{2, 8}},
	{100, Machine{4, 16}},
	{250, Machine{8, 32}},
	{500, Machine{16, 64}},
	{MaxNodes, Machine{32, 128}},
}

// stackedNodes is up to how many nodes members of etcd live well beside API servers. With more, both want the memory and the disk at the same moments.
const stackedNodes = 500

// Size is what a cluster wants.
type Size struct {
	Nodes int `json:"nodes"`
	// ControlPlanes and EtcdHosts are how many; no hosts of etcd's own are 0: its members are on control planes, which want the disk and the memory of both.
	ControlPlanes int      `json:"controlPlanes"`
	ControlPlane  Machine  `json:"controlPlane"`
	EtcdHosts     int      `json:"etcdHosts"`
	Etcd          EtcdHost `json:"etcd"`
	// NodeMask is the length of the prefix of each node's range of Pods; PodRange has room for twice as many nodes.
	NodeMask int          `json:"nodeMask"`
	PodRange netip.Prefix `json:"podRange"`
}

// For says what a cluster of so many nodes wants, control planes counted, each with at most so many Pods.
func For(nodes, podsPerNode int) (Size, error) {
	if nodes < 1 || nodes > MaxNodes {
		return Size{}, fmt.Errorf("%d nodes: want 1 to %d, which Kubernetes is tested with", nodes, MaxNodes)
	}
	const mostPods = 1000
	if podsPerNode < 1 || podsPerNode > mostPods {
		return Size{}, fmt.Errorf("%d Pods on a node: want 1 to %d", podsPerNode, mostPods)
	}
	s := Size{Nodes: nodes, ControlPlanes: 3}
	if nodes < 3 {
		s.ControlPlanes = 1
	}
	for _, row := range controlPlanes {
		if s.ControlPlane = row.Machine; nodes <= row.nodes {
			break
		}
	}
	for _, row := range etcdHosts {
		if s.Etcd = row.EtcdHost; nodes <= row.nodes {
			break
		}
	}
	if nodes > stackedNodes {
		s.EtcdHosts = 5
	} else if s.ControlPlane.Memory < s.Etcd.Memory+4 { // beside an API server
		s.ControlPlane.Memory = s.Etcd.Memory + 4
	}
	// An address for each Pod and for those that are on their way out, as twice as many; network, gateway and broadcast addresses besides.
	s.NodeMask = 32 - bits.Len(uint(2*podsPerNode+3-1))
	nodeBits := bits.Len(uint(2*nodes - 1))
	length := s.NodeMask - nodeBits
	if length < 8 {
		return Size{}, fmt.Errorf("%d nodes with %d Pods each, and room for twice as many, are more addresses than 10.0.0.0/8 has", nodes, podsPerNode)
	}
	s.PodRange = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244}), min(length, 16)).Masked()
	return s, nil
}

// Node is what a node has, and what is kept of it.
type Node struct {
	CPU, Memory, Disk resource.Quantity
	// KubeReserved, SystemReserved and EvictionHard are as in the kubelet's configuration, by resource and by signal. A threshold may be a percentage.
	KubeReserved, SystemReserved map[string]resource.Quantity
	EvictionMemory, EvictionDisk resource.Quantity
}

// Allocatable is what is left for Pods: what there is, less what is reserved and what eviction keeps free (Kubernetes' documentation, "Node Allocatable").
func (n Node) Allocatable() (cpu, memory, disk resource.Quantity, err error) {
	left := func(there resource.Quantity, name string, threshold resource.Quantity) resource.Quantity {
		q := there.DeepCopy()
		q.Sub(n.KubeReserved[name])
		q.Sub(n.SystemReserved[name])
		q.Sub(threshold)
		return q
	}
	cpu = left(n.CPU, "cpu", resource.Quantity{})
	memory = left(n.Memory, "memory", n.EvictionMemory)
	disk = left(n.Disk, "ephemeral-storage", n.EvictionDisk)
	if cpu.Sign() <= 0 || memory.Sign() <= 0 || disk.Sign() <= 0 {
		err = errors.New("more is kept than there is")
	}
	return cpu, memory, disk, err
}
