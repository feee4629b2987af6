package clusterobjects

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

// Program is what a program of the control plane has besides what kubeadm gives it. An upgrade by kubeadm writes its manifest anew, and takes this from kubeadm-config.
type Program struct {
	// Args are flags without dashes. Those of the cluster file are added here.
	Args map[string]string
	// Volumes are the host's files that it reads or writes. Of etcd kubeadm knows none.
	Volumes []Volume
}

// Volume is HostPathMount of kubeadm.k8s.io/v1beta4.
type Volume struct {
	Name      string `json:"name"`
	HostPath  string `json:"hostPath"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
	PathType  string `json:"pathType,omitempty"` // "File", "DirectoryOrCreate"
}

// Where kubeadm looks for images itself: of its own (imageRepository), and of CoreDNS.
const (
	repository    = "registry.k8s.io"
	dnsRepository = "registry.k8s.io/coredns"
)

// clusterConfiguration is ClusterConfiguration (kubeadm.k8s.io/v1beta4) in YAML, complete, as "kubeadm init" leaves it. Nothing in it is about a single worker.
func clusterConfiguration(in Input) (string, error) {
	c := in.Cluster
	apiServer := program(in.Programs["kube-apiserver"], c.Cluster.APIServer.ExtraArgs)
	if len(c.Cluster.APIServer.ExtraSANs) > 0 {
		apiServer["certSANs"] = c.Cluster.APIServer.ExtraSANs
	}
	dns := imageMeta(in.Bundle, "coredns", dnsRepository)
	if c.Addons.CoreDNS.Disabled {
		dns["disabled"] = true
	}
	proxy := map[string]any{}
	if c.KubeProxy.Disabled {
		proxy["disabled"] = true
	}
	b, err := yaml.Marshal(map[string]any{
		"apiVersion":                  "kubeadm.k8s.io/v1beta4",
		"kind":                        "ClusterConfiguration",
		"kubernetesVersion":           in.Bundle.Kubernetes,
		"clusterName":                 c.Name,
		"controlPlaneEndpoint":        c.EndpointAddress(),
		"networking":                  networking(c),
		"etcd":                        etcd(in),
		"apiServer":                   apiServer,
		"controllerManager":           program(in.Programs["kube-controller-manager"], c.ControllerManager.ExtraArgs),
		"scheduler":                   program(in.Programs["kube-scheduler"], c.Scheduler.ExtraArgs),
		"dns":                         dns,
		"proxy":                       proxy,
		"certificatesDir":             "/etc/kubernetes/pki",
		"imageRepository":             repository,
		"encryptionAlgorithm":         c.Certificates.Algorithm,
		"certificateValidityPeriod":   c.Certificates.Validity,
		"caCertificateValidityPeriod": c.Certificates.AuthorityValidity,
	})
	if err != nil {
		return "", fmt.Errorf("kubeadm's configuration of the cluster cannot be written: %w", err)
	}
	return string(b), nil
}

// etcd is what kubeadm knows of it: how the member beside an API server runs or, where no control plane carries one, how those on other hosts are asked.
func etcd(in Input) map[string]any {
	c := in.Cluster
	if e := c.Etcd.External; e.Wanted() {
		const dir = resource.ExternalEtcdDir
		return map[string]any{"external": map[string]any{"endpoints": e.Endpoints, "caFile": dir + "/ca.crt", "certFile": dir + "/client.crt", "keyFile": dir + "/client.key"}}
	}
	if !slices.ContainsFunc(c.With(v1alpha1.ControlPlane), c.HasMember) {
		var endpoints []string
		e := c.MainEtcd()
		for _, h := range e.Hosts {
			endpoints = append(endpoints, e.ClientURL(h))
		}
		return map[string]any{"external": map[string]any{
			"endpoints": endpoints, "caFile": resource.PKIDir + "/etcd/ca.crt",
			"certFile": resource.PKIDir + "/apiserver-etcd-client.crt", "keyFile": resource.PKIDir + "/apiserver-etcd-client.key",
		}}
	}
	local := imageMeta(in.Bundle, "etcd", repository)
	local["dataDir"] = c.Etcd.DataDir
	maps.Copy(local, program(Program{Args: in.Programs["etcd"].Args}, c.Etcd.ExtraArgs))
	return map[string]any{"local": local}
}

func networking(c *cluster.Cluster) map[string]any {
	return map[string]any{
		"dnsDomain":     c.Network.DNSDomain,
		"podSubnet":     strings.Join(c.Network.PodRanges, ","),
		"serviceSubnet": strings.Join(c.Network.ServiceRanges, ","),
	}
}

// program is ControlPlaneComponent: our flags, with the user's in place of those of the same name.
func program(p Program, users map[string]string) map[string]any {
	args := maps.Clone(p.Args)
	if args == nil {
		args = map[string]string{}
	}
	maps.Copy(args, users)
	var list []any
	for _, name := range slices.Sorted(maps.Keys(args)) {
		list = append(list, map[string]string{"name": name, "value": args[name]})
	}
	component := map[string]any{}
	if len(list) > 0 {
		component["extraArgs"] = list
	}
	if len(p.Volumes) > 0 {
		component["extraVolumes"] = p.Volumes
	}
	return component
}

// imageMeta is ImageMeta, where the bundle has another image than kubeadm names itself.
func imageMeta(b *bundle.Bundle, short, where string) map[string]any {
	meta := map[string]any{}
	p, found := b.Image(short)
	if !found {
		return meta // of which others speak: who runs it
	}
	if p.KubeadmTag != "" {
		_, meta["imageTag"], _ = strings.Cut(path.Base(p.Name), ":")
	}
	if dir := path.Dir(p.Name); dir != where {
		meta["imageRepository"] = dir
	}
	return meta
}
