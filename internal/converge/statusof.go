package converge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	etcdcomponent "github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/resource"
)

// status makes of what was found out how the cluster is. It is pure.
func (v *seen) status() Status {
	s := Status{Cluster: v.cluster.Name, Time: v.now.UTC().Truncate(time.Second), Findings: []Finding{}, Certificates: []CertificateStatus{}, Requests: []resource.RequestFound{}}
	s.ControlPlanes = v.controlPlanes()
	s.Nodes = v.nodes()
	if v.cluster.Etcd.External.Wanted() {
		s.Etcd = v.externalEtcd()
	} else {
		s.Etcd = v.etcd(v.cluster.MainEtcd())
	}
	if e := v.cluster.EventsEtcd(); len(e.Hosts) > 0 {
		s.EtcdEvents = new(v.etcd(e))
	}
	s.Endpoint = v.endpoint()
	for _, h := range v.cluster.Hosts {
		s.Certificates = append(s.Certificates, v.certificates(h.Name)...)
	}
	s.Versions = versions(s)
	s.Addons = v.workloads()
	if v.asked != "" {
		_ = v.api.Get(resource.RequestsReport{}.ID(), &s.Requests) // why it is not known, findings say
	}
	s.Findings = v.findings(s)
	s.Well = !slices.ContainsFunc(s.Findings, func(f Finding) bool { return f.Severity == SevereWrong })
	return s
}

// program is how a program of a control plane is, by its static Pod.
func (v *seen) program(host, name string) ProgramStatus {
	if why := v.silence(host); why != "" {
		return ProgramStatus{State: NotKnown, Why: why}
	}
	var pods []resource.StaticPodFound
	if why := v.found[host].Get(resource.StaticPodsReport{}.ID(), &pods); why != "" {
		return ProgramStatus{State: NotKnown, Why: why}
	}
	for _, p := range pods {
		if p.Name != name {
			continue
		}
		s := ProgramStatus{State: Well, Version: tag(p.Image)}
		if p.Unwell != "" {
			s.State, s.Why = Wrong, p.Unwell
		}
		return s
	}
	return ProgramStatus{State: Wrong, Why: notThere}
}

// notThere is of a program that has no manifest.
const notThere = "it is not there: no manifest in /etc/kubernetes/manifests"

// tag of an image; empty if it has none.
func tag(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[i+1:]
	}
	return ""
}

func (v *seen) controlPlanes() []ControlPlaneStatus {
	list := []ControlPlaneStatus{}
	for _, h := range v.cluster.With(v1alpha1.ControlPlane) {
		s := ControlPlaneStatus{
			Host: h.Name, APIServer: v.program(h.Name, "kube-apiserver"), ControllerManager: v.program(h.Name, "kube-controller-manager"), Scheduler: v.program(h.Name, "kube-scheduler"),
		}
		ready := v.hosts[h.Name].Kubernetes.API
		switch {
		case s.APIServer.State == Well && !ready:
			s.APIServer.State, s.APIServer.Why = Wrong, "it runs, but does not say that it is ready"
		case s.APIServer.State == NotKnown && ready && v.silence(h.Name) == "":
			s.APIServer.State, s.APIServer.Why = Well, "" // whatever the container runtime does not say
		}
		list = append(list, s)
	}
	return list
}

// nodes are those of hosts, and others that the API knows.
func (v *seen) nodes() []NodeStatus {
	var known []resource.NodeFound
	why := v.silent
	if v.asked != "" {
		why = v.api.Get(resource.NodesReport{}.ID(), &known)
	}
	list := []NodeStatus{}
	of := map[string]bool{}
	for _, h := range v.cluster.Nodes() {
		of[h.Name] = true
		s := NodeStatus{Name: h.Name, State: NotKnown, Why: why, Address: h.Address, Roles: roleNames(h)}
		if i := slices.IndexFunc(known, func(n resource.NodeFound) bool { return n.Name == h.Name }); i >= 0 {
			s.read(known[i])
		} else if why == "" {
			s.State, s.Why = Wrong, "its kubelet has not registered it"
		}
		if unwell := v.unwell[h.Name][resource.UnitActive{Name: kubeletUnit}.ID().String()]; unwell != "" && s.State != Well {
			s.State, s.Why = Wrong, unwell // why the API does not hear of it
		} else if why != "" && v.silence(h.Name) != "" {
			s.Why = v.silence(h.Name)
		}
		list = append(list, s)
	}
	for _, n := range known {
		if !of[n.Name] {
			s := NodeStatus{Name: n.Name, Roles: n.Roles}
			s.read(n)
			list = append(list, s)
		}
	}
	return list
}

// read takes what the API says.
func (s *NodeStatus) read(n resource.NodeFound) {
	s.State, s.Why = Well, ""
	if !n.Ready {
		s.State, s.Why = Wrong, n.Why
	} else if len(n.Pressure) > 0 {
		s.State, s.Why = Wrong, strings.Join(n.Pressure, ", ")
	}
	s.Version, s.Runtime, s.Cordoned = n.Kubelet, n.Runtime, n.Cordoned
}

func roleNames(h v1alpha1.Host) []string {
	var names []string
	for _, r := range h.Roles {
		names = append(names, string(r))
	}
	return names
}

// etcd is how the members of a cluster of it are, each as its own host says.
func (v *seen) etcd(e cluster.EtcdCluster) EtcdStatus {
	s := EtcdStatus{Members: []MemberStatus{}, Quorum: NotKnown, Voters: len(e.Hosts)}
	wrong := 0
	for _, h := range e.Hosts {
		m := MemberStatus{Host: h.Name, State: NotKnown, Why: v.silence(h.Name)}
		var said etcd.Status
		if m.Why == "" {
			m.Why = v.found[h.Name].Get(etcdcomponent.Report(e, h).ID(), &said)
		}
		if m.Why == "" && said.ID == "" {
			m.State, m.Why = Wrong, said.Unwell
			if p := v.program(h.Name, e.Name); p.State == Wrong {
				m.Why = p.Why // it says more than that nobody answers
			}
		}
		if said.ID != "" {
			m.State, m.Why = Well, ""
			m.ID, m.Version, m.Learner, m.Size, m.Quota = said.ID, said.Version, said.Learner, said.Size, said.Quota
			m.Leader = said.Leader == said.ID
			s.Alarms = slices.Compact(slices.Sorted(slices.Values(append(s.Alarms, said.Alarms...))))
			switch {
			case said.Leader == "":
				m.State, m.Why = Wrong, "it has no leader, so it is not with a quorum"
			case said.Unwell != "":
				m.State, m.Why = Wrong, said.Unwell
			}
			if s.Quorum != Well && !said.Learner { // who is with the quorum knows best how many there are; a learner does not say
				s.Voters = len(said.Members) - count(said.Members, func(m etcd.Member) bool { return m.Learner })
			}
			if m.State == Well && !m.Learner {
				s.Quorum = Well
				s.Healthy++
			}
		}
		if m.State == Wrong && !m.Learner {
			wrong++
		}
		s.Members = append(s.Members, m)
	}
	needed := s.Voters/2 + 1
	if s.Quorum != Well && s.Voters-wrong < needed { // even if all were well of whom nothing is known
		s.Quorum = Wrong
	}
	s.MayFail = max(0, s.Healthy-needed)
	return s
}

// externalEtcd is how the user's own etcd is, as control planes find it: one that some of them do not reach is not well, whatever it says to others.
func (v *seen) externalEtcd() EtcdStatus {
	endpoints := v.cluster.Etcd.External.Endpoints
	s := EtcdStatus{External: true, Members: []MemberStatus{}, Quorum: NotKnown, Voters: len(endpoints)}
	said, unwell, nobody := map[string]etcd.Server{}, map[string][]string{}, ""
	for _, h := range v.cluster.With(v1alpha1.ControlPlane) {
		var servers []etcd.Server
		why := v.silence(h.Name)
		if why == "" {
			why = v.found[h.Name].Get(etcdcomponent.ExternalReport(v.cluster).ID(), &servers)
		}
		if why != "" {
			nobody = h.Name + ": " + why
		}
		for _, one := range servers {
			if known, is := said[one.URL]; !is || known.ID == "" || known.Unwell != "" && one.ID != "" {
				said[one.URL] = one
			}
			if one.Unwell != "" {
				unwell[one.URL] = append(unwell[one.URL], h.Name+": "+one.Unwell)
			} else {
				s.Quorum = Well
			}
			s.Alarms = slices.Compact(slices.Sorted(slices.Values(append(s.Alarms, one.Alarms...))))
		}
	}
	for _, url := range endpoints {
		one, is := said[url]
		m := MemberStatus{Host: url, State: Well, ID: one.ID, Version: one.Version, Leader: one.ID != "" && one.ID == one.Leader, Size: one.Size, Quota: one.Quota}
		switch {
		case !is:
			m.State, m.Why = NotKnown, nobody
		case len(unwell[url]) > 0:
			m.State, m.Why = Wrong, "asked from "+strings.Join(unwell[url], "; from ")
		default:
			s.Healthy++
		}
		s.Members = append(s.Members, m)
	}
	if s.Quorum != Well && len(said) == len(endpoints) {
		s.Quorum = Wrong
	}
	return s
}

func count[T any](list []T, is func(T) bool) int {
	n := 0
	for _, one := range list {
		if is(one) {
			n++
		}
	}
	return n
}

// Text is how etcd is, in a sentence: "3 of 3 members are well; 1 may fail".
func (e EtcdStatus) Text() string {
	if e.External { // how many members there are besides, and how many may fail, is the user's to know
		known := fmt.Sprintf("your own; %d of %d endpoints answer all control planes that could ask", e.Healthy, e.Voters)
		switch e.Quorum {
		case Wrong:
			return known + ", and none that has a quorum with it"
		case NotKnown:
			return known + ", and of the others nothing is known"
		}
		return known
	}
	unknown := count(e.Members, func(m MemberStatus) bool { return m.State == NotKnown })
	known := fmt.Sprintf("%d of %d members are well", e.Healthy, e.Voters)
	if unknown > 0 {
		known += fmt.Sprintf(", of %d nothing is known", unknown)
	}
	switch {
	case e.Quorum == Wrong:
		return fmt.Sprintf("no quorum: %s, and %d have to be", known, e.Voters/2+1)
	case e.Quorum == NotKnown:
		return fmt.Sprintf("whether there is a quorum is not known: %s, and %d have to be", known, e.Voters/2+1)
	case e.MayFail == 0:
		return known + "; none of them may fail"
	}
	return fmt.Sprintf("%s; %d may fail", known, e.MayFail)
}

func (v *seen) endpoint() EndpointStatus {
	s := EndpointStatus{Kind: v.cluster.Endpoint.Kind, Address: v.cluster.EndpointAddress(), Balancers: []BalancerStatus{}, Public: v.cluster.PublicAddress()}
	for _, h := range v.cluster.Hosts {
		if v.cluster.Balancer(h) {
			s.Balancers = append(s.Balancers, v.probed(h.Name, loadbalancer.Probes(v.cluster, h)...))
		}
		if v.holds(h) {
			s.Holders = append(s.Holders, h.Name)
		}
		if asksEndpoint(v.cluster, h) {
			s.Ways = append(s.Ways, v.probed(h.Name, loadbalancer.Way(v.cluster)))
		}
	}
	return s
}

// holds says whether a host has the address that wanders.
func (v *seen) holds(h v1alpha1.Host) bool {
	if v.cluster.Endpoint.Kind != v1alpha1.KeepalivedEndpoint {
		return false
	}
	a, err := netip.ParseAddr(v.cluster.Endpoint.Address)
	return err == nil && slices.Contains(v.hosts[h.Name].Addresses, a.Unmap())
}

// probed is what a host said of something: well if all of some probes are.
func (v *seen) probed(host string, probes ...resource.Probe) BalancerStatus {
	b := BalancerStatus{Host: host, State: Well}
	if why := v.silence(host); why != "" {
		b.State, b.Why = NotKnown, why
		return b
	}
	for _, p := range probes {
		if why := v.unwell[host][p.ID().String()]; why != "" {
			b.State, b.Why = Wrong, why
			return b
		}
	}
	return b
}

// near is how long before their end people are told of certificates: by then Kubewright would have renewed them long ago (pki.Problem), had anybody run it.
const near = 30 * 24 * time.Hour

// ofKubelet is where kubelets have certificates that they renew by themselves, between 70 and 90 % of their time (client-go/util/certificate of v0.37).
const ofKubelet = "/var/lib/kubelet/"

// certificates are those of a host, each with how long it lasts.
func (v *seen) certificates(host string) []CertificateStatus {
	var found []resource.CertificateFound
	if v.silence(host) != "" || v.found[host].Get(resource.CertificatesReport{}.ID(), &found) != "" {
		return nil
	}
	var list []CertificateStatus
	for _, c := range found {
		s := CertificateStatus{Host: host, State: Well, CertificateFound: c}
		lasts := c.Until.Sub(c.From)
		limit := min(near, lasts/3)
		if strings.HasPrefix(c.Path, ofKubelet) {
			limit = min(near, lasts/10)
		}
		switch left := c.Until.Sub(v.now); {
		case c.Problem != "" || left <= 0:
			s.State = Wrong
		case left < limit:
			s.Near = true
		}
		list = append(list, s)
	}
	return list
}

// versions are those of Kubernetes that are known to run.
func versions(s Status) []VersionStatus {
	list := []VersionStatus{}
	add := func(version, of string) {
		if version == "" {
			return
		}
		i := slices.IndexFunc(list, func(v VersionStatus) bool { return v.Version == version })
		if i < 0 {
			list = append(list, VersionStatus{Version: version})
			i = len(list) - 1
		}
		list[i].Of = append(list[i].Of, of)
	}
	for _, c := range s.ControlPlanes {
		add(c.APIServer.Version, "kube-apiserver on "+c.Host)
		add(c.ControllerManager.Version, "kube-controller-manager on "+c.Host)
		add(c.Scheduler.Version, "kube-scheduler on "+c.Host)
	}
	for _, n := range s.Nodes {
		add(n.Version, "kubelet on "+n.Name)
	}
	slices.SortStableFunc(list, func(a, b VersionStatus) int {
		return cmp.Or(semver.Compare(a.Version, b.Version), strings.Compare(a.Version, b.Version))
	})
	return list
}

func (v *seen) workloads() []AddonStatus {
	list := []AddonStatus{}
	for _, w := range workloads(v.cluster, resource.API{}) {
		s := AddonStatus{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, State: Well}
		if v.asked == "" {
			s.State, s.Why = NotKnown, v.silent
		} else if why := v.addons[w.ID().String()]; why != "" {
			s.State, s.Why = Wrong, strings.TrimPrefix(why, fmt.Sprintf("%s %s/%s: ", w.Kind, w.Namespace, w.Name))
		}
		list = append(list, s)
	}
	return list
}
