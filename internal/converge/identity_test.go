package converge

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
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
	all, problems := inventory(model(t), hosts, []string{"old2"})
	// c3 does not answer: what it is called inside is remembered, where it is the file says. old1 is known better by c2.
	want := []string{"c1/machine of c1", "c2/machine of c2", "c3/m3", "old1/mo1", "w1/machine of w1", "w2/"}
	if !slices.Equal(names(all), want) || all.Hosts[2].Address != "10.0.0.3" || !slices.Equal(all.Hosts[2].Roles, []string{"control-plane"}) {
		t.Errorf("%q: %+v", names(all), all.Hosts)
	}
	if len(problems) != 1 || problems[0].Blocks || !strings.Contains(problems[0].String(), `old1 is not in the cluster file any more`) {
		t.Errorf("%v", problems)
	}
	steps, err := inventorySteps(model(t), hosts, all)
	if err != nil || len(steps) != 2 || steps[0].Host != "c1" || steps[1].Host != "c2" {
		t.Fatalf("%v, %v", steps, err)
	}
	f := steps[0].Resources[0].(resource.File)
	var read facts.Inventory
	if err := json.Unmarshal(f.Content, &read); err != nil || !slices.Equal(names(read), want) || f.Mode != 0o600 {
		t.Errorf("%v, %q, %v", err, names(read), f.Mode)
	}
	// What all remember is the same, so that nothing changes from run to run.
	again, _ := inventory(model(t), map[string]facts.Host{"c1": {Identity: c1.Identity, Inventory: &all}, "c2": c2, "w1": of("w1", "x")}, []string{"old2"})
	if !slices.Equal(names(again), want) {
		t.Errorf("the next time: %q", names(again))
	}
}

func TestOwnFilesAreNotTheUsers(t *testing.T) {
	c := model(t)
	c.Files = []cluster.File{{File: v1alpha1.File{Path: "/etc/a"}}, {File: v1alpha1.File{Path: "/etc/b"}}}
	a, b := resource.NewFile("/etc/a", "ours"), resource.NewFile("/etc/b", "the user's")
	steps, problems := own(c, []plan.Step{
		{StepID: plan.StepID{Host: "c1", Name: "ours"}, Resources: []resource.Resource{a}},
		{StepID: plan.StepID{Host: "c1", Name: "the user's"}, Resources: []resource.Resource{resource.NewFile("/etc/a", "the user's"), b}},
	})
	if len(problems) != 1 || problems[0].Host != "c1" || !problems[0].Blocks || len(steps[1].Resources) != 1 || steps[1].Resources[0].ID() != b.ID() {
		t.Errorf("%v, %v", problems, steps[1].Resources)
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
