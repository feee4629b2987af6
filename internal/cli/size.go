package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubewright/kubewright/internal/sizing"
)

// sizeFlags are what is asked.
type sizeFlags struct {
	nodes, pods                                int
	worker, kubeReserved, systemReserved, evic map[string]string
	output                                     string
}

func newSize() *cobra.Command {
	f := &sizeFlags{}
	c := &cobra.Command{
		Use:   "size",
		Short: "Say what machines and address ranges a cluster wants",
		Long: `Says how many control planes a cluster of so many nodes wants, what they and etcd's disk have at least, and how large the ranges of Pods' addresses are, with room
for twice as many nodes. The figures are those of etcd's and Kubernetes' own documentation; what a cluster does with them depends on what runs on it.

With --worker it says, too, what a worker has left for Pods after what is kept for the system, for Kubernetes and before eviction.`,
		Example: "  kubewright size --nodes 200\n  kubewright size --nodes 50 --pods 30 --output json\n" +
			"  kubewright size --nodes 20 --worker cpu=32,memory=64Gi,disk=100Gi --kube-reserved cpu=1,memory=2Gi,disk=1Gi \\\n    --system-reserved cpu=1,memory=1Gi,disk=1Gi --eviction memory=500Mi,disk=10%",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.output != "text" && f.output != "json" {
				return usageError{fmt.Errorf("--output %q: want text or json", f.output)}
			}
			s, err := sizing.For(f.nodes, f.pods)
			if err != nil {
				return usageError{err}
			}
			left, err := f.left()
			if err != nil {
				return usageError{err}
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), struct {
					sizing.Size
					Allocatable map[string]string `json:"allocatable,omitempty"`
				}{s, left})
			}
			return showSize(c.OutOrStdout(), s, f.pods, left)
		},
	}
	p := c.Flags()
	p.IntVar(&f.nodes, "nodes", 0, fmt.Sprintf("how many nodes, control planes counted, 1 to %d", sizing.MaxNodes))
	p.IntVar(&f.pods, "pods", 110, "how many Pods a node carries at most, 1 to 1000")
	p.StringToStringVar(&f.worker, "worker", nil, "what a worker has: cpu, memory and disk")
	p.StringToStringVar(&f.kubeReserved, "kube-reserved", nil, "what it keeps for Kubernetes, as kubelet.kubeReserved in the cluster file")
	p.StringToStringVar(&f.systemReserved, "system-reserved", nil, "what it keeps for the system, as kubelet.systemReserved")
	p.StringToStringVar(&f.evic, "eviction", map[string]string{"memory": "100Mi", "disk": "10%"}, "what it keeps free by evicting Pods, as kubelet.evictionHard")
	p.StringVarP(&f.output, "output", "o", "text", "text, or json on standard output")
	return c
}

// diskResource is how Kubernetes calls what a node has of its disk for Pods.
const diskResource = "ephemeral-storage"

// left is what a worker has for Pods, by resource; nil if nobody asked.
func (f *sizeFlags) left() (map[string]string, error) {
	if len(f.worker) == 0 {
		return nil, nil
	}
	has, err := quantities("--worker", f.worker, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"cpu", "memory", diskResource} {
		if _, said := has[name]; !said {
			return nil, errors.New("--worker: want cpu, memory and disk")
		}
	}
	n := sizing.Node{CPU: has["cpu"], Memory: has["memory"], Disk: has[diskResource]}
	if n.KubeReserved, err = quantities("--kube-reserved", f.kubeReserved, nil); err != nil {
		return nil, err
	}
	if n.SystemReserved, err = quantities("--system-reserved", f.systemReserved, nil); err != nil {
		return nil, err
	}
	thresholds, err := quantities("--eviction", f.evic, has)
	if err != nil {
		return nil, err
	}
	n.EvictionMemory, n.EvictionDisk = thresholds["memory"], thresholds[diskResource]
	cpu, memory, disk, err := n.Allocatable()
	if err != nil {
		return nil, err
	}
	return map[string]string{"cpu": cpu.String(), "memory": memory.String(), diskResource: disk.String()}, nil
}

// quantities are amounts by resource. Percentages are of something, where there is something.
func quantities(flag string, said map[string]string, of map[string]resource.Quantity) (map[string]resource.Quantity, error) {
	list := map[string]resource.Quantity{}
	for name, text := range said {
		if name == "disk" {
			name = diskResource
		}
		if !slices.Contains([]string{"cpu", "memory", diskResource}, name) {
			return nil, fmt.Errorf("%s: there is no %q; want cpu, memory or disk", flag, name)
		}
		percent, isPercent := strings.CutSuffix(text, "%")
		if whole, known := of[name]; isPercent && known {
			p, err := strconv.ParseFloat(percent, 64)
			if err != nil || p < 0 || p > 100 {
				return nil, fmt.Errorf("%s: %s=%s: want an amount such as 500Mi, or a percentage", flag, name, text)
			}
			list[name] = *resource.NewQuantity(int64(float64(whole.Value())*p/100), whole.Format)
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return nil, fmt.Errorf("%s: %s=%s: want an amount such as 2, 500m or 1Gi", flag, name, text)
		}
		list[name] = q
	}
	return list, nil
}

func showSize(w io.Writer, s sizing.Size, pods int, left map[string]string) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s, with at most %s each", count(s.Nodes, "node"), count(pods, "Pod"))
	line("  control planes   %d, each with %d processors and %d GB of memory or more", s.ControlPlanes, s.ControlPlane.CPUs, s.ControlPlane.Memory)
	disk := fmt.Sprintf("%d GB of SSD that takes %d writes a second one after the other, and %d MB/s", s.Etcd.Size, s.Etcd.IOPS, s.Etcd.Bandwidth)
	if s.EtcdHosts == 0 {
		line("  etcd             on the control planes, whose disk for it has %s", disk)
	} else {
		line("  etcd             on %d hosts of its own, each with %d processors, %d GB of memory, and %s", s.EtcdHosts, s.Etcd.CPUs, s.Etcd.Memory, disk)
	}
	if len(left) > 0 {
		line("  a worker's Pods  %s processors, %s of memory, %s of disk", left["cpu"], left["memory"], left[diskResource])
	}
	line("\nIn the cluster file, with room for twice as many nodes:\n\n  network: {podRanges: [%s], nodeMask: %d}\n  kubelet: {maxPods: %d}", s.PodRange, s.NodeMask, pods)
	_, err := io.WriteString(w, b.String())
	return err
}
