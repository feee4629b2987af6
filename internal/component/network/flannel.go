package network

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

//go:embed flannel.yaml
var flannelManifest string

func flannelObjects(in Input) ([]resource.KubeObject, error) {
	image, err := image(in.Bundle, "flannel")
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(flannelConfiguration(in.Cluster), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the configuration of flannel cannot be written as JSON: %w", err)
	}
	configuration := string(b) + "\n"
	return resource.ObjectsOf(in.API, Component, flannelManifest, map[string]any{
		"configuration": configuration,
		"digest":        resource.DigestOf([]byte(configuration)),
		"image":         image,
		"arguments":     flannelArguments(in.Cluster),
		"endpoint":      in.Cluster.Endpoint.Name,
		"port":          strconv.Itoa(in.Cluster.Cluster.APIServer.Port),
	})
}

func flannelArguments(c *cluster.Cluster) []string {
	arguments := []string{"--kube-subnet-mgr", "--iface=$(HOST_IP)"}
	if ranges := c.Network.PodRanges; len(ranges) == 2 && strings.Contains(ranges[0], ":") {
		arguments = append(arguments, "--public-ipv6=$(HOST_IP)") // with both families, --iface alone is of use for IPv4 (LookupExtIface in pkg/ipmatch)
	}
	if *c.Network.Masquerade {
		arguments = append(arguments, "--ip-masq")
	}
	return arguments
}

func flannelEnsures(in Input) []resource.Probe {
	return []resource.Probe{resource.Rollout{API: in.API, Kind: "DaemonSet", Namespace: "kube-flannel", Name: "kube-flannel-ds"}}
}

// flannelConfig is net-conf.json (pkg/subnet/config.go of flannel v0.28.4).
type flannelConfig struct {
	Network        string         `json:",omitempty"`
	IPv6Network    string         `json:",omitempty"`
	EnableIPv4     bool           // true if it is not said
	EnableIPv6     bool           `json:",omitempty"`
	EnableNFTables bool           // otherwise its rules are of iptables
	Backend        flannelBackend // Documentation/backends.md
}

type flannelBackend struct {
	Type          string
	Port          int  `json:",omitempty"`
	DirectRouting bool `json:",omitempty"`
	// MTU of the hosts' interfaces, which flannel takes overhead from.
	MTU int `json:",omitempty"`
}

// overhead in bytes that flannel counts for VXLAN (pkg/backend/vxlan/device.go).
const overhead = 50

func flannelConfiguration(c *cluster.Cluster) flannelConfig {
	n := c.Network
	// Rules are of the kind that kube-proxy's are of, so that one tool shows them all.
	config := flannelConfig{EnableNFTables: c.KubeProxy.Mode == v1alpha1.NFTables, Backend: flannelBackend{Type: n.Flannel.Backend}}
	for _, r := range n.PodRanges {
		if strings.Contains(r, ":") {
			config.EnableIPv6, config.IPv6Network = true, r
		} else {
			config.EnableIPv4, config.Network = true, r
		}
	}
	if n.Flannel.Backend == v1alpha1.VXLAN {
		config.Backend.Port, config.Backend.DirectRouting = n.Flannel.Port, n.Flannel.DirectRouting
		if n.MTU > 0 {
			config.Backend.MTU = n.MTU + overhead
		}
	}
	return config
}

// flannelFiles is what the runtime calls for each Pod: the plugin flannel reads what flanneld wrote on the node (/run/flannel/subnet.env) and has bridge do the work.
// flanneld masquerades, or nobody does: where it does not, the plugin would have bridge do so. The MTU is what flanneld found out, unless the cluster file says one.
func flannelFiles(in Input, _ v1alpha1.Host) []resource.Resource {
	mtu := ""
	if n := in.Cluster.Network; n.MTU > 0 {
		mtu = fmt.Sprintf(",\n        \"mtu\": %d", n.MTU)
	}
	return []resource.Resource{resource.Directory{Path: "/run/flannel", Purge: true}, resource.NewFile("/etc/cni/net.d/10-flannel.conflist", `{
  "cniVersion": "1.0.0",
  "name": "cbr0",
  "plugins": [
    {
      "type": "flannel",
      "delegate": {
        "hairpinMode": true,
        "isDefaultGateway": true,
        "ipMasq": false`+mtu+`
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
`)}
}
