package converge

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// findings are what is wrong and what to do, worst first, and what causes others before them. It is pure.
func (v *seen) findings(s Status) []Finding {
	f := &found{list: []Finding{}}
	v.unreached(f)
	if !v.there() {
		v.unmade(f)
		return f.sorted()
	}
	if v.known() {
		_, problems := identify(v.cluster, v.hosts, "")
		f.problems(problems)
		f.problems(etcd.ExternalGuard(v.cluster, v.hosts))
		for _, e := range v.cluster.EtcdClusters() {
			f.problems(etcd.Guard(v.cluster, e, v.hosts))
		}
	}
	if s.Etcd.External {
		ofExternalEtcd(f, s.Etcd)
	} else {
		v.ofEtcd(f, s.Etcd)
	}
	if s.EtcdEvents != nil {
		v.ofEvents(f, *s.EtcdEvents)
	}
	v.ofAPI(f, s)
	v.ofNodes(f, s)
	v.ofEndpoint(f, s)
	v.ofCluster(f, s)
	ofVersions(f, s)
	v.ofCertificates(f, s)
	return f.sorted()
}

// found collects findings.
type found struct{ list []Finding }

func (f *found) wrong(host, message, remedy string) { f.wrongOf("", host, message, remedy) }

// wrongOf is wrong of a kind that causes are found by.
func (f *found) wrongOf(kind plan.Kind, host, message, remedy string) {
	f.list = append(f.list, Finding{SevereWrong, kind, host, message, remedy})
}

func (f *found) warn(host, message, remedy string) {
	f.list = append(f.list, Finding{SevereWarning, "", host, message, remedy})
}

func (f *found) problems(list []plan.Problem) {
	for _, p := range list {
		if p.Blocks {
			f.list = append(f.list, Finding{SevereWrong, p.Kind, p.Host, p.Message, p.Remedy})
		} else if p.Remedy != "" {
			f.list = append(f.list, Finding{SevereWarning, p.Kind, p.Host, p.Message, p.Remedy})
		}
	}
}

func (f *found) sorted() []Finding {
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		rank := func(s Severity) int { return map[Severity]int{SevereWrong: 0, SevereWarning: 1}[s] }
		return cmp.Compare(rank(a.Severity), rank(b.Severity))
	})
	return f.list
}

// applyRepairs is the remedy of what differs from what the file says.
const applyRepairs = "\"kubewright apply\" repairs what differs from the cluster file"

// unreached are hosts that do not say how they are.
func (v *seen) unreached(f *found) {
	for _, h := range v.cluster.Hosts {
		if why := v.silence(h.Name); why != "" {
			f.wrong(h.Name, why, "See whether it runs and can be reached by SSH. What it carries may well run; nobody could look")
		}
	}
}

// there says whether any host that answered carries a cluster.
func (v *seen) there() bool {
	for _, f := range v.hosts {
		if f.Identity.Cluster != "" || len(f.Kubernetes.Manifests) > 0 {
			return true
		}
	}
	return false
}

// known says whether a host that answered remembers that the cluster was whole: what is odd about hosts is odd then. Before, runs say what stands in their way.
func (v *seen) known() bool {
	for _, f := range v.hosts {
		if f.Kubernetes.Formed {
			return true
		}
	}
	return false
}

func (v *seen) unmade(f *found) {
	if len(v.missing) > 0 || len(v.hosts) == 0 {
		f.wrong("", "no host that answered carries a cluster; whether there is one on the others is not known", "Bring the others back, and ask again")
		return
	}
	f.wrong("", "there is no cluster on these hosts yet", "\"kubewright apply\" makes it")
}

func (v *seen) ofEtcd(f *found, e EtcdStatus) {
	switch e.Quorum {
	case Wrong:
		f.wrong("", "etcd: "+e.Text()+". Until then the API changes nothing, and may not answer",
			"Bring the members back that are not well: their hosts, or what is said of them here. Take no data away: it is all that there is. "+
				"If most are gone for good: \"kubewright etcd recover --from HOST\"")
	case NotKnown:
		remedy := "Bring the hosts back that do not answer"
		if slices.ContainsFunc(e.Members, func(m MemberStatus) bool { return m.State == Wrong && m.ID != "" }) { // one that answers is with no quorum
			remedy += ". If they are gone for good, and no API server answers any more: \"kubewright etcd recover --from HOST\""
		}
		f.wrong("", "etcd: "+e.Text(), remedy)
	}
	for _, m := range e.Members {
		switch {
		case v.silence(m.Host) != "": // that was said
		case m.State == NotKnown:
			f.wrong(m.Host, "how its member of etcd is, is not known: "+m.Why, applyRepairs)
		case m.State == Wrong && m.ID != "" && e.Quorum == Wrong: // it waits for others
		case m.State == Wrong:
			f.wrong(m.Host, "its member of etcd is not well: "+m.Why, applyRepairs+"; \"crictl logs\" on the host says what etcd said")
		case m.Quota > 0 && m.Size > m.Quota/10*8:
			f.warn(m.Host, fmt.Sprintf("the database of its member of etcd has %d%% of the size at which etcd takes no more writes", m.Size*100/m.Quota),
				"See what fills it (events, CRDs, Secrets of Helm); \"etcdctl defrag\" gives room back; etcd.quota in the cluster file is the limit")
		}
	}
	for _, a := range e.Alarms {
		switch a {
		case "NOSPACE":
			f.wrongOf(plan.KindFull, "", "etcd is full and takes no more writes (alarm NOSPACE)", "Make room: delete what fills it, \"etcdctl compact\", \"etcdctl defrag\", then \"etcdctl alarm disarm\"; or raise etcd.quota and apply")
		default:
			f.wrong("", "etcd has the alarm "+a, "CORRUPT says that members differ: replace the one that does, and restore from a snapshot if most do")
		}
	}
}

// ofExternalEtcd is about an etcd of the user's, which Kubewright repairs nothing of.
func ofExternalEtcd(f *found, e EtcdStatus) {
	switch e.Quorum {
	case Wrong:
		f.wrong("", "etcd: "+e.Text()+". Until then the API changes nothing, and may not answer", "Bring it back where it runs, or the way of control planes to it; etcd.external in the cluster file says where it is")
	case NotKnown:
		f.wrong("", "etcd: "+e.Text(), "Bring the control planes back that do not answer")
	}
	for _, m := range e.Members {
		switch {
		case m.State == Wrong && e.Quorum == Well:
			f.wrong("", fmt.Sprintf("your etcd does not answer at %s, %s", m.Host, m.Why), "Bring it back where it runs, or the way to it; API servers ask the others meanwhile")
		case m.State == Wrong:
			f.wrong("", fmt.Sprintf("your etcd does not answer at %s, %s", m.Host, m.Why), "See what it says where it runs")
		case m.Quota > 0 && m.Size > m.Quota/10*8:
			f.warn("", fmt.Sprintf("the database of your etcd has %d%% of the size at %s at which it takes no more writes", m.Size*100/m.Quota, m.Host),
				"See what fills it; \"etcdctl defrag\" gives room back; its own --quota-backend-bytes is the limit")
		}
	}
	for _, a := range e.Alarms {
		f.wrong("", "your etcd has the alarm "+a, alarmRemedy)
	}
}

// alarmRemedy is what to do about an alarm of an etcd that is not the cluster's own main one.
const alarmRemedy = "NOSPACE: \"etcdctl compact\", \"etcdctl defrag\", then \"etcdctl alarm disarm\"; CORRUPT says that members differ: replace the one that does"

// ofEvents is about the etcd for events, without which the API goes on.
func (v *seen) ofEvents(f *found, e EtcdStatus) {
	switch e.Quorum {
	case Wrong:
		f.wrong("", "etcd for events: "+e.Text()+". Until then no events are stored; all else goes on, but API servers that are started anew come up only when a member of it answers",
			"Bring the members back that are not well: their hosts, or what is said of them here. If most are gone for good: \"kubewright etcd recover --events --from HOST\", or take etcd.events out of the "+
				"cluster file and apply; events alone are lost")
	case NotKnown:
		f.wrong("", "etcd for events: "+e.Text(), "Bring the hosts back that do not answer")
	}
	for _, m := range e.Members {
		if v.silence(m.Host) == "" && m.State == Wrong && (m.ID == "" || e.Quorum != Wrong) {
			f.wrong(m.Host, "its member of etcd for events is not well: "+m.Why, applyRepairs+"; \"crictl logs\" on the host says what etcd said")
		}
	}
	for _, a := range e.Alarms {
		f.wrong("", "etcd for events has the alarm "+a, alarmRemedy)
	}
}

func (v *seen) ofAPI(f *found, s Status) {
	if v.asked == "" {
		through := ""
		for _, b := range s.Endpoint.Balancers {
			if b.State == Well {
				through = b.Host
			}
		}
		silent := count(v.cluster.With(v1alpha1.ControlPlane), func(h v1alpha1.Host) bool { return v.silence(h.Name) != "" })
		switch {
		case through != "":
			f.wrong("", "an API server answers "+through+", but no control plane could be reached to ask it about nodes and what runs on them", "Bring the control planes back that do not answer")
		case silent == len(v.cluster.With(v1alpha1.ControlPlane)):
			f.wrong("", "whether an API server is ready is not known: no control plane answers", "Bring the control planes back")
		case s.Etcd.Quorum == Wrong:
			f.wrong("", v.silent, "It cannot be before etcd has a quorum")
		default:
			f.wrong("", v.silent, "See what is said of control planes here")
		}
	}
	for _, c := range s.ControlPlanes {
		if v.silence(c.Host) != "" {
			continue // that was said
		}
		for _, p := range []struct {
			name string
			ProgramStatus
		}{{"kube-apiserver", c.APIServer}, {"kube-controller-manager", c.ControllerManager}, {"kube-scheduler", c.Scheduler}} {
			switch {
			case p.State == Wrong && p.Why == notThere:
				f.wrong(c.Host, p.name+": "+p.Why, applyRepairs)
			case p.State == Wrong:
				f.wrong(c.Host, p.name+": "+p.Why, applyRepairs+"; \"crictl logs\" on the host says what it said")
			case p.State == NotKnown:
				f.wrong(c.Host, "how "+p.name+" is, is not known: "+p.Why, "\"journalctl -u "+runtime.Unit(v.cluster)+"\" on the host says how its container runtime is")
			}
		}
	}
}

func (v *seen) ofNodes(f *found, s Status) {
	for _, h := range v.cluster.Hosts {
		if !v.cluster.HasKubelet(h) {
			continue
		}
		if why := v.unwell[h.Name][resource.UnitActive{Name: runtime.Unit(v.cluster)}.ID().String()]; why != "" {
			f.wrong(h.Name, why, applyRepairs+"; \"journalctl -u "+runtime.Unit(v.cluster)+"\" on the host says why")
		}
		if why := v.unwell[h.Name][resource.UnitActive{Name: kubeletUnit}.ID().String()]; why != "" {
			f.wrong(h.Name, why, applyRepairs+"; \"journalctl -u kubelet\" on the host says why")
		}
	}
	for _, n := range s.Nodes {
		_, kubelet := v.unwell[n.Name][resource.UnitActive{Name: kubeletUnit}.ID().String()]
		switch {
		case v.asked != "" && n.State == Wrong && !kubelet:
			f.wrong(n.Name, "its node is not ready: "+n.Why, "\"journalctl -u kubelet\" on the host says more; "+applyRepairs)
		case n.Cordoned:
			f.warn(n.Name, "its node is cordoned: no Pods are put on it", "If nobody works on it, \"kubewright node uncordon "+n.Name+"\"")
		}
		if n.Address == "" {
			f.warn(n.Name, "the cluster has this node, and the cluster file has no host of that name", "If it is gone for good, \"kubectl delete node "+n.Name+"\"")
		}
	}
	if v.asked != "" {
		if why := v.api.Get(resource.NodesReport{}.ID(), &[]resource.NodeFound{}); why != "" {
			f.wrong("", "the nodes cannot be read: "+why, "Ask again; if it stays so, \"kubectl get nodes\" on a control plane says more")
		}
	}
}

func (v *seen) ofEndpoint(f *found, s Status) {
	const later = "No API server is ready; when one is, so is the way to it"
	for _, b := range s.Endpoint.Balancers {
		if b.State == Wrong {
			remedy := applyRepairs + "; \"journalctl -u kubewright-endpoint\" on the host says which API servers it finds"
			if v.asked == "" && s.Etcd.Quorum == Wrong {
				remedy = later
			}
			message := "its way to the API, " + s.Endpoint.Address + ", leads nowhere: "
			if v.cluster.Holder(*v.cluster.Host(b.Host)) {
				message = "it cannot hold the address of the API, " + s.Endpoint.Public + ": "
			}
			f.wrong(b.Host, message+b.Why, remedy)
		}
	}
	if s.Endpoint.Kind == v1alpha1.KeepalivedEndpoint {
		v.ofHolders(f, s.Endpoint)
	}
	for _, w := range s.Endpoint.Ways {
		if w.State == Wrong {
			remedy := "See what is said of its holders here; \"journalctl -u " + loadbalancer.AddressUnit + "\" on them says who has it"
			if s.Endpoint.Kind == v1alpha1.ExternalEndpoint {
				remedy = "See that your balancer runs and knows the control planes; \"kubewright endpoint config\" prints a configuration for it"
			}
			if v.asked == "" && s.Etcd.Quorum == Wrong {
				remedy = later
			}
			f.wrong(w.Host, "the endpoint that people and nodes are led to leads nowhere from here: "+w.Why, remedy)
		}
	}
}

// ofHolders is about who has the address that wanders. Hosts are asked one after the other, so it may have gone from one to another meanwhile.
func (v *seen) ofHolders(f *found, e EndpointStatus) {
	silent := slices.ContainsFunc(v.cluster.Holders(), func(h v1alpha1.Host) bool { return v.silence(h.Name) != "" })
	switch {
	case len(e.Holders) > 1:
		f.wrong("", fmt.Sprintf("%s have the address of the API, %s, all at once", strings.Join(e.Holders, ", "), e.Public),
			"If it is so when you ask again, they do not hear each other: VRRP (IP protocol 112) has to pass between them")
	case len(e.Holders) == 0 && !silent:
		f.wrong("", "no host has the address of the API, "+e.Public, "A host takes it when an API server answers through its balancer; \"journalctl -u "+loadbalancer.AddressUnit+"\" on hosts says what they wait for")
	}
}

// waits is how long a request for a certificate may wait before people are told. The approver takes milliseconds, and looks at everything again after 5 minutes.
const waits = 2 * time.Minute

func (v *seen) ofCluster(f *found, s Status) {
	for _, a := range s.Addons {
		if a.State == Wrong {
			f.wrong("", fmt.Sprintf("%s %s/%s: %s", a.Kind, a.Namespace, a.Name, a.Why), fmt.Sprintf("\"kubectl -n %s describe %s %s\" says more; %s", a.Namespace, strings.ToLower(a.Kind), a.Name, applyRepairs))
		}
	}
	for _, r := range s.Requests {
		if !strings.HasPrefix(r.Signer, "kubernetes.io/kubelet-serving") && !strings.HasPrefix(r.Signer, "kubernetes.io/kube-apiserver-client-kubelet") || v.now.Sub(r.Since) < waits {
			continue // others' are none of ours
		}
		f.warn(strings.TrimPrefix(r.User, "system:node:"), fmt.Sprintf("the request %s for a certificate (%s) waits since %s, and nobody approves it", r.Name, r.Signer, r.Since.Format(time.RFC3339)),
			"\"kubectl -n kube-system logs deployment/kubewright-approver\" says why; if the request is right, \"kubectl certificate approve "+r.Name+"\"")
	}
}

// maxOlder is how many minors a kubelet may be older than an API server (https://kubernetes.io/releases/version-skew-policy/).
const maxOlder = 3

func ofVersions(f *found, s Status) {
	if len(s.Versions) < 2 {
		return
	}
	var all []string
	for _, v := range s.Versions {
		all = append(all, v.Version)
	}
	f.warn("", "versions of Kubernetes differ: "+strings.Join(all, ", "), "\"kubewright plan\" shows what is left to do")
	oldest, newest := "", ""
	for _, c := range s.ControlPlanes {
		if version := c.APIServer.Version; semver.IsValid(version) {
			if oldest == "" || semver.Compare(version, oldest) < 0 {
				oldest = version
			}
			if semver.Compare(version, newest) > 0 {
				newest = version
			}
		}
	}
	for _, n := range s.Nodes {
		switch {
		case oldest == "" || !semver.IsValid(n.Version):
		case semver.Compare(semver.MajorMinor(n.Version), semver.MajorMinor(oldest)) > 0:
			f.wrong(n.Name, fmt.Sprintf("its kubelet has %s, and an API server has %s: kubelets must not be newer", n.Version, oldest), applyRepairs)
		case minor(newest)-minor(n.Version) > maxOlder:
			f.wrong(n.Name, fmt.Sprintf("its kubelet has %s, and an API server has %s: that is more than %d minors older", n.Version, newest, maxOlder), applyRepairs)
		}
	}
}

func minor(version string) int {
	n := 0
	_, _ = fmt.Sscanf(semver.MajorMinor(version), "v1.%d", &n)
	return n
}

// ofCertificates are a finding for each host and kind of certificate, not one for each of them.
func (v *seen) ofCertificates(f *found, s Status) {
	for _, h := range v.cluster.Hosts {
		if why := v.found[h.Name].Get(resource.CertificatesReport{}.ID(), &[]resource.CertificateFound{}); why != "" && v.silence(h.Name) == "" {
			f.wrong(h.Name, "its certificates cannot be looked at: "+why, "See what is wrong with /etc/kubernetes and /var/lib/kubelet/pki on the host")
		}
		for _, kind := range []struct {
			is     func(CertificateStatus) bool
			remedy string
		}{
			{func(c CertificateStatus) bool { return c.Authority }, "Authorities are not made anew by Kubewright yet: bring the certificate and the key of a new one while both are trusted, as Kubernetes' manual " +
				"rotation of CA certificates describes"},
			{func(c CertificateStatus) bool { return !c.Authority && strings.HasPrefix(c.Path, ofKubelet) },
				"Kubelets renew theirs by themselves: \"journalctl -u kubelet\" on the host says why this one does not, \"kubectl get csr\" whether its request waits"},
			{func(c CertificateStatus) bool { return !c.Authority && !strings.HasPrefix(c.Path, ofKubelet) }, "\"kubewright apply\" renews them"},
		} {
			var over, soon []string
			for _, c := range s.Certificates {
				switch {
				case c.Host != h.Name || !kind.is(c):
				case c.Problem != "":
					over = append(over, c.Path+": "+c.Problem)
				case c.State == Wrong:
					over = append(over, fmt.Sprintf("%s ran out on %s", path.Base(c.Path), c.Until.Format(time.DateOnly)))
				case c.Near:
					soon = append(soon, fmt.Sprintf("%s on %s", path.Base(c.Path), c.Until.Format(time.DateOnly)))
				}
			}
			if len(over) > 0 {
				f.wrongOf(plan.KindCertificate, h.Name, "certificates are of no use: "+strings.Join(over, ", "), kind.remedy)
			}
			if len(soon) > 0 {
				f.warn(h.Name, "certificates run out soon: "+strings.Join(soon, ", "), kind.remedy)
			}
		}
	}
}
