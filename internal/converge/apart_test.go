package converge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/approver"
	"github.com/kubewright/kubewright/internal/component/clusterobjects"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/kubelet"
	"github.com/kubewright/kubewright/internal/component/leave"
	"github.com/kubewright/kubewright/internal/component/network"
	"github.com/kubewright/kubewright/internal/component/node"
	client "github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Hosts that carry static Pods and are no nodes: members of etcd on hosts of their own, and control planes that are no nodes.

const (
	planesFile = "- {name: cp1, address: 10.0.0.11, roles: [control-plane]}\n- {name: cp2, address: 10.0.0.12, roles: [control-plane]}\n- {name: cp3, address: 10.0.0.13, roles: [control-plane]}\n"
	etcdFile   = "- {name: e1, address: 10.0.0.31, roles: [etcd]}\n- {name: e2, address: 10.0.0.32, roles: [etcd]}\n- {name: e3, address: 10.0.0.33, roles: [etcd]}\n"
	workerFile = "- {name: w1, address: 10.0.0.21, roles: [worker]}\n"
	apartFile  = planesFile + etcdFile + workerFile
	aloneFile  = planesFile + workerFile + "- {name: w2, address: 10.0.0.22, roles: [worker]}\ncontrolPlane: {standalone: true}\n"
)

// shape is the cluster of a file, and what comes of it: its hosts are as they are told, and the rest are plain machines.
func shape(t *testing.T, file string, is map[string]facts.Kubernetes, leaving ...facts.Leaver) ([]plan.Step, []plan.Problem) {
	t.Helper()
	return shapeOf(t, file, func(name string, f *facts.Host) { f.Kubernetes = is[name] }, leaving...)
}

// shapeOf is shape, of hosts that are made what they are one by one.
func shapeOf(t *testing.T, file string, is func(name string, f *facts.Host), leaving ...facts.Leaver) ([]plan.Step, []plan.Problem) {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nhosts:\n"+file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	w := Wish{Cluster: c, Hosts: map[string]facts.Host{}, Leaving: leaving}
	for i, h := range c.Hosts {
		c.Hosts[i].InternalAddresses = []string{h.Address}
		f := debian(h)
		is(h.Name, &f)
		w.Hosts[h.Name] = f
	}
	w.External = externalOf(w)
	w.External.Found = map[string]etcd.ExternalFound{}
	for _, url := range c.Etcd.External.Endpoints {
		w.External.Found["cp1"] = etcd.ExternalFound{File: append(w.External.Found["cp1"].File, client.Server{URL: url, Cluster: "c1"})}
	}
	w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(c, w.Hosts) }
	steps, problems := Standard(everything())(w)
	if err := plan.Check(steps, groups(c)); err != nil {
		t.Error(err)
	}
	ends(t, steps)
	waitsForThere(t, steps)
	return steps, problems
}

// waitsForThere says which steps wait for others that are none of the plan: nobody would make those true.
func waitsForThere(t *testing.T, steps []plan.Step) {
	t.Helper()
	there := map[plan.StepID]bool{}
	for _, s := range steps {
		there[s.StepID] = true
	}
	for _, s := range steps {
		for _, c := range s.Requires {
			for _, id := range c.Of {
				if !there[id] {
					t.Errorf("%s waits for %s, which is no step", s.StepID, id)
				}
			}
		}
	}
}

// waitsFor says whether a step waits for another, by whatever is between.
func waitsFor(steps []plan.Step, step, other plan.StepID) bool {
	seen := map[plan.StepID]bool{}
	for next := []plan.StepID{step}; len(next) > 0; next = next[1:] {
		i := slices.IndexFunc(steps, func(s plan.Step) bool { return s.StepID == next[0] })
		if i < 0 || seen[next[0]] {
			continue
		}
		seen[next[0]] = true
		for _, c := range steps[i].Requires {
			if slices.Contains(c.Of, other) {
				return true
			}
			next = append(next, c.Of...)
		}
	}
	return false
}

func hasNode(steps []plan.Step, host string) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool { return s.Name == node.StepOf(host) })
}

func TestNewClusterWithEtcdApart(t *testing.T) {
	steps, problems := shape(t, apartFile, nil)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	planes, members := []string{"cp1", "cp2", "cp3"}, []string{"e1", "e2", "e3"}
	for name, want := range map[string][]string{
		etcd.Step: members, etcd.Formed: slices.Concat(planes, members), controlplane.Step: planes, kubelet.Step: slices.Concat(planes, members, []string{"w1"}),
		network.HostStep: {"cp1", "cp2", "cp3", "w1"}, clusterobjects.Join: {"cp1"},
	} {
		if got := hostsOf(steps, name); !slices.Equal(got, want) {
			t.Errorf("the step %s is one of %q; want %q", name, got, want)
		}
	}
	for host, want := range map[string]bool{"cp1": true, "e1": false, "w1": true} {
		if hasNode(steps, host) != want {
			t.Errorf("that %s has a node is not %t", host, want)
		}
	}
	for _, s := range steps {
		for _, r := range s.Resources {
			if u, ok := r.(resource.SecretUser); ok && s.Host[0] == 'e' && len(u.Secrets()) > 0 {
				t.Errorf("%s is given secrets: %q", s.StepID, u.Secrets())
			}
		}
	}
}

// A member of etcd that is a node, too, is there before the API is: its kubelet cannot ask anybody to join.
func TestNewClusterWithEtcdOnWorkers(t *testing.T) {
	steps, problems := shape(t, planesFile+"- {name: e1, address: 10.0.0.31, roles: [etcd, worker]}\n"+workerFile, nil)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	if !hasNode(steps, "e1") || waitsFor(steps, plan.StepID{Host: "e1", Name: kubelet.Step}, plan.StepID{Host: "cp1", Name: controlplane.Step}) {
		t.Error("e1 is no node, or waits for an API server")
	}
}

func TestNewClusterOfStandaloneControlPlanes(t *testing.T) {
	steps, problems := shape(t, aloneFile, nil)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	if !slices.ContainsFunc(problems, func(p plan.Problem) bool { return p.Careful && strings.Contains(p.Message, "hostNetwork: true") }) {
		t.Errorf("nobody is told of webhooks: %q", problems)
	}
	planes, workers := []string{"cp1", "cp2", "cp3"}, []string{"w1", "w2"}
	for name, want := range map[string][]string{etcd.Step: planes, controlplane.Step: planes, kubelet.Step: slices.Concat(planes, workers), network.HostStep: workers} {
		if got := hostsOf(steps, name); !slices.Equal(got, want) {
			t.Errorf("the step %s is one of %q; want %q", name, got, want)
		}
	}
	if hasNode(steps, "cp1") || !hasNode(steps, "w1") {
		t.Error("a control plane has a node, or a worker has none")
	}
}

// The cluster lives, and control planes become nodes; the other way is refused.
func TestStandaloneIsTakenBack(t *testing.T) {
	plane, worker := living(t)
	plane.Manifests = map[string]string{"etcd.yaml": "x", "kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:v1.37.1"}
	was := plane
	was.Joined = false
	file, _, _ := strings.Cut(aloneFile, "controlPlane")
	steps, problems := shape(t, file, map[string]facts.Kubernetes{"cp1": was, "cp2": was, "cp3": was, "w1": worker, "w2": worker})
	if got := blocking(problems); len(got) > 0 || !hasNode(steps, "cp1") {
		t.Errorf("cp1 becomes no node, or in the way stands %q", got)
	}
	if !waitsFor(steps, plan.StepID{Host: "cp1", Name: approver.Step}, plan.StepID{Host: "cp1", Name: node.StepOf("cp3")}) {
		t.Error("the approver is to run on control planes before they are nodes")
	}
	_, problems = shape(t, aloneFile, map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker, "w2": worker})
	if got := blocking(problems); len(got) != 3 || !strings.Contains(got[0], "controlPlane.standalone") {
		t.Errorf("in the way stands %q", got)
	}
}

// with gives hosts members of etcd that live, each host at an address of its own.
func with(is map[string]facts.Kubernetes, addresses map[string]string) {
	var members []facts.EtcdMember
	for name, address := range addresses {
		members = append(members, facts.EtcdMember{ID: "id-" + name, Name: name, PeerURLs: []string{"https://" + address + ":2380"}})
	}
	for name := range addresses {
		k := is[name]
		k.Formed = true
		k.Etcd = facts.Etcd{Data: true, Log: true, ID: "id-" + name, Leader: "id-e1", Quorum: true, Members: members}
		k.Manifests = map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3-0"}
		if k.API {
			k.Manifests["kube-apiserver.yaml"] = "registry.k8s.io/kube-apiserver:v1.37.1"
		}
		is[name] = k
	}
}

// Members go to hosts of their own: new ones vote before any API server is told of them, and old ones leave when none asks them any more. Control planes stay.
func TestMembersMoveToHostsOfTheirOwn(t *testing.T) {
	plane, worker := living(t)
	is := map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker}
	with(is, map[string]string{"cp1": "10.0.0.11", "cp2": "10.0.0.12", "cp3": "10.0.0.13"})
	steps, problems := shape(t, apartFile, is)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	if got := hostsOf(steps, leave.Stop); len(got) > 0 {
		t.Errorf("control planes end on %q", got)
	}
	for i := range 3 {
		plane := fmt.Sprintf("cp%d", i+1)
		serves := plan.StepID{Host: plane, Name: controlplane.Step}
		for _, e := range []string{"e1", "e2", "e3"} {
			if votes := (plan.StepID{Host: "cp1", Name: "etcd member " + e + " votes"}); !waitsFor(steps, serves, votes) {
				t.Errorf("%s does not wait for %s", serves, votes)
			}
		}
		for _, other := range []string{"cp1", "cp2", "cp3"} {
			leaves := plan.StepID{Host: "cp1", Name: "etcd member " + other + " leaves"}
			if !waitsFor(steps, leaves, serves) {
				t.Errorf("%s does not wait for %s", leaves, serves)
			}
		}
		if gone := (plan.StepID{Host: plane, Name: leave.Ended}); !waitsFor(steps, gone, plan.StepID{Host: "cp1", Name: "etcd member " + plane + " leaves"}) {
			t.Errorf("%s does not wait for its member to leave", gone)
		}
	}
}

// Members come back to control planes, and their own hosts leave.
func TestMembersMoveToControlPlanes(t *testing.T) {
	plane, worker := living(t)
	plane.Etcd = facts.Etcd{}
	plane.Manifests = map[string]string{"kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:v1.37.1"}
	is := map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker}
	with(is, map[string]string{"e1": "10.0.0.31", "e2": "10.0.0.32", "e3": "10.0.0.33"})
	var leaving []facts.Leaver
	for _, name := range []string{"e2", "e3"} {
		leaving = append(leaving, facts.Leaver{InventoryHost: facts.InventoryHost{Name: name, Roles: []string{"etcd"}}, Host: &facts.Host{Kubernetes: is[name]}})
	}
	// e1 is a member yet: without one of those that there are nobody could speak for the others.
	file := strings.ReplaceAll(planesFile, "[control-plane]", "[control-plane, etcd]")
	file = strings.Replace(file, "[control-plane, etcd]", "[control-plane]", 1) // with e1 there are three
	steps, problems := shape(t, file+"- {name: e1, address: 10.0.0.31, roles: [etcd]}\n"+workerFile, is, leaving...)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	if got := hostsOf(steps, leave.Stop); len(got) > 0 {
		t.Errorf("control planes end on %q", got)
	}
	for _, host := range []string{"e2", "e3"} {
		leaves, reset := plan.StepID{Host: "e1", Name: "etcd member " + host + " leaves"}, plan.StepID{Host: host, Name: leave.Reset}
		for _, plane := range []string{"cp1", "cp2", "cp3"} {
			if !waitsFor(steps, leaves, plan.StepID{Host: plane, Name: controlplane.Step}) {
				t.Errorf("%s does not wait for the API server of %s", leaves, plane)
			}
		}
		if !waitsFor(steps, reset, leaves) {
			t.Errorf("%s does not wait for %s", reset, leaves)
		}
	}
}

// A host of etcd becomes a node as well: its kubelet is told of the API, and its member stays as it is, byte by byte.
func TestHostOfEtcdBecomesANode(t *testing.T) {
	plane, worker := living(t)
	plane.Etcd = facts.Etcd{}
	plane.Manifests = map[string]string{"kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:v1.37.1"}
	is := map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker}
	with(is, map[string]string{"e1": "10.0.0.31", "e2": "10.0.0.32", "e3": "10.0.0.33"})
	member := func(steps []plan.Step) string {
		i := slices.IndexFunc(steps, func(s plan.Step) bool { return s.StepID == plan.StepID{Host: "e1", Name: etcd.Step} })
		return fmt.Sprint(steps[i].Resources)
	}
	before, problems := shape(t, apartFile, is)
	joined := strings.Replace(apartFile, "[etcd]}", "[etcd, worker], taints: [{key: etcd, effect: NoSchedule}]}", 1)
	after, more := shape(t, joined, is)
	if got := blocking(append(problems, more...)); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	if member(before) != member(after) {
		t.Errorf("its member is\n%s\nand was\n%s", member(after), member(before))
	}
	if hasNode(before, "e1") || !hasNode(after, "e1") {
		t.Error("it was a node, or becomes none")
	}
}

// Hosts of etcd that all got new disks are no reason to make a second cluster: control planes remember the first.
func TestNewDisksOfAllMembers(t *testing.T) {
	plane, worker := living(t)
	plane.Etcd = facts.Etcd{}
	_, problems := shape(t, apartFile, map[string]facts.Kubernetes{"cp1": plane, "cp2": plane, "cp3": plane, "w1": worker})
	if got := blocking(problems); len(got) == 0 {
		t.Error("nothing stands in the way of a second cluster")
	}
}

func TestStatusOfStandaloneControlPlanes(t *testing.T) {
	w := newWorld(t)
	w.cluster.ControlPlane.Standalone = true
	w.nodes = slices.DeleteFunc(w.nodes, func(n resource.NodeFound) bool { return strings.HasPrefix(n.Name, "cp") })
	s := w.look()
	if len(s.Nodes) != 2 || !s.Well || len(s.Findings) > 0 {
		t.Errorf("nodes are %v; found is %v", s.Nodes, s.Findings)
	}
	w.unwell["cp2"][resource.UnitActive{Name: kubeletUnit}.ID().String()] = "kubelet.service is failed"
	if s := w.look(); len(s.Findings) != 1 || s.Findings[0].Host != "cp2" {
		t.Errorf("found is %v", s.Findings)
	}
}

func TestPortsOfHostsThatAreNoNodes(t *testing.T) {
	for _, c := range []struct{ file, host, want string }{
		{apartFile, "e1", "2379/tcp 2380/tcp 2381/tcp 10248/tcp 10250/tcp"},
		{aloneFile, "cp1", "6443/tcp 10257/tcp 10259/tcp 2379/tcp 2380/tcp 2381/tcp 10248/tcp 10250/tcp"},
		{aloneFile, "w1", "10248/tcp 10250/tcp 4443/tcp 10249/tcp 10256/tcp 8472/udp 6443/tcp"},
	} {
		spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: test\nhosts:\n"+c.file))
		if err != nil {
			t.Fatal(err)
		}
		model := &cluster.Cluster{Cluster: spec}
		var got []string
		for _, p := range portsOf(model, *model.Host(c.host)) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s has %q; want %q", c.host, got, c.want)
		}
	}
}
