package converge

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/addon/dns"
	"github.com/kubewright/kubewright/internal/component/addon/metricsserver"
	"github.com/kubewright/kubewright/internal/component/approver"
	"github.com/kubewright/kubewright/internal/component/authority"
	"github.com/kubewright/kubewright/internal/component/clusterobjects"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/component/kubelet"
	"github.com/kubewright/kubewright/internal/component/kubeproxy"
	"github.com/kubewright/kubewright/internal/component/leave"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/component/network"
	"github.com/kubewright/kubewright/internal/component/node"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Standard are all components of a cluster, in the order in which a person would build it.
func Standard(b *bundle.Bundle) Components {
	return func(w Wish) ([]plan.Step, []plan.Problem) {
		var all parts
		all.add(Hosts(b)(w))
		every := everyHost(w)
		for _, e := range w.Cluster.EtcdClusters() {
			all.add(nil, etcd.Guard(w.Cluster, e, every))
		}
		all.add(nil, append(etcd.ExternalGuard(w.Cluster, every), w.External.Problems()...))
		all.add(nil, moveEvents(w))
		all.add(nil, controlplane.Guard(w.Cluster, w.Hosts))
		all.add(nil, kubelet.Guard(w.Cluster, w.Hosts))
		all.add(nil, apart(w))
		all.add(nil, otherVersion(w, b))
		keys, problems := w.Keys()
		all.add(nil, problems)
		executor := executor(w)
		if executor == "" {
			return all.steps, all.problems // no control plane answered; the problems say so
		}
		api := resource.API{Servers: w.Cluster.APIServers(executor), New: !formed(w)}

		shared := authority.Input{Cluster: w.Cluster, Hosts: w.Hosts, Certificates: keys.Certificates, Shared: keys.Shared, After: w.After}
		all.add(authority.Steps(shared), nil)
		placed := authority.Placed(shared)
		leaving := leave.Input{
			Cluster: w.Cluster, Hosts: w.Hosts, Leaving: w.Leaving, API: api, Executor: executor, RuntimeEndpoint: runtime.Endpoint(w.Cluster), Together: max(1, len(w.Cluster.Hosts)/10),
		}
		stopped := leave.Stopped(leaving)
		leaving.Balanced = balanced(w, stopped)
		all.add(loadbalancer.Steps(loadbalancer.Input{Cluster: w.Cluster, Hosts: w.Hosts, Living: formed(w), After: func(host string) []plan.Condition {
			conditions := append(after(host, hostprep.Step, authority.Step), stopped(host)...) // an API server that was there has its port
			conditions = append(conditions, come(w, host)...)
			if h := *w.Cluster.Host(host); w.Cluster.LedToEndpoint(h) && !w.Cluster.Holder(h) {
				conditions = append(conditions, held(w, stopped)...)
			}
			return conditions
		}}))

		joinable := plan.After(plan.StepID{Host: executor, Name: clusterobjects.Join})
		kubelets := kubelet.Input{
			Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, RuntimeEndpoint: runtime.Endpoint(w.Cluster), RuntimeUnit: runtime.Unit(w.Cluster), Content: runtime.Content(w.Cluster),
			AfterPrograms: func(host string) []plan.Condition { return after(host, runtime.Images) },
			After: func(host string) []plan.Condition {
				// The images have to be there: a node that is registered gets Pods at once. And a kubelet that waits long for its API server looks
				// for it ever less often, in the end every half minute (client-go's reflectors).
				h := *w.Cluster.Host(host)
				conditions := after(host, runtime.Images, authority.Step)
				switch {
				case slices.Contains(h.Roles, v1alpha1.ControlPlane):
					conditions = append(conditions, placed)
					if carries(w, host) {
						conditions = append(conditions, after(host, controlplane.Step)...)
					}
					return conditions
				case w.Cluster.Standalone(h):
					return conditions
				case w.Cluster.Carries(h) && w.Hosts[host].Kubernetes.Joined: // its balancer may wait for a control plane that comes, and that for its member
					return append(conditions, placed)
				case w.Cluster.Carries(h): // without its member there may be no API yet
					return append(append(conditions, after(host, loadbalancer.Step)...), placed)
				}
				if !w.Hosts[host].Kubernetes.Joined { // one that lives has a way to the API
					conditions = append(conditions, after(host, loadbalancer.Step)...)
				}
				return append(conditions, joinable)
			},
		}
		all.add(kubelet.Steps(kubelets))

		memberships := map[string]etcd.Membership{}
		for _, e := range []cluster.EtcdCluster{w.Cluster.MainEtcd(), w.Cluster.EventsEtcd()} {
			if len(e.Hosts) == 0 {
				continue // its members end all at once (endEvents)
			}
			in := etcd.MembershipInput{Cluster: w.Cluster, Etcd: e, Hosts: every, Left: namesOf(w.Leaving), Well: func(host string) []plan.Condition { return after(host, etcd.StepOf(e)) }}
			if e.Events() { // no API server asks only the member beside it for events
				in.Unasked = eventsUnasked(w)
			} else {
				in.Stopped, in.Unasked = stopped, unasked(w)
			}
			m := etcd.Members(in)
			memberships[e.Name] = m
			all.add(m.Steps, m.Problems)
			all.add(etcd.Steps(etcd.Input{Cluster: w.Cluster, Etcd: e, Hosts: w.Hosts, Bundle: b, RuntimeEndpoint: runtime.Endpoint(w.Cluster), Members: m, After: func(host string) []plan.Condition {
				return append(carried(w, host), placed)
			}}))
		}
		membership, ofEvents := memberships[facts.MainEtcd], memberships[facts.EventsEtcd]
		all.add(endEvents(w, every, ofEvents), nil)
		members := plan.Condition{Name: "etcd has a quorum", AtLeast: len(w.Cluster.EtcdHosts())/2 + 1, Of: steps(w, w.Cluster.EtcdHosts(), etcd.Step)}
		answers := plan.Condition{Name: "an API server answers", AtLeast: 1, Of: steps(w, w.Cluster.With(v1alpha1.ControlPlane), controlplane.Step)}
		answering := []plan.Condition{answers}
		all.add(w.External.Steps(func(host string) []plan.Condition { return after(host, authority.Step) }, answering), nil)
		all.add(controlplane.Steps(controlplane.Input{Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, RuntimeEndpoint: runtime.Endpoint(w.Cluster), Stopped: balancerBefore(w), After: func(host string) []plan.Condition {
			conditions := append(carried(w, host), placed)
			if w.Cluster.Etcd.External.Wanted() {
				conditions = append(conditions, after(host, etcd.Step)...)
			} else {
				conditions = append(conditions, members)
			}
			if w.Cluster.Holder(*w.Cluster.Host(host)) {
				conditions = append(conditions, after(host, loadbalancer.Step)...) // it may have a balancer yet that has the port of the API
			}
			if slices.Contains(members.Of, plan.StepID{Host: host, Name: etcd.Step}) {
				conditions = append(conditions, after(host, etcd.Step)...) // it asks the member beside it
			}
			conditions = append(conditions, beforeEvents(w, host, ofEvents)...)
			if w.Cluster.HasMember(*w.Cluster.Host(host)) {
				return append(conditions, membership.Votes(host)...)
			}
			for _, m := range w.Cluster.EtcdHosts() {
				conditions = append(conditions, membership.Votes(m.Name)...) // it asks all of them, and learners answer nobody
			}
			return conditions
		}}))

		configuration, err := kubelet.Configuration(w.Cluster)
		if err != nil {
			all.add(nil, []plan.Problem{{Blocks: true, Message: "the configuration of kubelets cannot be written: " + err.Error()}})
		}
		own, err := programs(w.Cluster)
		if err != nil {
			all.add(nil, []plan.Problem{{Blocks: true, Message: err.Error()}})
		}
		all.add(clusterobjects.Steps(clusterobjects.Input{
			Cluster: w.Cluster, Programs: own, Bundle: b, API: api, Executor: executor, CA: keys.Certificates[pki.Kubernetes], After: answering,
			KubeletConfig: []byte(configuration), Left: goneFor(w), Joining: joining(w),
		}))
		// Nobody may do anything there before the roles say so.
		answering = []plan.Condition{plan.After(plan.StepID{Host: executor, Name: clusterobjects.Roles})}
		all.add(node.Steps(node.Input{Cluster: w.Cluster, Hosts: w.Hosts, API: api, Executor: executor, After: func(host string) []plan.Condition {
			return append(after(host, kubelet.Step), answering...)
		}}), nil)
		leaving.After, leaving.Member = answering, func(host string) []plan.Condition { return slices.Concat(membership.Gone(host), ofEvents.Gone(host)) }
		leaving.Leaving = slices.SortedStableFunc(slices.Values(w.Leaving), func(a, b facts.Leaver) int { return membership.Order(a.Name, b.Name) }) // or they would wait for each other
		all.add(leave.Steps(leaving))
		all.add(approver.Steps(approver.Input{Cluster: w.Cluster, Bundle: b, API: api, Executor: executor, After: append(slices.Clone(answering), nodesCome(w, executor)...)}))
		all.add(kubeproxy.Steps(kubeproxy.Input{Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, API: api, Executor: executor, After: answering}))
		all.add(network.Steps(network.Input{Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, API: api, Executor: executor, After: answering, AfterHost: prepared, AfterNode: func(host string) []plan.Condition {
			return append(after(host, kubelet.Step), answering...)
		}}))
		all.add(dns.Steps(dns.Input{Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, API: api, Executor: executor, After: answering}))
		all.add(metricsserver.Steps(metricsserver.Input{Cluster: w.Cluster, Bundle: b, API: api, Executor: executor, After: answering}))
		return all.steps, all.problems
	}
}

// unasked is that no API server asks any more a member of etcd that answers and leaves: those that asked others than one beside them, or shall do so, have been told whom to ask.
func unasked(w Wish) []plan.Condition {
	var list []plan.Condition
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		f, answered := w.Hosts[h.Name]
		_, member := f.Kubernetes.Manifests["etcd.yaml"]
		if answered && serves(f) && !(member && w.Cluster.HasMember(h)) {
			list = append(list, after(h.Name, controlplane.Step)...)
		}
	}
	return list
}

// apart is what to know of a new cluster whose control planes are no nodes.
func apart(w Wish) []plan.Problem {
	if !w.Cluster.ControlPlane.Standalone || formed(w) {
		return nil
	}
	return []plan.Problem{{Careful: true, Message: "control planes are no nodes (controlPlane.standalone), so API servers reach no Pods and Services: admission webhooks and aggregated APIs of yours have to be Pods with " +
		"hostNetwork: true"}}
}

// held is that some host can hold the address of the endpoint; nothing if that is of the user's own balancer. One whose API server has to end before does not count, unless there are no others.
func held(w Wish, stopped func(host string) []plan.Condition) []plan.Condition {
	ids := steps(w, w.Cluster.Holders(), loadbalancer.Step)
	if now := slices.DeleteFunc(slices.Clone(ids), func(id plan.StepID) bool { return len(stopped(id.Host)) > 0 }); len(now) > 0 {
		ids = now
	}
	if len(ids) == 0 {
		return nil
	}
	return []plan.Condition{{Name: "some host can hold the address of the API", AtLeast: 1, Of: ids}}
}

// carries says that the kubelet of a host is well, and the API server beside it, too: it ends and starts static Pods as their manifests say. It comes last then, since one that is restarted does
// that no more until an API server lets it in, at the address and by the certificate that it is to have. A newer kubelet must not come before its API server either.
func carries(w Wish, host string) bool {
	k := w.Hosts[host].Kubernetes
	return k.Kubelet && k.API && slices.Contains(w.Cluster.Host(host).Roles, v1alpha1.ControlPlane)
}

// carried is what static Pods wait for.
func carried(w Wish, host string) []plan.Condition {
	if carries(w, host) {
		return after(host, runtime.Images)
	}
	return after(host, kubelet.Step, runtime.Images)
}

// everyHost are the facts of all hosts that answered, those that left the cluster file included.
func everyHost(w Wish) map[string]facts.Host {
	every := maps.Clone(w.Hosts)
	for _, l := range w.Leaving {
		if l.Host != nil {
			every[l.Name] = *l.Host
		}
	}
	return every
}

func namesOf(leaving []facts.Leaver) []string {
	var list []string
	for _, l := range leaving {
		list = append(list, l.Name)
	}
	return list
}

// goneFor are the names of hosts that left without having been reset, or do so now, sorted.
func goneFor(w Wish) []string {
	var list []string
	for name, h := range remembers(w.Hosts) {
		if h.Left && w.Cluster.Host(name) == nil {
			list = append(list, name)
		}
	}
	for _, l := range w.Leaving {
		if l.Host == nil {
			list = append(list, l.Name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// balancerBefore is that a host has no balancer any more that serves no API yet: it was a worker.
func balancerBefore(w Wish) func(host string) []resource.Resource {
	return func(host string) []resource.Resource {
		if w.Hosts[host].Kubernetes.API || w.Cluster.Balancer(*w.Cluster.Host(host)) {
			return nil
		}
		return []resource.Resource{resource.UnitStopped{Name: loadbalancer.Unit}}
	}
}

// balanced is that the balancers of all hosts that answered know the control planes of the cluster file, and that all others are led to them. Those that come where an API server ends do not count:
// nobody is sent there yet; nor do hosts that are led to these alone.
func balanced(w Wish, stopped func(host string) []plan.Condition) []plan.Condition {
	stays := func(id plan.StepID) bool { return len(stopped(id.Host)) == 0 }
	holders := held(w, stopped)
	led := len(holders) == 0 || slices.ContainsFunc(holders[0].Of, stays)
	var ids []plan.StepID
	for _, h := range w.Cluster.Hosts {
		id := plan.StepID{Host: h.Name, Name: loadbalancer.Step}
		if _, answered := w.Hosts[h.Name]; answered && stays(id) && (w.Cluster.Balancer(h) || w.Cluster.Led(h) && led) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []plan.Condition{{Name: "the balancers of all nodes know the control planes", Of: ids}}
}

// come is what the balancer of a host that lives waits for before it is told of control planes: that those that come to a cluster that lives have come, and so that none leaves before. HAProxy takes a
// server that it was just told of for well, and when its first check fails, breaks off what it led there and elsewhere then. Balancers of those that come themselves lead nobody yet, nor does one that is
// not there.
func come(w Wish, host string) []plan.Condition {
	switch h := *w.Cluster.Host(host); {
	case !formed(w), !w.Cluster.Balancer(h), !w.Hosts[host].Ways.Balancer, slices.Contains(h.Roles, v1alpha1.ControlPlane) && !serves(w.Hosts[h.Name]):
		return nil
	}
	var list []plan.Condition
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		if _, answered := w.Hosts[h.Name]; answered && !serves(w.Hosts[h.Name]) {
			list = append(list, after(h.Name, controlplane.Step)...)
		}
	}
	return list
}

// steps are those of a name of the hosts that answered; the others have none.
func steps(w Wish, hosts []v1alpha1.Host, name string) []plan.StepID {
	var list []plan.StepID
	for _, h := range hosts {
		if _, answered := w.Hosts[h.Name]; answered {
			list = append(list, plan.StepID{Host: h.Name, Name: name})
		}
	}
	return list
}

// executor is the control plane that speaks with the API for the cluster: the first whose own API server is ready, or else the first that answered.
func executor(w Wish) string {
	first := ""
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		f, answered := w.Hosts[h.Name]
		if answered && f.Kubernetes.API {
			return h.Name
		}
		if answered && first == "" {
			first = h.Name
		}
	}
	return first
}

// formed says whether some host remembers the cluster to have been whole.
func formed(w Wish) bool {
	for _, f := range w.Hosts {
		if f.Kubernetes.Formed {
			return true
		}
	}
	return false
}

// serves says whether a host shall run an API server by now.
func serves(f facts.Host) bool {
	_, there := f.Kubernetes.Manifests["kube-apiserver.yaml"]
	return there
}

// nodesCome is that the control planes of a cluster that lives have become nodes which were none: one after the other, which takes longer than what shall run there may take to start.
func nodesCome(w Wish, executor string) []plan.Condition {
	var ids []plan.StepID
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		if f := w.Hosts[h.Name]; serves(f) && !f.Kubernetes.Joined && formed(w) && w.Cluster.IsNode(h) {
			ids = append(ids, plan.StepID{Host: executor, Name: node.StepOf(h.Name)})
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return []plan.Condition{plan.After(ids...)}
}

// joining says whether the kubelet of some host has to be given its first certificate by the API.
func joining(w Wish) bool {
	return slices.ContainsFunc(w.Cluster.Nodes(), func(h v1alpha1.Host) bool {
		f, answered := w.Hosts[h.Name]
		return answered && !f.Kubernetes.Joined && !w.Cluster.Carries(h)
	})
}

// otherVersion says that the cluster is of another version than the bundle: host by host as they come, without an order, that is no upgrade.
func otherVersion(w Wish, b *bundle.Bundle) []plan.Problem {
	image, found := b.Image("kube-apiserver")
	if !found {
		return nil // it is said where it is needed
	}
	for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
		is := w.Hosts[h.Name].Kubernetes.Manifests["kube-apiserver.yaml"]
		if _, runs, ok := strings.Cut(path.Base(is), ":"); ok && formed(w) && is != image.Name {
			return []plan.Problem{{Blocks: true, Message: fmt.Sprintf("the cluster runs Kubernetes %s on %s, and the bundle is of %s: upgrades are not built yet", runs, h.Name, b.Kubernetes),
				Remedy: "Say kubernetesVersion: " + runs + " in the cluster file; \"kubewright bundle list\" says which bundles there are"}}
		}
	}
	return nil
}
