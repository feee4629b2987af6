package kubelet

import (
	"fmt"
	"maps"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// configuration is config.yaml: a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
func configuration(in Input, h v1alpha1.Host, f facts.Host) (string, error) {
	own := common(in.Cluster)
	maps.Copy(own, ofHost(f))
	own["containerRuntimeEndpoint"] = in.RuntimeEndpoint // kubeadm puts it in from instance-config.yaml
	all := merge(own, in.Cluster.Kubelet.Config)
	if in.Cluster.Standalone(h) {
		all = alone(all)
	}
	return written(all)
}

// Configuration is what all kubelets have alike, as kubeadm keeps it in the ConfigMap kubelet-config for nodes that join by it.
func Configuration(c *cluster.Cluster) (string, error) {
	return written(merge(common(c), c.Kubelet.Config))
}

func written(config map[string]any) (string, error) {
	b, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("writing the configuration of the kubelet: %w", err)
	}
	return string(b), nil
}

// common is what kubeadm 1.37 writes (kubeletConfig.Default in cmd/kubeadm/app/componentconfigs/kubelet.go), but for fields that say the default, and what the cluster file
// asks for.
func common(c *cluster.Cluster) map[string]any {
	config := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": resource.PKIDir + "/ca.crt"},
		},
		"authorization":      map[string]any{"mode": "Webhook"},
		"cgroupDriver":       "systemd",
		"clusterDNS":         c.ClusterDNS(),
		"clusterDomain":      c.Network.DNSDomain,
		"healthzBindAddress": "127.0.0.1",
		"healthzPort":        10248,
		"rotateCertificates": true,
		"staticPodPath":      staticpod.Dir,
		// kubeadm leaves kubelets serve by certificates of their own making, which nobody can verify.
		"serverTLSBootstrap": true,
		"maxPods":            c.Kubelet.MaxPods,
	}
	for name, values := range map[string]map[string]string{
		"systemReserved": c.Kubelet.SystemReserved, "kubeReserved": c.Kubelet.KubeReserved, "evictionHard": c.Kubelet.EvictionHard,
	} {
		if len(values) > 0 {
			config[name] = values
		}
	}
	if len(c.Kubelet.EvictionHard) > 0 {
		config["mergeDefaultEvictionSettings"] = true // signals that are not named keep their thresholds
	}
	if *c.HostPreparation.Swap {
		// Swap may stay, for what is no Pod; those may use it by swapBehavior: LimitedSwap.
		config["failSwapOn"] = false
		config["memorySwap"] = map[string]any{"swapBehavior": "NoSwap"}
	}
	return config
}

// ofHost is what depends on the machine.
func ofHost(f facts.Host) map[string]any {
	config := map[string]any{}
	if f.Cgroup == 1 {
		config["failCgroupV1"] = false // kubelets refuse it since 1.35
	}
	if !f.RaisePriority {
		config["oomScoreAdj"] = 0 // it would try for -999 for ever
	}
	if f.Resolver {
		// /etc/resolv.conf names an address on loopback, where Pods would ask themselves (mutateResolverConfig in cmd/kubeadm/app/componentconfigs/kubelet_unix.go).
		config["resolvConf"] = "/run/systemd/resolve/resolv.conf"
	}
	return config
}

// alone is a configuration for a kubelet that stands alone: it has no API to ask who somebody is and what he may do, so it listens on loopback alone, and does what whoever has a certificate of the
// cluster's authority says (https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/setup-ha-etcd-with-kubeadm/, where nobody is asked for one). Nobody would sign it one to serve by, so
// it makes its own.
func alone(config map[string]any) map[string]any {
	config = maps.Clone(config)
	for _, field := range []string{"authentication", "authorization", "clusterDNS", "clusterDomain", "rotateCertificates", "serverTLSBootstrap"} {
		delete(config, field)
	}
	maps.Copy(config, map[string]any{
		"address": "127.0.0.1",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": false},
			"x509":      map[string]any{"clientCAFile": resource.PKIDir + "/ca.crt"},
		},
		"authorization": map[string]any{"mode": "AlwaysAllow"},
		"enableServer":  true,
		"readOnlyPort":  0,
	})
	return config
}

// merge puts some fields over others: of maps each field, of anything else the whole.
func merge(own, over map[string]any) map[string]any {
	merged := maps.Clone(own)
	for name, value := range over {
		inner, isMap := value.(map[string]any)
		if below, both := asMap(merged[name]); isMap && both {
			value = merge(below, inner)
		}
		merged[name] = value
	}
	return merged
}

// asMap is a value as a map of any, if it is one.
func asMap(value any) (map[string]any, bool) {
	switch m := value.(type) {
	case map[string]any:
		return m, true
	case map[string]string:
		all := map[string]any{}
		for k, v := range m {
			all[k] = v
		}
		return all, true
	}
	return nil, false
}
