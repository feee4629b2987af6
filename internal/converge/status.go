package converge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Health is what is known of something.
type Health string

// The healths.
const (
	Well  Health = "well"
	Wrong Health = "wrong"
	// NotKnown is of what nobody could be asked for, which may be well.
	NotKnown Health = "unknown"
)

// Status is how a cluster is. As JSON its fields stay as they are; new ones may come.
type Status struct {
	// Cluster is its name.
	Cluster string    `json:"cluster"`
	Time    time.Time `json:"time"`
	// Well says that nothing is wrong, as far as is known, and that what matters is known; warnings do not count.
	Well bool `json:"well"`
	// Findings are what is wrong and what to do, worst first.
	Findings []Finding `json:"findings"`
	// Nodes are the hosts of the file that are nodes, in its order, and nodes of no host in it after them.
	Nodes []NodeStatus `json:"nodes"`
	// ControlPlanes are the hosts with that role.
	ControlPlanes []ControlPlaneStatus `json:"controlPlanes"`
	Etcd          EtcdStatus           `json:"etcd"`
	// EtcdEvents is the etcd for events; nil if there is to be none.
	EtcdEvents *EtcdStatus    `json:"etcdEvents,omitempty"`
	Endpoint   EndpointStatus `json:"endpoint"`
	// Certificates are all that lie on hosts, by host and path.
	Certificates []CertificateStatus `json:"certificates"`
	// Versions are those of Kubernetes that run, lowest first.
	Versions []VersionStatus `json:"versions"`
	Addons   []AddonStatus   `json:"addons"`
	// Requests for certificates wait to be approved or denied.
	Requests []resource.RequestFound `json:"requests"`
}

// Finding is something that is wrong, or may become so.
type Finding struct {
	// Severity is wrong or warning.
	Severity Severity `json:"severity"`
	// Kind of what is wrong; may be empty.
	Kind plan.Kind `json:"kind,omitempty"`
	// Host that it is about; empty if it is about the cluster.
	Host    string `json:"host,omitempty"`
	Message string `json:"message"`
	// Remedy is what to do.
	Remedy string `json:"remedy"`
}

// Severity of a finding.
type Severity string

// The severities.
const (
	SevereWrong   Severity = "wrong"
	SevereWarning Severity = "warning"
)

// NodeStatus is how a node is.
type NodeStatus struct {
	// Name of the node, which is that of the host.
	Name  string `json:"name"`
	State Health `json:"state"`
	// Why it is not well, or not known.
	Why string `json:"why,omitempty"`
	// Address by which the host is reached; empty if it is not in the cluster file.
	Address string   `json:"address,omitempty"`
	Roles   []string `json:"roles,omitempty"`
	// Version of its kubelet, Runtime and Cordoned are as the API says.
	Version  string `json:"version,omitempty"`
	Runtime  string `json:"runtime,omitempty"`
	Cordoned bool   `json:"cordoned,omitempty"`
}

// ControlPlaneStatus is how the programs of a control plane are.
type ControlPlaneStatus struct {
	Host              string        `json:"host"`
	APIServer         ProgramStatus `json:"apiServer"`
	ControllerManager ProgramStatus `json:"controllerManager"`
	Scheduler         ProgramStatus `json:"scheduler"`
}

// ProgramStatus is how one program is.
type ProgramStatus struct {
	State   Health `json:"state"`
	Why     string `json:"why,omitempty"`
	Version string `json:"version,omitempty"` // of its image
}

// EtcdStatus is how etcd is.
type EtcdStatus struct {
	// External says that it is the user's own: members are what answers at its endpoints, and have no host of the cluster.
	External bool           `json:"external,omitempty"`
	Members  []MemberStatus `json:"members"`
	// Quorum is well if etcd takes writes, and wrong if it cannot.
	Quorum Health `json:"quorum"`
	// Voters are members that count, Healthy those of them that are known to be well, MayFail how many of these may fail before there is no quorum.
	Voters  int `json:"voters"`
	Healthy int `json:"healthy"`
	MayFail int `json:"mayFail"`
	// Alarms that are raised: "NOSPACE", "CORRUPT".
	Alarms []string `json:"alarms,omitempty"`
}

// MemberStatus is how the member of a host is, or the one at an endpoint of the user's etcd.
type MemberStatus struct {
	Host    string `json:"host"` // or the endpoint
	State   Health `json:"state"`
	Why     string `json:"why,omitempty"`
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	Leader  bool   `json:"leader,omitempty"`
	Learner bool   `json:"learner,omitempty"`
	// Size of the database, and what it may become, in bytes.
	Size  int64 `json:"size,omitempty"`
	Quota int64 `json:"quota,omitempty"`
}

// EndpointStatus is how the API is found.
type EndpointStatus struct {
	Kind v1alpha1.EndpointKind `json:"kind"`
	// Address is name and port.
	Address string `json:"address"`
	// Balancers are those on hosts.
	Balancers []BalancerStatus `json:"balancers"`
	// Public is the address and port that people are led to; empty if it has none of its own.
	Public string `json:"public,omitempty"`
	// Holders are the hosts that have an address that wanders: one, if all is well.
	Holders []string `json:"holders,omitempty"`
	// Ways to that address are well if an API server answers there, as seen from a host that is led to it, or from control planes if none is.
	Ways []BalancerStatus `json:"ways,omitempty"`
}

// BalancerStatus is how the balancer of a host is: well if an API server answers through it.
type BalancerStatus struct {
	Host  string `json:"host"`
	State Health `json:"state"`
	Why   string `json:"why,omitempty"`
}

// CertificateStatus is a certificate on a host: wrong if it has run out or cannot be read.
type CertificateStatus struct {
	Host  string `json:"host"`
	State Health `json:"state"`
	// Near says that it is near its end.
	Near bool `json:"near,omitempty"`
	resource.CertificateFound
}

// VersionStatus is who runs a version of Kubernetes.
type VersionStatus struct {
	Version string `json:"version"`
	// Of is who: "kubelet on w1".
	Of []string `json:"of"`
}

// AddonStatus is how something is that Kubewright has run in the cluster.
type AddonStatus struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	State     Health `json:"state"`
	Why       string `json:"why,omitempty"`
}

// seen is all that was found out.
type seen struct {
	cluster *cluster.Cluster
	now     time.Time
	hosts   map[string]facts.Host
	missing map[string]string         // why others did not answer
	found   map[string]resource.Found // by host
	unwell  map[string]map[string]string
	lost    map[string]string // why a host that answered said no more
	// asked is the host that asked the API; empty if none could.
	asked  string
	api    resource.Found
	addons map[string]string
	// why nobody could ask the API.
	silent string
}

// lookTime is how long hosts may take to say how they are.
const lookTime = 40 * time.Second

// Status looks at everything, without locks. What does not answer is told as that, and everything else all the same.
func (s *Session) Status(ctx context.Context) (Status, error) {
	v := seen{now: time.Now(), found: map[string]resource.Found{}, unwell: map[string]map[string]string{}, lost: map[string]string{}}
	v.hosts, v.missing = s.Facts()
	v.cluster = complete(s.o.Cluster, v.hosts)
	var mu sync.Mutex
	err := s.fleet.each(ctx, func(m *member) {
		name := m.host.Name
		h := v.cluster.Host(name)
		if _, answered := v.hosts[name]; !answered || h == nil {
			return
		}
		found, unwell, err := s.lookAt(ctx, v.cluster, *h)
		mu.Lock()
		defer mu.Unlock()
		v.found[name], v.unwell[name] = found, unwell
		if err != nil {
			v.lost[name] = err.Error()
		}
	})
	if err != nil {
		return Status{}, err
	}
	s.lookAtCluster(ctx, &v)
	return v.status(), ctx.Err()
}

// lookAt asks a host how what it carries is.
func (s *Session) lookAt(ctx context.Context, c *cluster.Cluster, h v1alpha1.Host) (found resource.Found, unwell map[string]string, err error) {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	client, err := s.fleet.connected(limited, h.Name)
	if err != nil {
		return found, nil, err
	}
	reports, probes := reportsOf(c, h)
	if found, err = client.Look(limited, reports); err != nil {
		return found, nil, err
	}
	unwell, err = client.Check(limited, probes)
	if unwell != nil {
		err = nil // what will not pass by waiting is among them
	}
	return found, unwell, err
}

// reportsOf are what is to be known of a host.
func reportsOf(c *cluster.Cluster, h v1alpha1.Host) (reports []resource.Report, probes []resource.Probe) {
	reports = append(reports, resource.CertificatesReport{})
	probes = append(probes, resource.UnitActive{Name: kubeletUnit}, resource.UnitActive{Name: runtime.Unit(c)})
	carries := func(list []v1alpha1.Host) bool {
		return slices.ContainsFunc(list, func(o v1alpha1.Host) bool { return o.Name == h.Name })
	}
	for _, e := range c.EtcdClusters() {
		if e.Carries(h.Name) {
			reports = append(reports, etcd.Report(e, h))
		}
	}
	if c.Etcd.External.Wanted() && slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		reports = append(reports, etcd.ExternalReport(c))
	}
	if carries(c.Keepers()) {
		reports = append(reports, resource.StaticPodsReport{Socket: runtime.Endpoint(c)})
	}
	if c.Balancer(h) {
		probes = append(probes, loadbalancer.Probes(c, h)...)
	}
	if asksEndpoint(c, h) {
		probes = append(probes, loadbalancer.Way(c))
	}
	return reports, probes
}

// kubeletUnit is the unit of the kubelet, as everywhere.
const kubeletUnit = "kubelet.service"

// lookAtCluster asks the API, by the first control plane that can.
func (s *Session) lookAtCluster(ctx context.Context, v *seen) {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var failed []string
	for _, h := range answering(v.cluster, v.hosts) {
		if v.lost[h.Name] != "" {
			failed = append(failed, h.Name+": "+v.lost[h.Name])
			continue
		}
		client, err := s.fleet.connected(limited, h.Name)
		if err == nil {
			api := resource.API{Servers: v.cluster.APIServers(h.Name)}
			var probes []resource.Probe
			for _, w := range workloads(v.cluster, api) {
				probes = append(probes, w)
			}
			v.api, err = client.Look(limited, []resource.Report{resource.NodesReport{API: api}, resource.RequestsReport{API: api}})
			if err == nil {
				var unwell error
				if v.addons, unwell = client.Check(limited, probes); v.addons == nil && unwell != nil {
					err = unwell
				}
			}
		}
		if err == nil {
			v.asked = h.Name
			return
		}
		failed = append(failed, h.Name+": "+err.Error())
	}
	if len(failed) == 0 {
		failed = unready(v.cluster, v.hosts, v.missing)
	}
	v.silent = "no API server could be asked: " + strings.Join(failed, "; ")
}

// workloads are what Kubewright has run in the cluster.
func workloads(c *cluster.Cluster, api resource.API) []resource.Rollout {
	var list []resource.Rollout
	add := func(kind, namespace, name string) {
		list = append(list, resource.Rollout{API: api, Kind: kind, Namespace: namespace, Name: name})
	}
	if !c.KubeProxy.Disabled {
		add("DaemonSet", "kube-system", "kube-proxy")
	}
	if c.Network.Plugin == v1alpha1.Flannel {
		add("DaemonSet", "kube-flannel", "kube-flannel-ds")
	}
	if !c.Addons.CoreDNS.Disabled {
		add("Deployment", "kube-system", "coredns")
	}
	if !c.Addons.MetricsServer.Disabled {
		add("Deployment", "kube-system", "metrics-server")
	}
	add("Deployment", "kube-system", "kubewright-approver")
	return list
}

// silence says why a host does not say how it is; nothing if it does.
func (v *seen) silence(host string) string {
	if _, answered := v.hosts[host]; !answered {
		return fmt.Sprintf("the host does not answer: %s", strings.TrimPrefix(v.missing[host], host+": "))
	}
	if why := v.lost[host]; why != "" {
		return "the host answers no more: " + strings.TrimPrefix(why, host+": ")
	}
	return ""
}
