package converge

import (
	"errors"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	etcdcomponent "github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

var update = flag.Bool("update", false, "write the golden files anew")

const statusFile = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: cp1, address: 10.0.0.11, internalAddresses: [10.0.0.11], roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, internalAddresses: [10.0.0.12], roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, internalAddresses: [10.0.0.13], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: [10.0.0.21], roles: [worker]}
- {name: w2, address: 10.0.0.22, internalAddresses: [10.0.0.22], roles: [worker]}
`

var statusNow = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// world is what is seen of a cluster that is well; tests break it.
type world struct {
	seen
	nodes    []resource.NodeFound
	requests []resource.RequestFound
	pods     map[string][]resource.StaticPodFound
	members  map[string]etcd.Status
	certs    map[string][]resource.CertificateFound
}

func newWorld(t *testing.T) *world {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(statusFile))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		seen: seen{
			cluster: &cluster.Cluster{Cluster: spec}, now: statusNow, hosts: map[string]facts.Host{}, missing: map[string]string{}, found: map[string]resource.Found{},
			unwell: map[string]map[string]string{}, lost: map[string]string{}, asked: "cp1", addons: map[string]string{},
		},
		pods: map[string][]resource.StaticPodFound{}, members: map[string]etcd.Status{}, certs: map[string][]resource.CertificateFound{},
	}
	members := []etcd.Member{{ID: "a1", Name: "cp1"}, {ID: "a2", Name: "cp2"}, {ID: "a3", Name: "cp3"}}
	for i, h := range w.cluster.Hosts {
		plane := i < 3
		f := facts.Host{Identity: facts.Identity{Machine: h.Name, Cluster: "c"}}
		w.unwell[h.Name] = map[string]string{}
		w.nodes = append(w.nodes, resource.NodeFound{Name: h.Name, Ready: true, Kubelet: "v1.37.1", Runtime: "containerd://2.4.2"})
		w.certs[h.Name] = []resource.CertificateFound{
			{Path: "/etc/kubernetes/pki/ca.crt", Name: "kubernetes", Authority: true, From: statusNow.AddDate(-1, 0, 0), Until: statusNow.AddDate(9, 0, 0)},
			{Path: "/var/lib/kubelet/pki/kubelet-client-current.pem", Name: "system:node:" + h.Name, From: statusNow.AddDate(0, -6, 0), Until: statusNow.AddDate(0, 6, 0)},
		}
		if plane {
			f.Kubernetes = facts.Kubernetes{
				API: true, Formed: true, Manifests: map[string]string{"kube-apiserver.yaml": "x", "etcd.yaml": "x"}, Etcd: facts.Etcd{Data: true, Log: true},
				Authorities: map[string]facts.Authority{"ca": {Certificate: "x"}},
			}
			for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
				w.pods[h.Name] = append(w.pods[h.Name], resource.StaticPodFound{Name: name, Image: "registry.k8s.io/" + name + ":v1.37.1"})
			}
			w.pods[h.Name] = append(w.pods[h.Name], resource.StaticPodFound{Name: "etcd", Image: "registry.k8s.io/etcd:3.7.3"})
			w.members[h.Name] = etcd.Status{ID: members[i].ID, Version: "3.7.3", Leader: "a1", Size: 25 << 20, Quota: 8 << 30, Members: members}
			w.certs[h.Name] = append(w.certs[h.Name],
				resource.CertificateFound{Path: "/etc/kubernetes/pki/apiserver.crt", Name: "kube-apiserver", From: statusNow.AddDate(0, -6, 0), Until: statusNow.AddDate(0, 6, 0)})
		}
		w.hosts[h.Name] = f
	}
	return w
}

// quiet has a host not answer.
func (w *world) quiet(host string) {
	delete(w.hosts, host)
	w.missing[host] = host + ": dialling 10.0.0.1:22: no route to host"
}

// down has the API not be ready anywhere, and say of nothing.
func (w *world) down() {
	for name, f := range w.hosts {
		f.Kubernetes.API = false
		w.hosts[name] = f
	}
	w.asked, w.silent = "", "no API server could be asked: "+strings.Join(unready(w.cluster, w.hosts, w.missing), "; ")
}

func (w *world) look() Status {
	for _, h := range w.cluster.Hosts {
		if _, answered := w.hosts[h.Name]; !answered {
			continue
		}
		var f resource.Found
		f.Add(resource.CertificatesReport{}.ID(), w.certs[h.Name], nil)
		if pods := w.pods[h.Name]; pods != nil {
			f.Add(resource.StaticPodsReport{}.ID(), pods, nil)
			f.Add(etcdcomponent.Report(w.cluster.MainEtcd(), h).ID(), w.members[h.Name], nil)
		}
		w.found[h.Name] = f
	}
	if w.asked != "" {
		w.api.Add(resource.NodesReport{}.ID(), w.nodes, nil)
		w.api.Add(resource.RequestsReport{}.ID(), w.requests, nil)
	}
	return w.status()
}

// TestStatus also shows what programs read: the fields of these files stay.
func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(w *world)
		well   bool
	}{
		{"well", func(*world) {}, true},
		{"no-cluster", func(w *world) {
			for name := range w.hosts {
				w.hosts[name] = facts.Host{}
			}
			w.pods = nil
			w.members = nil
			w.certs = nil
			w.down()
		}, false},
		{"quorum-lost", func(w *world) {
			w.quiet("cp3")
			m := w.members["cp1"]
			m.Leader, m.Unwell = "", "the health of etcd is not known"
			w.members["cp1"] = m
			w.members["cp2"] = etcd.Status{Unwell: "dial tcp 127.0.0.1:2379: connect: connection refused"}
			w.pods["cp2"][3].Unwell = "the container etcd of etcd ended with code 1, for the 7. time: no space left on device"
			for _, cp := range []string{"cp1", "cp2"} {
				w.pods[cp][0].Unwell = "the container kube-apiserver of kube-apiserver ended with code 1"
			}
			for _, worker := range []string{"w1", "w2"} {
				w.unwell[worker]["http-answers endpoint"] = "endpoint: EOF"
			}
			w.down()
		}, false},
		{"control-planes-silent", func(w *world) {
			w.quiet("cp1")
			w.quiet("cp2")
			w.quiet("cp3")
			w.down()
		}, false},
		{"one-host-dead", func(w *world) {
			w.quiet("cp2")
			w.nodes[1].Ready, w.nodes[1].Why = false, "NodeStatusUnknown: Kubelet stopped posting node status."
		}, false},
		{"warnings", func(w *world) {
			w.nodes[4].Cordoned = true
			w.nodes = append(w.nodes, resource.NodeFound{Name: "w9", Ready: true, Kubelet: "v1.36.4"})
			w.certs["cp1"][2].Until = statusNow.AddDate(0, 0, 12)
			w.requests = []resource.RequestFound{
				{Name: "csr-1", Signer: "kubernetes.io/kubelet-serving", User: "system:node:w2", Since: statusNow.Add(-time.Hour)},
				{Name: "csr-2", Signer: "kubernetes.io/kubelet-serving", User: "system:node:w1", Since: statusNow.Add(-time.Second)},
			}
			m := w.members["cp1"]
			m.Size = 7 << 30
			w.members["cp1"] = m
		}, true},
		{"broken", func(w *world) {
			w.certs["w1"][1].Until = statusNow.AddDate(0, 0, -2)
			w.certs["cp3"][2] = resource.CertificateFound{Path: "/etc/kubernetes/pki/apiserver.crt", Problem: "it holds no certificate"}
			w.nodes[3].Ready, w.nodes[3].Why = false, "NodeStatusUnknown: Kubelet stopped posting node status."
			w.unwell["w1"]["unit-active kubelet.service"] = "kubelet.service is activating: part of the existing bootstrap client certificate is expired"
			w.pods["cp2"] = w.pods["cp2"][:2]
			w.nodes[4].Kubelet = "v1.38.0"
			w.addons["rollout Deployment kube-system/coredns"] = "Deployment kube-system/coredns: 0 of 2 Pods are available; Pod coredns-1: ImagePullBackOff"
			for name, m := range w.members {
				m.Alarms = []string{"NOSPACE"}
				w.members[name] = m
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.breaks(w)
			s := w.look()
			if s.Well != c.well {
				t.Errorf("well is %t", s.Well)
			}
			golden(t, "status-"+c.name+".json", s)
		})
	}
}

func TestEtcdText(t *testing.T) {
	for _, c := range []struct {
		breaks func(w *world)
		want   string
	}{
		{func(*world) {}, "3 of 3 members are well; 1 may fail"},
		{func(w *world) { w.quiet("cp3") }, "2 of 3 members are well, of 1 nothing is known; none of them may fail"},
		{func(w *world) { w.members["cp3"] = etcd.Status{Unwell: "connection refused"} }, "2 of 3 members are well; none of them may fail"},
		{func(w *world) {
			w.members["cp2"], w.members["cp3"] = etcd.Status{Unwell: "connection refused"}, etcd.Status{Unwell: "connection refused"}
			m := w.members["cp1"]
			m.Leader = ""
			w.members["cp1"] = m
		}, "no quorum: 0 of 3 members are well, and 2 have to be"},
		// The other two may have a quorum with each other.
		{func(w *world) {
			w.quiet("cp2")
			w.quiet("cp3")
			m := w.members["cp1"]
			m.Leader = ""
			w.members["cp1"] = m
		}, "whether there is a quorum is not known: 0 of 3 members are well, of 2 nothing is known, and 2 have to be"},
		// A learner does not count.
		{func(w *world) {
			for name, m := range w.members {
				m.Members = append(m.Members[:2:2], etcd.Member{ID: "a3", Name: "cp3", Learner: true})
				if m.Learner = name == "cp3"; m.Learner {
					m.Members = nil
				}
				w.members[name] = m
			}
		}, "2 of 2 members are well; none of them may fail"},
		{func(w *world) {
			w.members["cp1"], w.members["cp2"] = etcd.Status{Unwell: "connection refused"}, etcd.Status{Unwell: "connection refused"}
			m := w.members["cp3"]
			m.Learner, m.Members = true, nil
			w.members["cp3"] = m
		}, "no quorum: 0 of 3 members are well, and 2 have to be"},
	} {
		w := newWorld(t)
		c.breaks(w)
		if got := w.look().Etcd.Text(); got != c.want {
			t.Errorf("it says %q, want %q", got, c.want)
		}
	}
}

// A report that failed is not known, whatever it is about; a host that is lost in the middle is one that does not answer.
func TestWhatCouldNotBeFoundOut(t *testing.T) {
	w := newWorld(t)
	w.look()
	var f resource.Found
	f.Add(resource.StaticPodsReport{}.ID(), nil, errors.New("the runtime is silent"))
	f.Add(etcdcomponent.Report(w.cluster.MainEtcd(), w.cluster.Hosts[0]).ID(), nil, errors.New("no certificate"))
	f.Add(resource.CertificatesReport{}.ID(), nil, errors.New("a disk hangs"))
	w.found["cp1"] = f
	w.lost["w1"] = "w1: the agent was lost: reset"
	s := w.status()
	if p := s.ControlPlanes[0]; p.APIServer.State != Well || p.Scheduler.State != NotKnown || s.Etcd.Members[0].State != NotKnown || s.Endpoint.Balancers[0].State != NotKnown {
		t.Errorf("it is %+v, %+v, %+v", p, s.Etcd.Members[0], s.Endpoint.Balancers[0])
	}
	for _, want := range []string{"the host answers no more: the agent was lost: reset", "how kube-scheduler is, is not known: the runtime is silent",
		"how its member of etcd is, is not known: no certificate", "its certificates cannot be looked at: a disk hangs"} {
		found := false
		for _, f := range s.Findings {
			found = found || f.Severity == SevereWrong && f.Message == want
		}
		if !found {
			t.Errorf("nobody says that %s: %+v", want, s.Findings)
		}
	}
}

// The probes of a balancer are looked for by their names.
func TestBalancerProbes(t *testing.T) {
	w := newWorld(t)
	for _, p := range loadbalancer.Probes(w.cluster, *w.cluster.Host("w1")) {
		if id := p.ID().String(); id != "unit-active kubewright-endpoint.service" && id != "http-answers endpoint" {
			t.Error(id)
		}
	}
}

// What apply waits for in the cluster, a status looks at.
func TestStatusLooksAtWhatApplyEnsures(t *testing.T) {
	w := newWorld(t)
	b := &bundle.Bundle{Kubernetes: "v1.37.1"}
	for _, image := range []string{"kube-proxy", "flannel", "coredns", "metrics-server", "kubewright-approver", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "pause"} {
		b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Image, Name: "registry.k8s.io/" + image + ":v1"})
	}
	steps, _ := Standard(b)(Wish{Cluster: w.cluster, Hosts: w.hosts, Keys: func() (Keys, []plan.Problem) { return Keys{}, nil }, After: func(string) []plan.Condition { return nil }})
	var ensured, looked []string
	for _, s := range steps {
		for _, p := range s.Ensures {
			if p.ID().Kind == (resource.Rollout{}).ID().Kind {
				ensured = append(ensured, p.ID().String())
			}
		}
	}
	for _, p := range workloads(w.cluster, resource.API{}) {
		looked = append(looked, p.ID().String())
	}
	slices.Sort(ensured)
	slices.Sort(looked)
	if !slices.Equal(ensured, looked) {
		t.Errorf("apply ensures\n%q, and a status looks at\n%q", ensured, looked)
	}
}
