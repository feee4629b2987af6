package converge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/clusterobjects"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/etcd"
	"github.com/kubewright/kubewright/internal/component/kubelet"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// everything is a bundle with all that a cluster needs.
func everything() *bundle.Bundle {
	hash := func(letter string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(letter, 64)} }
	b := &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64", Parts: []bundle.Part{
		{Kind: bundle.Packages, Name: "debian-12", Blobs: []bundle.Blob{{Digest: hash("a"), MediaType: bundle.RepositoryLayer}}}}}
	for _, n := range []string{"containerd", "ctr", "containerd-shim-runc-v2", "runc", "crictl", "kubernetes", "cni", "etcdctl", "etcdutl"} {
		b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Programs, Name: n, Blobs: []bundle.Blob{
			{Digest: hash("b"), Size: 1000, MediaType: bundle.ProgramLayer, Title: n, Commands: []string{"kubelet", "kubectl", "kubeadm"}}}})
	}
	for _, n := range []string{"coredns/coredns:v1.14.6", "etcd:3.7.3-0", "kube-apiserver:v1.37.1", "kube-controller-manager:v1.37.1", "kube-proxy:v1.37.1",
		"kube-scheduler:v1.37.1", "metrics-server/metrics-server:v0.9.0", "pause:3.10.2", "flannel:v0.28.4", "kubewright-approver:v0.1.0"} {
		b.Parts = append(b.Parts, bundle.Part{Kind: bundle.Image, Name: "registry.k8s.io/" + n, Digest: hash("c").String()})
	}
	return b
}

// debian is a plain machine.
func debian(h v1alpha1.Host) facts.Host {
	return facts.Host{
		BootID: "boot-" + h.Name, Hostname: h.Name, OS: facts.OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"}, Kernel: "6.1.0-18-amd64",
		Arch: "amd64", Virtualization: "kvm", CPUs: 4, Memory: 8 << 30, Cgroup: 2, Systemd: 252, RaisePriority: true, SetClock: true, LoadModules: true,
		Packages: "apt", Addresses: []netip.Addr{netip.MustParseAddr(h.Address)}, Free: map[string]uint64{"/var/lib": 40 << 30, "/": 40 << 30},
	}
}

// standard are the steps and problems of a cluster of which some hosts are as they are told, and the rest are plain machines; those in silent did not answer.
func standard(t *testing.T, is map[string]facts.Kubernetes, silent ...string) ([]plan.Step, []plan.Problem) {
	t.Helper()
	c := ringCluster(t, "")
	w := Wish{Cluster: c, Hosts: map[string]facts.Host{}}
	for i, h := range c.Hosts {
		c.Hosts[i].InternalAddresses = []string{h.Address} // as a session finds them out
		if slices.Contains(silent, h.Name) {
			continue
		}
		f := debian(h)
		f.Kubernetes = is[h.Name]
		w.Hosts[h.Name] = f
	}
	w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(c, w.Hosts) }
	steps, problems := Standard(everything())(w)
	if err := plan.Check(steps, []plan.Group{{Name: cluster.ControlPlanes, AtOnce: 1}, {Name: cluster.Workers, AtOnce: 1}}); err != nil {
		t.Error(err)
	}
	return steps, problems
}

// blocking are the problems that block.
func blocking(problems []plan.Problem) (list []string) {
	for _, p := range problems {
		if p.Blocks {
			list = append(list, p.String())
		}
	}
	return list
}

// hostsOf are those that have a step.
func hostsOf(steps []plan.Step, name string) (hosts []string) {
	for _, s := range steps {
		if s.Name == name {
			hosts = append(hosts, s.Host)
		}
	}
	return hosts
}

// living is a machine of a cluster that lives, with all keys if it is a control plane.
func living(t *testing.T) (plane, worker facts.Kubernetes) {
	t.Helper()
	keys := madeFor(t, ringCluster(t, ""))
	plane = having(keys).Kubernetes
	plane.Formed, plane.API, plane.Kubelet, plane.Joined = true, true, true, true
	plane.Etcd = facts.Etcd{Data: true, Log: true, InitialCluster: "cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380,cp3=https://10.0.0.13:2380"}
	worker = having(map[string][]byte{certificatePath("ca"): keys[certificatePath("ca")]}).Kubernetes
	worker.Joined = true
	return plane, worker
}

func TestStandardOfANewCluster(t *testing.T) {
	steps, problems := standard(t, nil)
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	planes, all := []string{"cp1", "cp2", "cp3"}, []string{"cp1", "cp2", "cp3", "w1", "w2"}
	for name, want := range map[string][]string{etcd.Step: planes, etcd.Formed: planes, controlplane.Step: planes, kubelet.Step: all,
		clusterobjects.Join: {"cp1"}, clusterobjects.Roles: {"cp1"}} {
		if got := hostsOf(steps, name); !slices.Equal(got, want) {
			t.Errorf("the step %s is one of %q; want %q", name, got, want)
		}
	}
	ends(t, steps)
	for _, o := range objects(steps) {
		if !o.API.New {
			t.Errorf("%s is of an API that has to be there already", o.ID())
		}
	}
}

// A kubelet that is well ends and starts static Pods; one that is not comes before them.
func TestStandardOrdersKubelets(t *testing.T) {
	well, worker := living(t)
	noKubelet, noAPI := well, well
	noKubelet.Kubelet, noAPI.API = false, false
	steps, problems := standard(t, map[string]facts.Kubernetes{"cp1": well, "cp2": noKubelet, "cp3": noAPI, "w1": worker, "w2": worker})
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	ends(t, steps)
	waits := func(host, step, other string) bool {
		i := slices.IndexFunc(steps, func(s plan.Step) bool { return s.StepID == plan.StepID{Host: host, Name: step} })
		return slices.ContainsFunc(steps[i].Requires, func(c plan.Condition) bool { return slices.Contains(c.Of, plan.StepID{Host: host, Name: other}) })
	}
	for host, last := range map[string]bool{"cp1": true, "cp2": false, "cp3": false} {
		if waits(host, kubelet.Step, controlplane.Step) != last || waits(host, etcd.Step, kubelet.Step) == last || waits(host, controlplane.Step, kubelet.Step) == last {
			t.Errorf("%s: whether its kubelet comes last is not %t", host, last)
		}
	}
}

// ends has steps taken in the order of the list, until each found what it waits for.
func ends(t *testing.T, steps []plan.Step) {
	t.Helper()
	done := map[plan.StepID]bool{}
	for left := slices.Clone(steps); len(left) > 0; {
		ready := slices.DeleteFunc(slices.Clone(left), func(s plan.Step) bool {
			return slices.ContainsFunc(s.Requires, func(c plan.Condition) bool {
				return len(slices.DeleteFunc(slices.Clone(c.Of), func(id plan.StepID) bool { return !done[id] })) < c.Needed()
			})
		})
		if len(ready) == 0 {
			t.Fatalf("%d steps wait for each other for ever, %s first", len(left), left[0].StepID)
		}
		for _, s := range ready {
			done[s.StepID] = true
		}
		left = slices.DeleteFunc(left, func(s plan.Step) bool { return done[s.StepID] })
	}
}

// kubeadm knows what it would take away else when it upgrades.
func TestKubeadmIsTold(t *testing.T) {
	steps, _ := standard(t, nil)
	for _, o := range objects(steps) {
		if o.ID().Name != "ConfigMap kube-system/kubeadm-config" {
			continue
		}
		for _, want := range []string{"name: audit-policy-file", "name: authentication-config", "name: encryption-provider-config", "hostPath: /etc/kubernetes/encryption.yaml", "pathType: File",
			"hostPath: /var/log/kubernetes/audit", "name: node-cidr-mask-size", "name: quota-backend-bytes"} {
			if !strings.Contains(string(o.Object), want) {
				t.Errorf("there is no %s in %s", want, o.Object)
			}
		}
		return
	}
	t.Error("there is no kubeadm-config")
}

func objects(steps []plan.Step) (list []resource.KubeObject) {
	for _, s := range steps {
		for _, r := range s.Resources {
			if o, ok := r.(resource.KubeObject); ok {
				list = append(list, o)
			}
		}
	}
	return list
}

// A control plane that is silent stops nobody else, and nothing is built on it.
func TestStandardWithASilentControlPlane(t *testing.T) {
	plane, worker := living(t)
	steps, problems := standard(t, map[string]facts.Kubernetes{"cp2": plane, "cp3": plane, "w1": worker, "w2": worker}, "cp1")
	if got := blocking(problems); len(got) > 0 {
		t.Errorf("in the way stands %q", got)
	}
	for name, want := range map[string][]string{etcd.Step: {"cp2", "cp3"}, controlplane.Step: {"cp2", "cp3"}, kubelet.Step: {"cp2", "cp3", "w1", "w2"}, clusterobjects.Roles: {"cp2"}} {
		if got := hostsOf(steps, name); !slices.Equal(got, want) {
			t.Errorf("the step %s is one of %q; want %q", name, got, want)
		}
	}
	for _, o := range objects(steps) {
		if o.API.New || o.API.Servers[0] != "10.0.0.12:6443" {
			t.Errorf("%s is of the API at %v, a new one: %t", o.ID(), o.API.Servers, o.API.New)
		}
	}
	// A new cluster, though, waits for all.
	if _, problems := standard(t, nil, "cp1"); len(blocking(problems)) == 0 {
		t.Error("a new cluster is made without one of its control planes")
	}
	if steps, problems := standard(t, map[string]facts.Kubernetes{"w1": worker}, "cp1", "cp2", "cp3"); len(blocking(problems)) == 0 || len(objects(steps)) > 0 {
		t.Errorf("without control planes there are %d objects, and %q is in the way", len(objects(steps)), problems)
	}
}

func TestExecutor(t *testing.T) {
	ready := facts.Host{Kubernetes: facts.Kubernetes{API: true}}
	for _, tt := range []struct {
		name  string
		hosts map[string]facts.Host
		want  string
	}{
		{"nobody", nil, ""},
		{"workers alone", map[string]facts.Host{"w1": ready}, ""},
		{"none is ready", map[string]facts.Host{"cp1": {}, "cp2": {}}, "cp1"},
		{"the second answered alone", map[string]facts.Host{"cp2": {}}, "cp2"},
		{"the last is ready", map[string]facts.Host{"cp1": {}, "cp2": {}, "cp3": ready}, "cp3"},
		{"all are ready", map[string]facts.Host{"cp1": ready, "cp2": ready, "cp3": ready}, "cp1"},
	} {
		if got := executor(Wish{Cluster: ringCluster(t, ""), Hosts: tt.hosts}); got != tt.want {
			t.Errorf("%s: %q; want %q", tt.name, got, tt.want)
		}
	}
}

func TestJoining(t *testing.T) {
	in := facts.Host{Kubernetes: facts.Kubernetes{Joined: true}}
	for _, tt := range []struct {
		name  string
		hosts map[string]facts.Host
		want  bool
	}{
		{"a new cluster", map[string]facts.Host{"cp1": {}, "w1": {}}, true},
		{"all joined", map[string]facts.Host{"cp1": in, "w1": in, "w2": in}, false},
		{"control planes have theirs signed", map[string]facts.Host{"cp1": {}, "w1": in}, false},
		{"a silent one does not count", map[string]facts.Host{"cp1": in, "w1": in}, false},
		{"one is new", map[string]facts.Host{"cp1": in, "w1": in, "w2": {}}, true},
	} {
		if got := joining(Wish{Cluster: ringCluster(t, ""), Hosts: tt.hosts}); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// A living cluster is not made another version of by a bundle that happens to be newer.
func TestAnotherVersionIsRefused(t *testing.T) {
	runs := func(tag string, formed bool) map[string]facts.Kubernetes {
		return map[string]facts.Kubernetes{"cp2": {Formed: formed, Manifests: map[string]string{"kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:" + tag}}}
	}
	refused := func(is map[string]facts.Kubernetes) bool {
		_, problems := standard(t, is)
		return slices.ContainsFunc(blocking(problems), func(p string) bool { return strings.Contains(p, "runs Kubernetes v1.36.4 on cp2") })
	}
	if !refused(runs("v1.36.4", true)) {
		t.Error("a cluster of another version is taken over")
	}
	if refused(runs("v1.37.1", true)) || refused(runs("v1.36.4", false)) {
		t.Error("a cluster of the bundle's version, or one that never was whole, is refused")
	}
}
