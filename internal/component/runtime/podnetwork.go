package runtime

import (
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

// What the kubelet is on a host, wherever it comes from.
const (
	kubeletUnit = "kubelet.service"
	kubeletRoot = "/var/lib/kubelet"
)

// podNetwork is what there may be of a network of Pods, whichever plugin and mode of kube-proxy made it: it is asked for when it shall go, and the cluster file may have
// said something else before.
func podNetwork(c *cluster.Cluster) resource.PodNetwork {
	return resource.PodNetwork{
		Links: []string{
			"cni0",                      // of plugin bridge
			"flannel.1", "flannel-v6.1", // backend vxlan of flannel
			"kube-ipvs0", // kube-proxy in mode ipvs
		},
		Ranges: c.Network.PodRanges, // with backend host-gw, and with directRouting
		Tables: []string{
			"ip kube-proxy", "ip6 kube-proxy", // kube-proxy in mode nftables
			"ip flannel-ipv4", "ip6 flannel-ipv6",
			"inet cni_plugins_masquerade", "inet cni_hostport", // plugins bridge and portmap
		},
		Chains:  []string{"KUBE-", "FLANNEL-", "CNI-"},                                 // the kubelet and kube-proxy, flannel, plugins bridge and portmap
		Cleanup: []string{bundle.ProgramPath("kubernetes"), "kube-proxy", "--cleanup"}, // IPVS and its sets of addresses
	}
}
