package converge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// roleOf is the role of hosts by the first letter of their names: c1 is a control plane, w1 a worker, b1 is both.
func roleOf(name string) []string {
	return map[byte][]string{'c': {"control-plane"}, 'w': {"worker"}, 'b': {"control-plane", "worker"}}[name[0]]
}

func TestManyLeave(t *testing.T) {
	const (
		silent    = "; not counted: "
		loss      = "what the cluster stored on these hosts is gone, and their Pods have to find room on the "
		likely    = "): most likely it is not the right file, or not all of it"
		worldwide = "w1 w2 w3 w4 w5 w6 w7"
	)
	for _, c := range []struct {
		name             string
		remembered, file string
		dead             string // of those that leave
		forget           string
		message, loss    string // parts; nothing is refused without
	}{
		{name: "nobody leaves", remembered: "c1 c2 c3 w1 w2", file: "c1 c2 c3 w1 w2"},
		{name: "others come", remembered: "c1", file: "c1 c2 c3 " + worldwide},
		{name: "a worker leaves", remembered: "c1 c2 c3 w1 w2", file: "c1 c2 c3 w1"},
		{name: "the only worker leaves", remembered: "c1 c2 c3 w1", file: "c1 c2 c3"},
		{name: "one of two hosts leaves", remembered: "c1 w1", file: "c1"},
		{name: "two of three hosts are all workers", remembered: "c1 w1 w2", file: "c1", message: "2 of 3 hosts leave the cluster (0 of 1 control planes, 2 of 2 workers" + likely, loss: loss + "1 that stay"},
		{name: "all workers", remembered: "c1 c2 c3 c4 c5 w1 w2", file: "c1 c2 c3 c4 c5", message: "2 of 7 hosts leave the cluster (0 of 5 control planes, 2 of 2 workers"},
		{name: "all workers, and others come", remembered: "c1 c2 c3 w1 w2", file: "c1 c2 c3 w8 w9", message: "2 of 5 hosts leave"},
		{name: "all workers but one", remembered: "c1 c2 c3 w1 w2", file: "c1 c2 c3 w2"},
		{name: "half, of four", remembered: "c1 w1 w2 w3", file: "c1 w1"},
		{name: "half, of six", remembered: "c1 c2 c3 " + "w1 w2 w3 w4 w5", file: "c1 c2 c3 w5", message: "4 of 8 hosts leave the cluster (0 of 3 control planes, 4 of 5 workers" + likely, loss: loss + "4 that stay"},
		{name: "less than half", remembered: "c1 c2 c3 w1 w2 w3 w4", file: "c1 c2 c3 w4"},
		{name: "another cluster's file, but for one host", remembered: "c1 c2 c3 w1 w2", file: "c1 c8 c9 w8 w9", message: "4 of 5 hosts leave the cluster (2 of 3 control planes, 2 of 2 workers",
			loss: loss + "1 that stay; 1 of 3 members of etcd may fail then without the API stopping"},

		{name: "five control planes become three", remembered: "c1 c2 c3 c4 c5 w1 w2", file: "c1 c2 c3 w1 w2"},
		{name: "five control planes without workers become three", remembered: "c1 c2 c3 c4 c5", file: "c3 c4 c5"},
		{name: "five control planes become one", remembered: "c1 c2 c3 c4 c5 " + worldwide, file: "c1 " + worldwide, message: "4 of 12 hosts leave the cluster (4 of 5 control planes, 0 of 7 workers"},
		{name: "three control planes become one", remembered: "c1 c2 c3 " + worldwide, file: "c1 " + worldwide, message: "2 of 10 hosts leave the cluster (2 of 3 control planes, 0 of 7 workers" + likely,
			loss: loss + "8 that stay; 0 of 1 members of etcd may fail then without the API stopping"},
		{name: "three control planes that are workers become one", remembered: "b1 b2 b3", file: "b1", message: "2 of 3 hosts leave the cluster (2 of 3 control planes, 2 of 3 workers"},
		{name: "one of three control planes is replaced", remembered: "c1 c2 c3 w1", file: "c2 c3 c4 w1"},
		{name: "the only control plane is replaced", remembered: "c1 w1", file: "c2 w1"},

		{name: "dead ones leave", remembered: "c1 c2 c3 " + worldwide, file: "c1", dead: "c2 c3 " + worldwide},
		{name: "two dead control planes leave, as after etcd recover, and one worker", remembered: "c1 c2 c3 w1 w2", file: "c1 w2", dead: "c2 c3"},
		{name: "dead ones leave, and half of those that are left", remembered: "c1 c2 c3 " + worldwide, file: "c1 c2 c3 w1", dead: "w6 w7",
			message: "4 of 8 hosts leave the cluster (0 of 3 control planes, 4 of 5 workers" + silent + "2 that do not answer" + likely},
		{name: "those to forget are not of it", remembered: "c1 c2 c3 w1 w2 w3", file: "c1 c2 c3 w1", forget: "w2 w3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			known := facts.Inventory{Hosts: []facts.InventoryHost{{Name: "gone", Roles: []string{"worker"}, Left: true}}}
			for _, name := range strings.Fields(c.remembered) {
				known.Hosts = append(known.Hosts, facts.InventoryHost{Name: name, Machine: "machine of " + name, Roles: roleOf(name)})
			}
			spec := &v1alpha1.Cluster{}
			for _, name := range strings.Fields(c.file) {
				h := v1alpha1.Host{Name: name}
				for _, r := range roleOf(name) {
					h.Roles = append(h.Roles, v1alpha1.Role(r))
				}
				spec.Hosts = append(spec.Hosts, h)
			}
			hosts := map[string]facts.Host{spec.Hosts[0].Name: {Identity: facts.Identity{Machine: "machine of " + spec.Hosts[0].Name}, Inventory: &known}}
			model, forget := &cluster.Cluster{Cluster: spec}, strings.Fields(c.forget)
			var leavers []facts.Leaver
			var steps []plan.Step
			for name, h := range toLeave(model, hosts, forget) {
				l := facts.Leaver{InventoryHost: h, Silent: "no route to host"}
				if !slices.Contains(strings.Fields(c.dead), name) {
					l.Host, l.Silent = &facts.Host{}, ""
				}
				leavers = append(leavers, l)
				steps = append(steps, plan.Step{StepID: plan.StepID{Host: "c1", Name: "drain " + name}, Leaves: name})
			}
			problems := manyLeave(model, hosts, forget, leavers, steps)
			if c.message == "" {
				if len(problems) > 0 {
					t.Errorf("it refuses: %v", problems)
				}
				return
			}
			if len(problems) != 1 || !problems[0].Blocks || problems[0].Host != "" || problems[0].Remedy == "" ||
				!strings.Contains(problems[0].Message, "by this cluster file, "+c.message) || problems[0].Loss == "" || c.loss != "" && problems[0].Loss != c.loss {
				t.Errorf("it says %+v", problems)
			}
			// Hosts that nobody has leave are left as they are.
			if problems := manyLeave(model, hosts, forget, leavers, nil); len(problems) > 0 {
				t.Errorf("without steps it refuses: %v", problems)
			}
		})
	}
}

// What is asked about is what a person agreed to lose: of the plan that was shown, not of a later one.
func TestOverrule(t *testing.T) {
	hard := plan.Problem{Message: "two clusters", Blocks: true}
	many := plan.Problem{Message: "9 of 12 hosts leave", Blocks: true, Loss: "all that is on them"}
	other := plan.Problem{Message: "a key goes", Blocks: true, Loss: "Secrets"}
	for _, c := range []struct {
		force  bool
		agreed map[string]bool
		want   string
	}{
		{want: "two clusters blocks, 9 of 12 hosts leave blocks, a key goes blocks"},
		{force: true, want: "two clusters blocks, 9 of 12 hosts leave overruled, a key goes overruled"},
		{force: true, agreed: map[string]bool{}, want: "two clusters blocks, 9 of 12 hosts leave blocks, a key goes blocks"},
		{force: true, agreed: map[string]bool{many.Loss: true}, want: "two clusters blocks, 9 of 12 hosts leave overruled, a key goes blocks"},
	} {
		s := &Session{o: Options{Force: c.force}, agreed: c.agreed}
		var got []string
		for _, p := range s.overrule([]plan.Problem{hard, many, other}) {
			got = append(got, fmt.Sprint(p.Message, map[bool]string{true: " blocks"}[p.Blocks], map[bool]string{true: " overruled"}[p.Overruled()]))
		}
		if got := strings.Join(got, ", "); got != c.want {
			t.Errorf("with force %t, agreed to %v: %s; want %s", c.force, c.agreed, got, c.want)
		}
	}
}
