package sizing

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		nodes, pods int
		want        Size
		podRange    string
	}{
		{1, 110, Size{ControlPlanes: 1, ControlPlane: Machine{2, 12}, Etcd: EtcdHost{Machine{2, 8}, Disk{50, 1500, 25}}, NodeMask: 24}, "10.244.0.0/16"},
		{50, 110, Size{ControlPlanes: 3, ControlPlane: Machine{4, 16}, Etcd: EtcdHost{Machine{2, 8}, Disk{50, 1500, 25}}, NodeMask: 24}, "10.244.0.0/16"},
		{51, 110, Size{ControlPlanes: 3, ControlPlane: Machine{4, 20}, Etcd: EtcdHost{Machine{4, 16}, Disk{150, 4500, 75}}, NodeMask: 24}, "10.244.0.0/16"},
		{203, 110, Size{ControlPlanes: 3, ControlPlane: Machine{8, 32}, Etcd: EtcdHost{Machine{4, 16}, Disk{150, 4500, 75}}, NodeMask: 24}, "10.244.0.0/15"},
		{500, 250, Size{ControlPlanes: 3, ControlPlane: Machine{16, 64}, Etcd: EtcdHost{Machine{8, 32}, Disk{250, 7500, 125}}, NodeMask: 23}, "10.240.0.0/13"},
		{5000, 30, Size{ControlPlanes: 3, ControlPlane: Machine{32, 128}, EtcdHosts: 5, Etcd: EtcdHost{Machine{16, 64}, Disk{500, 15000, 250}}, NodeMask: 26}, "10.240.0.0/12"},
	} {
		got, err := For(c.nodes, c.pods)
		if err != nil {
			t.Error(err)
		}
		if got.PodRange.String() != c.podRange {
			t.Errorf("%d nodes want the range %s; want %s", c.nodes, got.PodRange, c.podRange)
		}
		c.want.Nodes, c.want.PodRange = c.nodes, got.PodRange
		if got != c.want {
			t.Errorf("%d nodes want %+v; want %+v", c.nodes, got, c.want)
		}
	}
	for _, c := range [][2]int{{0, 110}, {5001, 110}, {10, 0}, {10, 1001}, {5000, 1000}} {
		if got, err := For(c[0], c[1]); err == nil {
			t.Errorf("%d nodes of %d Pods want %+v", c[0], c[1], got)
		}
	}
}

// The example of RKE's guide: a node of 32 processors, 64 GiB and 100 GiB.
func TestAllocatable(t *testing.T) {
	q := resource.MustParse
	reserved := map[string]resource.Quantity{"cpu": q("1"), "memory": q("2Gi"), "ephemeral-storage": q("1Gi")}
	n := Node{CPU: q("32"), Memory: q("64Gi"), Disk: q("100Gi"), KubeReserved: reserved,
		SystemReserved: map[string]resource.Quantity{"cpu": q("1"), "memory": q("1Gi"), "ephemeral-storage": q("1Gi")},
		EvictionMemory: q("500Mi"), EvictionDisk: q("10Gi")}
	cpu, memory, disk, err := n.Allocatable()
	if err != nil || cpu.Cmp(q("30")) != 0 || disk.Cmp(q("88Gi")) != 0 || memory.Cmp(q("61964Mi")) != 0 { // 60.5 GiB
		t.Errorf("%s, %s, %s, %v", cpu.String(), memory.String(), disk.String(), err)
	}
	n.Memory = q("3Gi")
	if _, _, _, err := n.Allocatable(); err == nil {
		t.Error("a node has less than nothing")
	}
}
