package converge

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// model is a cluster of three control planes, one of them dedicated to nothing else, and two workers.
func model(t *testing.T) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(`apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: w1, address: 10.0.0.4, roles: [worker]}
- {name: c1, address: 10.0.0.1, roles: [control-plane]}
- {name: c2, address: 10.0.0.2, roles: [control-plane]}
- {name: c3, address: 10.0.0.3, roles: [control-plane]}
- {name: w2, address: 10.0.0.5, roles: [worker]}
`))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Cluster: spec}
}

// of makes a host of a cluster.
func of(name, cluster string) facts.Host {
	f := facts.Host{Identity: facts.Identity{Machine: "machine of " + name, Cluster: cluster}}
	if cluster != "" {
		f.Identity.ClusterName = "called " + cluster
	}
	return f
}

func TestIdentify(t *testing.T) {
	clone := of("w2", "")
	clone.Identity.Machine = "machine of w1"
	for _, c := range []struct {
		name    string
		hosts   map[string]facts.Host
		id      string
		problem string // what the first problem says
		blocks  string // the host that it blocks; "" is all
	}{
		{name: "a new cluster", hosts: map[string]facts.Host{"c1": of("c1", ""), "c2": of("c2", ""), "c3": of("c3", ""), "w1": of("w1", "")}, id: "fresh"},
		{name: "a living one", hosts: map[string]facts.Host{"c1": of("c1", "x"), "c2": of("c2", "x"), "c3": of("c3", "x"), "w1": of("w1", "x")}, id: "x"},
		{name: "one that was begun", hosts: map[string]facts.Host{"c1": of("c1", ""), "c2": of("c2", "x"), "c3": of("c3", "")}, id: "x"},
		{name: "few answer, but know", hosts: map[string]facts.Host{"c3": of("c3", "x")}, id: "x"},
		{name: "nobody answers", problem: "only 0 of 3 control-plane and etcd hosts answered, and none belongs to a cluster"},
		{name: "most answer and know nothing", hosts: map[string]facts.Host{"c1": of("c1", ""), "c2": of("c2", "")},
			problem: "only 2 of 3 control-plane and etcd hosts answered, and none belongs to a cluster"},
		{name: "two clusters", hosts: map[string]facts.Host{"c1": of("c1", "x"), "c2": of("c2", "y"), "c3": of("c3", "x")},
			problem: "the control-plane and etcd hosts belong to different clusters: c1, c3 is of x; c2 is of y"},
		{name: "a foreign worker", hosts: map[string]facts.Host{"c1": of("c1", "x"), "w1": of("w1", "y"), "w2": of("w2", "x")}, id: "x",
			problem: "w1: it belongs to another cluster, called y (y)", blocks: "w1"},
		{name: "a clone", hosts: map[string]facts.Host{"c1": of("c1", "x"), "w1": of("w1", ""), "w2": clone}, id: "x",
			problem: "w2: it and w1 have the same /etc/machine-id", blocks: "w2"},
	} {
		id, problems := identify(model(t), c.hosts, "fresh")
		if id != c.id {
			t.Errorf("%s: it is %q, want %q", c.name, id, c.id)
		}
		switch {
		case c.problem == "" && len(problems) > 0 || c.problem != "" && len(problems) != 1:
			t.Errorf("%s: %v", c.name, problems)
		case c.problem != "":
			if p := problems[0]; !strings.HasPrefix(p.String(), c.problem) || !p.Blocks || p.Host != c.blocks || p.Remedy == "" {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
	}
}

// TestIdentityComesFirstWhereItIsLearnt has those say whose the cluster is that later runs ask.
func TestIdentityComesFirstWhereItIsLearnt(t *testing.T) {
	c := model(t)
	steps := identitySteps(c, map[string]facts.Host{"c1": {}, "c2": {}, "w1": {}}, "x")
	got := map[string]string{}
	for _, s := range steps {
		waits := ""
		for _, r := range s.Requires {
			waits = fmt.Sprintf("%d of %v", r.Needed(), r.Of)
		}
		got[s.Host] = waits
	}
	if len(got) != 3 || got["c1"] != "" || got["c2"] != "" || got["w1"] != "2 of [c1 identity c2 identity c3 identity]" {
		t.Errorf("%q", got)
	}
}

func names(i facts.Inventory) (all []string) {
	for _, h := range i.Hosts {
		all = append(all, h.Name+"/"+h.Machine)
	}
	return all
}

func TestInventory(t *testing.T) {
	c1, c2 := of("c1", "x"), of("c2", "x")
	c1.Inventory = &facts.Inventory{Hosts: []facts.InventoryHost{{Name: "c3", Address: "10.9.9.9", Machine: "m3"}, {Name: "old1", Address: "10.0.0.9", Port: 2222, User: "admin"}}}
	c2.Inventory = &facts.Inventory{Hosts: []facts.InventoryHost{{Name: "old1", Machine: "mo1", Address: "10.0.0.9"}, {Name: "old2", Machine: "mo2"}}}
	hosts := map[string]facts.Host{"c1": c1, "c2": c2, "w1": of("w1", "x")}
	all, problems := inventory(model(t), hosts, []string{"old2"}, nil, nil)
	// c3 does not answer: what it is called inside is remembered, where it is the file says. old1 is known better by c2.
	want := []string{"c1/machine of c1", "c2/machine of c2", "c3/m3", "old1/mo1", "w1/machine of w1", "w2/"}
	if !slices.Equal(names(all), want) || all.Hosts[2].Address != "10.0.0.3" || !slices.Equal(all.Hosts[2].Roles, []string{"control-plane"}) {
		t.Errorf("%q: %+v", names(all), all.Hosts)
	}
	if len(problems) != 1 || problems[0].Blocks || !strings.Contains(problems[0].String(), `old1 is not in the cluster file any more`) {
		t.Errorf("%v", problems)
	}
	steps, err := inventorySteps(model(t), hosts, nil, all, nil)
	if err != nil || len(steps) != 2 || steps[0].Host != "c1" || steps[1].Host != "c2" {
		t.Fatalf("%v, %v", steps, err)
	}
	f := steps[0].Resources[0].(resource.File)
	var read facts.Inventory
	if err := json.Unmarshal(f.Content, &read); err != nil || !slices.Equal(names(read), want) || f.Mode != 0o600 {
		t.Errorf("%v, %q, %v", err, names(read), f.Mode)
	}
	// What all remember is the same, so that nothing changes from run to run.
	again, _ := inventory(model(t), map[string]facts.Host{"c1": {Identity: c1.Identity, Inventory: &all}, "c2": c2, "w1": of("w1", "x")}, []string{"old2"}, nil, nil)
	if !slices.Equal(names(again), want) {
		t.Errorf("the next time: %q", names(again))
	}
}

// TestRenamedHostHasNotLeft knows a machine under its new name, also while it does not answer.
func TestRenamedHostHasNotLeft(t *testing.T) {
	c1 := of("c1", "x")
	c1.Inventory = &facts.Inventory{Hosts: []facts.InventoryHost{
		{Name: "old1", Machine: "machine of w1"}, {Name: "old2", Machine: "machine of w2"}, {Name: "w2", Machine: "machine of w2"}, {Name: "unseen"}}}
	all, problems := inventory(model(t), map[string]facts.Host{"c1": c1, "w1": of("w1", "x")}, nil, nil, nil)
	want := []string{"c1/machine of c1", "c2/", "c3/", "unseen/", "w1/machine of w1", "w2/machine of w2"}
	if !slices.Equal(names(all), want) || len(problems) != 1 || !strings.Contains(problems[0].Remedy, "reset --forget unseen") {
		t.Errorf("%q, %v", names(all), problems)
	}
}

func TestOwnFilesAreNotTheUsers(t *testing.T) {
	for _, c := range []struct {
		path string
		ours resource.Resource
		free bool
	}{
		{"/etc/a", resource.NewFile("/etc/a", "ours"), false},
		{"/etc/a", resource.NewFile("/etc/b", "ours"), true},
		{"/etc/a", resource.Link{Path: "/etc/a", Target: "/b"}, false},
		{"/etc/a", resource.Directory{Path: "/etc/a"}, false},
		{"/etc/a/b", resource.Directory{Path: "/etc/a"}, true},
		{"/etc/a", resource.Block{Path: "/etc/a", Name: "x"}, false},
		{"/etc/a", resource.SysctlFile{Path: "/etc/a"}, false},
		{"/opt/cni", resource.Program{Name: "cni", Path: "/opt/cni", Commands: []string{"bridge"}}, false},
		{"/opt/bridge", resource.Program{Name: "cni", Path: "/opt/cni", Commands: []string{"bridge"}}, false},
		{agent.InventoryFile, resource.NewFile("/etc/b", "ours"), false},
		{agent.Dir + "/x", resource.NewFile("/etc/b", "ours"), false},
	} {
		for _, first := range []bool{true, false} {
			m := model(t)
			m.Files = []cluster.File{{File: v1alpha1.File{Path: c.path}}, {File: v1alpha1.File{Path: "/etc/mine"}}}
			mine := resource.NewFile("/etc/mine", "the user's")
			steps := []plan.Step{
				{StepID: plan.StepID{Host: "c1", Name: hostprep.Step}, Resources: []resource.Resource{resource.NewFile(c.path, "the user's"), mine}},
				{StepID: plan.StepID{Host: "c1", Name: "ours"}, Resources: []resource.Resource{c.ours}},
				{StepID: plan.StepID{Host: "c2", Name: hostprep.Step}, Resources: []resource.Resource{mine}},
			}
			if !first {
				slices.Reverse(steps)
			}
			steps, problems := own(m, steps)
			left := map[string]int{}
			for _, s := range steps {
				left[s.Host+" "+s.Name] = len(s.Resources)
			}
			users, told := 1, 1
			if c.free {
				users, told = 2, 0
			}
			if left["c1 ours"] != 1 || left["c1 "+hostprep.Step] != users || left["c2 "+hostprep.Step] != 1 || len(problems) != told {
				t.Errorf("%s and %s: %v, %v", c.path, c.ours.ID(), left, problems)
			}
			if told == 1 && len(problems) == 1 && (problems[0].Host != "c1" || !problems[0].Blocks || !strings.Contains(problems[0].Message, c.path)) {
				t.Errorf("%s and %s: %+v", c.path, c.ours.ID(), problems[0])
			}
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
		}
	}
}

// A host that is silent for a moment keeps the addresses that others know, or its line would go from their /etc/hosts.
func TestAddressesOfSilentHostsAreRemembered(t *testing.T) {
	m := model(t)
	for i := range m.Hosts {
		if m.Hosts[i].Name == "c3" || m.Hosts[i].Name == "w2" {
			m.Hosts[i].Address, m.Hosts[i].InternalAddresses = m.Hosts[i].Name+".example", nil
		}
	}
	addressesOf := func(c *cluster.Cluster, name string) string { return strings.Join(c.Host(name).InternalAddresses, " ") }
	c3 := of("c3", "x")
	c3.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.9.0.3"), netip.MustParseAddr("2001:db8::3")}
	hosts := map[string]facts.Host{"c1": of("c1", "x"), "c2": of("c2", "x"), "c3": c3}
	whole := complete(m, hosts)
	if got := addressesOf(whole, "c3"); got != "10.0.0.3 2001:db8::3" {
		t.Errorf("c3 has %s", got)
	}
	known, _ := inventory(whole, hosts, nil, nil, nil)
	c1 := of("c1", "x")
	c1.Inventory = &known
	silent := map[string]facts.Host{"c1": c1, "c2": of("c2", "x")}
	whole = complete(m, silent)
	if got := addressesOf(whole, "c3"); got != "10.0.0.3 2001:db8::3" {
		t.Errorf("when it is silent, c3 has %q", got)
	}
	if again, _ := inventory(whole, silent, nil, nil, nil); !slices.EqualFunc(again.Hosts, known.Hosts, func(a, b facts.InventoryHost) bool {
		return a.Name == b.Name && slices.Equal(a.InternalAddresses, b.InternalAddresses)
	}) {
		t.Errorf("then %+v are remembered; want %+v", again.Hosts, known.Hosts)
	}
	if got := addressesOf(whole, "w2"); got != "" {
		t.Errorf("w2 was never seen, and has %s", got)
	}
	m.Host("c3").Address = "elsewhere.example"
	if got := addressesOf(complete(m, silent), "c3"); got != "" {
		t.Errorf("c3 is elsewhere now, and has %s", got)
	}
}

func TestGroups(t *testing.T) {
	for _, c := range []struct {
		role    v1alpha1.Role
		n       int
		atOnce  int
		minWell int
		stop    int
	}{
		{v1alpha1.ControlPlane, 1, 1, 0, 1}, {v1alpha1.ControlPlane, 2, 1, 1, 1}, {v1alpha1.ControlPlane, 3, 1, 2, 1}, {v1alpha1.ControlPlane, 5, 1, 3, 1},
		{v1alpha1.Worker, 1, 1, 0, 1}, {v1alpha1.Worker, 19, 1, 0, 1}, {v1alpha1.Worker, 200, 20, 0, 10},
	} {
		m := model(t)
		m.Hosts = nil
		for i := range c.n {
			m.Hosts = append(m.Hosts, v1alpha1.Host{Name: fmt.Sprint("m", i), Roles: []v1alpha1.Role{c.role}})
		}
		g := groups(m)
		if len(g) != 1 || g[0].AtOnce != c.atOnce || g[0].MinWell != c.minWell || g[0].StopAfter != c.stop || g[0].Canary != (c.role == v1alpha1.Worker) || len(g[0].Members) != c.n {
			t.Errorf("%d with the role %s: %+v", c.n, c.role, g)
		}
	}
}

// Members are disturbed as those of their cluster, whatever else their hosts do, and hosts that carry events alone do not count for the main etcd.
func TestGroupsOfMembers(t *testing.T) {
	m := model(t)
	m.Hosts = nil
	for name, roles := range map[string][]v1alpha1.Role{
		"cp1": {v1alpha1.ControlPlane}, "cp2": {v1alpha1.ControlPlane, v1alpha1.Etcd}, "cp3": {v1alpha1.ControlPlane, v1alpha1.Etcd}, "e1": {v1alpha1.Etcd}, "ev1": {v1alpha1.Etcd},
	} {
		m.Hosts = append(m.Hosts, v1alpha1.Host{Name: name, Roles: roles})
	}
	m.Etcd.Events.Hosts = []string{"ev1"}
	want := map[string]string{cluster.ControlPlanes: "cp1 cp2 cp3: 2", cluster.EtcdHosts: "e1 ev1: 1", cluster.MainMembers: "cp2 cp3 e1: 2", cluster.EventsMembers: "ev1: 0"}
	for _, g := range groups(m) {
		slices.Sort(g.Members)
		if got := fmt.Sprintf("%s: %d", strings.Join(g.Members, " "), g.MinWell); got != want[g.Name] {
			t.Errorf("%s: %s, want %s", g.Name, got, want[g.Name])
		}
		delete(want, g.Name)
	}
	if len(want) > 0 {
		t.Errorf("there are no %v", want)
	}
}

func TestConditionsOnHostsThatAreMissing(t *testing.T) {
	gone := plan.StepID{Host: "gone", Name: "a"}
	here := plan.Step{StepID: plan.StepID{Host: "c1", Name: "a"}, Requires: []plan.Condition{plan.After(gone)}}
	steps := onlyThere([]plan.Step{here, {StepID: plan.StepID{Host: "c1", Name: "b"}, Requires: here.Requires}}, map[string]facts.Host{"c1": {}})
	if len(steps) != 3 || steps[2].StepID != gone || plan.Check(steps, nil) != nil {
		t.Errorf("%v", steps)
	}
	// A condition on what nobody makes stays a mistake.
	if steps := onlyThere([]plan.Step{here}, map[string]facts.Host{"c1": {}, "gone": {}}); plan.Check(steps, nil) == nil {
		t.Error("a step waits for one that is none, and nobody notices")
	}
}

func TestLocksAreTakenInTheOrderOfAddresses(t *testing.T) {
	all := []string{"b.example", "10.0.0.10", "10.0.0.9", "a.example", "fd00::1"}
	slices.SortFunc(all, compareAddresses)
	if got := strings.Join(all, " "); got != "10.0.0.9 10.0.0.10 fd00::1 a.example b.example" {
		t.Error(got)
	}
}
