package etcd

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// pod is a member as kubeadm 1.37 runs it (GetEtcdPodSpec in cmd/kubeadm/app/phases/etcd/local.go), with flags.
func pod(c *cluster.Cluster, e cluster.EtcdCluster, h v1alpha1.Host, own map[string]string, image string) corev1.Pod {
	annotations := map[string]string{}
	if !e.Events() { // by which kubeadm finds members of the main one
		annotations["kubeadm.kubernetes.io/etcd.advertise-client-urls"] = e.ClientURL(h)
	}
	asked := staticpod.Endpoint{Scheme: corev1.URISchemeHTTP, Host: cluster.LoopbackOf(h)}
	return staticpod.Pod(corev1.Container{
		Name:           e.Name,
		Command:        staticpod.Command("etcd", own, c.Etcd.ExtraArgs),
		Image:          image,
		Resources:      staticpod.Requests(map[corev1.ResourceName]string{corev1.ResourceCPU: "100m", corev1.ResourceMemory: "100Mi"}),
		LivenessProbe:  asked.Liveness("/livez"),
		ReadinessProbe: asked.Readiness("/readyz"),
		StartupProbe:   asked.Startup("/readyz"),
		Ports:          staticpod.Port(int32(e.MetricsPort)),
	}, []staticpod.Mount{
		{Name: "etcd-data", Path: e.DataDir, Type: corev1.HostPathDirectoryOrCreate, Writable: true},
		{Name: "etcd-certs", Path: pkiDir, Type: corev1.HostPathDirectoryOrCreate, Writable: true},
	}, annotations)
}

// manifest is the file of a Pod. An image of the same name with other content is another Pod.
func manifest(pod corev1.Pod, socket string, image bundle.Part) (resource.File, resource.Probe, error) {
	return staticpod.Manifest(pod, socket, image.Digest)
}

// flags are kubeadm's (getEtcdCommand), and what the cluster file says of room and old revisions. Joins are all members of the cluster that it comes to; empty if there is none yet.
func flags(c *cluster.Cluster, e cluster.EtcdCluster, h v1alpha1.Host, found facts.Etcd, joins string) (map[string]string, error) {
	flags := map[string]string{
		"name":                           h.Name,
		"listen-client-urls":             e.LocalURL(h) + "," + e.ClientURL(h),
		"advertise-client-urls":          e.ClientURL(h),
		"listen-peer-urls":               e.PeerURL(h),
		"initial-advertise-peer-urls":    e.PeerURL(h),
		"data-dir":                       e.DataDir,
		"cert-file":                      file(e, "server.crt"),
		"key-file":                       file(e, "server.key"),
		"trusted-ca-file":                pkiDir + "/ca.crt",
		"client-cert-auth":               "true",
		"peer-cert-file":                 file(e, "peer.crt"),
		"peer-key-file":                  file(e, "peer.key"),
		"peer-trusted-ca-file":           pkiDir + "/ca.crt",
		"peer-client-cert-auth":          "true",
		"snapshot-count":                 "10000",
		"listen-metrics-urls":            e.MetricsURL(h),
		"feature-gates":                  "InitialCorruptCheck=true",
		"watch-progress-notify-interval": "5s",
		// kubeadm's first member is alone, and others join it one by one; these start at once.
		"initial-cluster": initialCluster(e),
	}
	own, err := OwnFlags(c)
	if err != nil {
		return nil, err
	}
	maps.Copy(flags, own)
	if e.Events() {
		flags["initial-cluster-token"] = e.Name // what came of the same first members has other IDs by it
	}
	switch {
	case found.Log && found.InitialCluster != "": // it counts only while there is no data, and any other byte would start the member anew
		flags["initial-cluster"] = found.InitialCluster
		if found.InitialClusterState != "" {
			flags["initial-cluster-state"] = found.InitialClusterState
		}
	case joins != "":
		flags["initial-cluster"], flags["initial-cluster-state"] = joins, "existing"
	}
	return flags, nil
}

// OwnFlags are those that kubeadm leaves to etcd: it has room for 2 GiB, and the API server alone compacts. They are the same on all hosts.
func OwnFlags(c *cluster.Cluster) (map[string]string, error) {
	quota, err := quantity.ParseQuantity(c.Etcd.Quota)
	if err != nil {
		return nil, fmt.Errorf("etcd.quota is %q: %w", c.Etcd.Quota, err)
	}
	return map[string]string{
		"quota-backend-bytes":       strconv.FormatInt(quota.Value(), 10),
		"auto-compaction-mode":      c.Etcd.CompactionMode,
		"auto-compaction-retention": c.Etcd.CompactionRetention,
	}, nil
}

// initialCluster are all members and where they find each other.
func initialCluster(e cluster.EtcdCluster) string {
	var members []string
	for _, h := range e.Hosts {
		members = append(members, h.Name+"="+e.PeerURL(h))
	}
	return strings.Join(members, ",")
}

// answers asks a member whether it is ready, which it is only with most of the others.
func answers(e cluster.EtcdCluster, h v1alpha1.Host) resource.Probe {
	return resource.HTTPAnswers{Name: e.Name, URL: e.MetricsURL(h) + "/readyz"}
}
