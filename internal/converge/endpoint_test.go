package converge

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/kubelet"
	"github.com/kubewright/kubewright/internal/component/leave"
	"github.com/kubewright/kubewright/internal/component/loadbalancer"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// withEndpoint is a cluster of three control planes and two workers.
func withEndpoint(t *testing.T, endpoint string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(`apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: "cp[1-3]", address: "10.0.0.[11-13]", roles: [control-plane]}
- {name: "w[1-2]", address: "10.0.0.[21-22]", roles: [worker]}
endpoint: `+endpoint+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Cluster: spec}
}

const external = "{kind: external, address: 10.0.0.10}"

func TestAskersOfAnEndpoint(t *testing.T) {
	plane, joined := facts.Host{Kubernetes: facts.Kubernetes{API: true}}, facts.Host{Kubernetes: facts.Kubernetes{Joined: true}}
	all := map[string]facts.Host{"cp1": plane, "cp2": plane, "cp3": plane, "w1": joined, "w2": joined}
	for _, c := range []struct {
		name, endpoint string
		hosts          map[string]facts.Host
		want           []string
	}{
		{"of its own kind", "{}", all, nil},
		{"workers are led there", external, all, []string{"w1", "w2"}},
		{"only people are", "{kind: external, address: 10.0.0.10, local: true}", all, []string{"cp1"}},
		{"one worker has not joined", external, map[string]facts.Host{"cp2": plane, "w1": {}, "w2": joined}, []string{"w2"}},
		{"no worker has joined", external, map[string]facts.Host{"cp2": plane, "cp3": plane}, []string{"cp2"}},
		{"no API server is ready", external, map[string]facts.Host{"cp1": {}, "w1": joined}, nil},
		{"there is no cluster yet", external, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := askersOf(withEndpoint(t, c.endpoint), c.hosts); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestSilentEndpoint(t *testing.T) {
	c := withEndpoint(t, external)
	if list := silentEndpoint(c, []string{"w1", "w2"}, nil); list != nil {
		t.Errorf("well: %v", list)
	}
	list := silentEndpoint(c, []string{"w1", "w2"}, map[string]string{"w2": "10.0.0.10:6443: connection refused"})
	const want = "no API server of the cluster answers at the endpoint, 10.0.0.10:6443, asked from w2: connection refused"
	if len(list) != 1 || list[0].Blocks || !list[0].Careful || list[0].Message != want || !strings.Contains(list[0].Remedy, "kubewright endpoint config") {
		t.Errorf("one does not find it: %+v", list)
	}
}

func TestStatusOfAnExternalEndpoint(t *testing.T) {
	const way = "http-answers 10.0.0.10:6443"
	for _, c := range []struct {
		name, endpoint string
		unwell         map[string]map[string]string
		ways           []BalancerStatus
		balancers      int
	}{
		{"well", external, nil, []BalancerStatus{{Host: "w1", State: Well}, {Host: "w2", State: Well}}, 0},
		{"from one host not", external, map[string]map[string]string{"w2": {way: "no route to host"}},
			[]BalancerStatus{{Host: "w1", State: Well}, {Host: "w2", State: Wrong, Why: "no route to host"}}, 0},
		{"for people alone", "{kind: external, address: 10.0.0.10, local: true}", nil,
			[]BalancerStatus{{Host: "cp1", State: Well}, {Host: "cp2", State: Well}, {Host: "cp3", State: Well}}, 2},
		{"none", "{}", nil, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := withEndpoint(t, c.endpoint)
			v := seen{cluster: model, unwell: c.unwell, hosts: map[string]facts.Host{}, found: map[string]resource.Found{}}
			for _, h := range model.Hosts {
				v.hosts[h.Name] = facts.Host{}
				_, probes := reportsOf(model, h)
				asks := slices.ContainsFunc(probes, func(p resource.Probe) bool { return p.ID().String() == way })
				if told := slices.ContainsFunc(c.ways, func(w BalancerStatus) bool { return w.Host == h.Name }); asks != told {
					t.Errorf("%s is asked: %t, and told of: %t", h.Name, asks, told)
				}
			}
			s := v.endpoint()
			if !slices.Equal(s.Ways, c.ways) || len(s.Balancers) != c.balancers {
				t.Errorf("it is %+v", s)
			}
		})
	}
}

const floating = "{kind: keepalived, address: 10.0.0.10}"

// Who has the address that wanders, and what is wrong if nobody has it, or too many have.
func TestHolders(t *testing.T) {
	has := facts.Host{Identity: facts.Identity{Cluster: "c"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.10")}}
	none := facts.Host{Identity: facts.Identity{Cluster: "c"}}
	for _, c := range []struct {
		name    string
		hosts   map[string]facts.Host
		holders []string
		wrong   string
	}{
		{"one", map[string]facts.Host{"cp1": none, "cp2": has, "cp3": none}, []string{"cp2"}, ""},
		{"two", map[string]facts.Host{"cp1": has, "cp2": none, "cp3": has}, []string{"cp1", "cp3"}, "cp1, cp3 have the address of the API, 10.0.0.10:6443, all at once"},
		{"nobody", map[string]facts.Host{"cp1": none, "cp2": none, "cp3": none}, nil, "no host has the address of the API, 10.0.0.10:6443"},
		{"perhaps the one that does not answer", map[string]facts.Host{"cp1": none, "cp2": none}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := withEndpoint(t, floating)
			v := seen{cluster: model, hosts: c.hosts, missing: map[string]string{"cp3": "no route to host"}, asked: "cp1"}
			e := v.endpoint()
			if !slices.Equal(e.Holders, c.holders) || len(e.Balancers) != 3 || len(e.Ways) != 2 || e.Public != "10.0.0.10:6443" {
				t.Errorf("it is %+v", e)
			}
			f := &found{}
			v.ofHolders(f, e)
			if c.wrong == "" && len(f.list) > 0 || c.wrong != "" && (len(f.list) != 1 || f.list[0].Message != c.wrong || f.list[0].Remedy == "") {
				t.Errorf("it says %+v", f.list)
			}
		})
	}
}

// Others are asked for the address that wanders only while nobody of ours can have it.
func TestAskedForTheFloatingAddress(t *testing.T) {
	none := facts.Host{}
	all := map[string]facts.Host{"cp1": none, "cp2": none, "cp3": none, "w1": none, "w2": none}
	held := maps.Clone(all)
	held["cp3"] = facts.Host{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.10")}}
	for _, c := range []struct {
		name, endpoint, host string
		hosts                map[string]facts.Host
		missing              map[string]string
		asked                int
	}{
		{"nobody has it", floating, "cp1", all, nil, 1},
		{"one of ours has it", floating, "cp1", held, nil, 0},
		{"it does not answer", floating, "cp1", all, map[string]string{"cp2": "x"}, 0},
		{"no holder", floating, "w1", all, nil, 0},
		{"another kind", external, "cp1", all, nil, 0},
	} {
		v := surveyed{cluster: withEndpoint(t, c.endpoint), hosts: c.hosts, missing: c.missing}
		if got := v.free(*v.cluster.Host(c.host)); len(got) != c.asked {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestPortsOfHolders(t *testing.T) {
	for endpoint, want := range map[string]string{
		"{}":     "6443/tcp kube-apiserver",
		floating: "6443/tcp kube-apiserver, 16443/tcp haproxy, 16444/tcp haproxy",
	} {
		c := withEndpoint(t, endpoint)
		var got []string
		for _, p := range portsOf(c, *c.Host("cp1")) {
			if p.program == "haproxy" || p.program == "kube-apiserver" {
				got = append(got, p.String()+" "+p.program)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %s", endpoint, got, want)
		}
	}
}

func TestJoinByAnEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"{}":     "10.0.0.12 api.prod.internal",
		external: "10.0.0.10 api.prod.internal",
		floating: "10.0.0.10 api.prod.internal",
		"{kind: external, address: 10.0.0.10, local: true}": "10.0.0.12 api.prod.internal",
		"{kind: external, address: api.example.com}":        "",
	} {
		if j := joinBy(withEndpoint(t, endpoint), "cp2", nil, resource.MadeToken{Token: "t"}); j.Hosts != want {
			t.Errorf("%s: %q, want %q", endpoint, j.Hosts, want)
		}
	}
}

// A new cluster whose API is found at an address that wanders comes up whoever holds it: no steps wait for each other, nor for what is none.
func TestStandardWithAnAddressThatWanders(t *testing.T) {
	for name, c := range map[string]struct {
		more    string
		holders []string
	}{
		"on control planes":   {"", []string{"cp1", "cp2", "cp3"}},
		"on balancers":        {"- {name: \"lb[1-2]\", address: \"10.0.0.[31-32]\", roles: [loadbalancer]}\n", []string{"lb1", "lb2"}},
		"on one that works":   {"- {name: lb1, address: 10.0.0.31, roles: [loadbalancer, worker]}\n", []string{"lb1"}},
		"beside local":        {"", []string{"cp1", "cp2", "cp3"}},
		"lb1 does not answer": {"- {name: \"lb[1-2]\", address: \"10.0.0.[31-32]\", roles: [loadbalancer]}\n", []string{"lb2"}},
	} {
		t.Run(name, func(t *testing.T) {
			spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\nendpoint: "+floating+"\nhosts:\n"+
				"- {name: \"cp[1-3]\", address: \"10.0.0.[11-13]\", roles: [control-plane]}\n- {name: \"w[1-2]\", address: \"10.0.0.[21-22]\", roles: [worker]}\n"+c.more))
			if err != nil {
				t.Fatal(err)
			}
			model := &cluster.Cluster{Cluster: spec}
			model.Endpoint.Local = name == "beside local"
			w := Wish{Cluster: model, Hosts: map[string]facts.Host{}}
			for _, h := range model.Hosts {
				if name == "lb1 does not answer" && h.Name == "lb1" {
					continue
				}
				f := debian(h)
				f.Interfaces = []facts.Interface{{Name: "eth0", Addresses: []netip.Prefix{netip.PrefixFrom(f.Addresses[0], 24)}}}
				w.Hosts[h.Name] = f
			}
			w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(model, w.Hosts) }
			steps, problems := Standard(everything())(w)
			if got := blocking(problems); len(got) > 0 {
				t.Errorf("in the way stands %q", got)
			}
			if err := plan.Check(steps, groups(model)); err != nil {
				t.Error(err)
			}
			got := slices.DeleteFunc(hostsOf(steps, loadbalancer.Step), func(host string) bool { return !model.Holder(*model.Host(host)) })
			if !slices.Equal(got, c.holders) {
				t.Errorf("%q may hold it, want %q", got, c.holders)
			}
			for _, s := range steps {
				if s.Name != kubelet.Step || s.Host != "w1" {
					continue
				}
				waits := 0
				for _, condition := range s.Requires {
					if slices.ContainsFunc(condition.Of, func(id plan.StepID) bool { return id.Name == loadbalancer.Step }) {
						waits += condition.Needed()
					}
				}
				if waits != 1 {
					t.Errorf("the kubelet of w1 waits for %d balancers", waits)
				}
			}
		})
	}
}

// Packages change before anything else on a host: those of a balancer stay as long as it is there.
func TestStandardKeepsTheBalancerThatIsThere(t *testing.T) {
	model := withEndpoint(t, external)
	w := Wish{Cluster: model, Hosts: map[string]facts.Host{}}
	for _, h := range model.Hosts {
		w.Hosts[h.Name] = debian(h)
	}
	f := w.Hosts["w1"]
	f.Ways.Balancer = true
	w.Hosts["w1"] = f
	w.Keys = func() (Keys, []plan.Problem) { return newKeyring(machines{}.fetch).see(model, w.Hosts) }
	steps, _ := Standard(everything())(w)
	var have []string
	for _, s := range steps {
		for _, r := range s.Resources {
			if p, ok := r.(resource.Packages); ok && slices.Contains(p.Names, "haproxy") {
				have = append(have, s.Host)
			}
		}
	}
	if !slices.Equal(have, []string{"w1"}) {
		t.Errorf("%q have the package haproxy, want w1", have)
	}
}

// planeOf is a control plane that lives, one of cp1, cp2 and cp3 with a member each, by the number of its own.
func planeOf(k facts.Kubernetes, n string) facts.Kubernetes {
	k.Manifests = map[string]string{"kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:v1.37.1", "etcd.yaml": "registry.k8s.io/etcd:3.7.3"}
	k.Etcd.Leader, k.Etcd.Quorum, k.Etcd.ID, k.Etcd.Members = "1", true, n, nil
	for _, n := range []string{"1", "2", "3"} {
		k.Etcd.Members = append(k.Etcd.Members, facts.EtcdMember{ID: n, Name: "cp" + n, PeerURLs: []string{"https://10.0.0.1" + n + ":2380"}})
	}
	return k
}

// shapeWith is shape where hosts have balancers.
func shapeWith(t *testing.T, file string, is map[string]facts.Kubernetes, balancers []string, leaving ...facts.Leaver) ([]plan.Step, []plan.Problem) {
	t.Helper()
	return shapeOf(t, file, func(name string, f *facts.Host) {
		f.Kubernetes = is[name]
		f.Ways.Balancer = slices.Contains(balancers, name)
	}, leaving...)
}

// Balancers that people use are told of a control plane when it has come, and the one that goes waits for that. New balancers lead nobody yet.
func TestBalancersHearOfThoseThatCame(t *testing.T) {
	plane, worker := living(t)
	file := strings.Replace(planesFile, "cp3, address: 10.0.0.13", "cp4, address: 10.0.0.14", 1) + workerFile + "- {name: w2, address: 10.0.0.22, roles: [worker]}\n"
	gone := facts.Leaver{InventoryHost: facts.InventoryHost{Name: "cp3", Roles: []string{"control-plane"}}, Host: &facts.Host{Kubernetes: planeOf(plane, "3")}}
	steps, problems := shapeWith(t, file, map[string]facts.Kubernetes{"cp1": planeOf(plane, "1"), "cp2": planeOf(plane, "2"), "w1": worker}, []string{"w1"}, gone)
	if got := blocking(problems); len(got) > 0 {
		t.Fatalf("it is refused: %q", got)
	}
	comes, told := plan.StepID{Host: "cp4", Name: controlplane.Step}, plan.StepID{Host: "w1", Name: loadbalancer.Step}
	for _, c := range []struct {
		step plan.StepID
		want bool
	}{
		{told, true},
		{plan.StepID{Host: "w2", Name: loadbalancer.Step}, false},
		{plan.StepID{Host: "cp3", Name: leave.Stop}, true},
	} {
		if got := waitsFor(steps, c.step, comes); got != c.want {
			t.Errorf("%s waits for the control plane that comes: %v; want %v", c.step, got, c.want)
		}
	}
	if waitsFor(steps, plan.StepID{Host: "w1", Name: kubelet.Step}, told) {
		t.Error("what else is to be done on a worker waits, too")
	}
}

// Whoever comes, and whatever the others carry, no two steps wait for each other (shape sees to that).
func TestControlPlanesCome(t *testing.T) {
	plane, worker := living(t)
	broken := planeOf(plane, "3")
	broken.API, broken.Etcd = false, facts.Etcd{Data: true, Log: true, InitialCluster: broken.Etcd.InitialCluster, Unwell: "it does not answer"}
	learner := planeOf(plane, "3")
	learner.Etcd.Learner, learner.Etcd.Quorum = true, false
	unserved := planeOf(plane, "3")
	unserved.API, unserved.Manifests = false, map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3"}
	const another = "- {name: cp4, address: 10.0.0.14, roles: [control-plane]}\n"
	two := strings.SplitAfter(planesFile, "\n")[0] + strings.SplitAfter(planesFile, "\n")[1]
	three := map[string]facts.Kubernetes{"cp1": planeOf(plane, "1"), "cp2": planeOf(plane, "2"), "cp3": planeOf(plane, "3"), "w1": worker}
	with := func(is map[string]facts.Kubernetes, name string, k facts.Kubernetes) map[string]facts.Kubernetes {
		is = maps.Clone(is)
		is[name] = k
		return is
	}
	member := func(n string) facts.Kubernetes {
		k := worker
		k.Formed, k.Kubelet, k.Manifests, k.Etcd = true, true, map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3"}, planeOf(plane, n).Etcd
		for i := range k.Etcd.Members {
			k.Etcd.Members[i] = facts.EtcdMember{ID: k.Etcd.Members[i].ID, Name: "e" + k.Etcd.Members[i].ID, PeerURLs: []string{"https://10.0.0.3" + k.Etcd.Members[i].ID + ":2380"}}
		}
		return k
	}
	beside := planeOf(plane, "")
	beside.Etcd, beside.Manifests = facts.Etcd{}, map[string]string{"kube-apiserver.yaml": "registry.k8s.io/kube-apiserver:v1.37.1"}
	apart := map[string]facts.Kubernetes{"cp1": beside, "cp2": beside, "cp3": beside, "w1": worker, "e1": member("1"), "e2": member("2"), "e3": member("3")}
	nodes := strings.ReplaceAll(etcdFile, "[etcd]", "[etcd, worker]")
	for name, c := range map[string]struct {
		file string
		is   map[string]facts.Kubernetes
	}{
		"hosts of etcd are workers":               {planesFile + nodes + workerFile + another, apart},
		"hosts of etcd are workers, keepalived":   {planesFile + nodes + workerFile + another + "endpoint: {kind: keepalived, address: 10.0.0.100}\n", apart},
		"a manifest was removed by hand":          {planesFile + workerFile, with(three, "cp3", unserved)},
		"one with a dead member becomes a worker": {two + another + "- {name: cp3, address: 10.0.0.13, roles: [worker]}\n" + workerFile, with(three, "cp3", broken)},
		"one with a learner becomes a worker":     {two + another + "- {name: cp3, address: 10.0.0.13, roles: [worker]}\n" + workerFile, with(three, "cp3", learner)},
		"a worker gets a member for events":       {planesFile + another + "- {name: e1, address: 10.0.0.31, roles: [worker, etcd]}\n- {name: e2, address: 10.0.0.32, roles: [etcd]}\n- {name: e3, address: 10.0.0.33, roles: [etcd]}\n" + workerFile, apart},
	} {
		t.Run(name, func(t *testing.T) { shapeWith(t, c.file, c.is, []string{"w1", "e1", "e2", "e3", "cp1", "cp2", "cp3"}) })
	}
}
