package converge

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Names of the steps of this package.
const (
	identityStep  = "identity"
	inventoryStep = "inventory"
	fileStep      = "cluster file"
)

// identify finds out which cluster the hosts belong to, by those that hold it together. fresh is the ID that a new one gets.
func identify(c *cluster.Cluster, hosts map[string]facts.Host, fresh string) (id string, problems []plan.Problem) {
	byID := map[string][]string{}
	keepers, answered := c.Keepers(), 0
	for _, h := range keepers {
		f, ok := hosts[h.Name]
		if !ok {
			continue
		}
		answered++
		if i := f.Identity.Cluster; i != "" {
			byID[i] = append(byID[i], h.Name)
		}
	}
	switch {
	case len(byID) > 1:
		var all []string
		for _, i := range slices.Sorted(maps.Keys(byID)) {
			all = append(all, fmt.Sprintf("%s is of %s", strings.Join(byID[i], ", "), i))
		}
		return "", []plan.Problem{{Message: "the control-plane and etcd hosts belong to different clusters: " + strings.Join(all, "; "),
			Remedy: "Leave those in the file that belong together; \"kubewright reset\" makes a host free for another cluster", Blocks: true}}
	case len(byID) == 0 && answered < len(keepers):
		// The ID may be on one of the others: a run that made it up may have got no further.
		return "", []plan.Problem{{Message: fmt.Sprintf("only %d of %d control-plane and etcd hosts answered, and none belongs to a cluster: whether there is one already cannot be known", answered, len(keepers)),
			Remedy: "Bring all of them back, or take those out of the file that shall not be in it, and run again", Blocks: true}}
	case len(byID) == 0:
		id = fresh
	}
	for i := range byID {
		id = i
	}
	machines := map[string]string{}
	for _, h := range c.Hosts {
		f, ok := hosts[h.Name]
		if !ok {
			continue
		}
		if i := f.Identity.Cluster; i != "" && i != id {
			problems = append(problems, plan.Problem{Host: h.Name, Message: fmt.Sprintf("it belongs to another cluster, %s (%s)", f.Identity.ClusterName, i),
				Remedy: "If nobody needs what is on it, \"kubewright reset\" with that cluster's file makes it free", Blocks: true})
		}
		if m := f.Identity.Machine; m != "" && machines[m] != "" {
			problems = append(problems, plan.Problem{Host: h.Name, Message: fmt.Sprintf("it and %s have the same /etc/machine-id: they are one machine under two names, or clones", machines[m]),
				Remedy: "Give a clone its own: rm /etc/machine-id && systemd-machine-id-setup, and restart it", Blocks: true})
		} else {
			machines[m] = h.Name
		}
	}
	return id, problems
}

// identitySteps write the ID of the cluster on hosts: first on most of those that later runs learn it from.
func identitySteps(c *cluster.Cluster, hosts map[string]facts.Host, id string) []plan.Step {
	known := plan.Condition{Name: "most control-plane and etcd hosts know their cluster"}
	keeps := map[string]bool{}
	for _, h := range c.Keepers() {
		keeps[h.Name] = true
		known.Of = append(known.Of, plan.StepID{Host: h.Name, Name: identityStep})
	}
	known.AtLeast = len(known.Of)/2 + 1
	var steps []plan.Step
	for _, h := range c.Hosts {
		if _, ok := hosts[h.Name]; !ok {
			continue
		}
		s := plan.Step{
			StepID:    plan.StepID{Host: h.Name, Name: identityStep},
			Resources: []resource.Resource{resource.Identity{Cluster: id, ClusterName: c.Name}},
		}
		if !keeps[h.Name] {
			s.Requires = []plan.Condition{known}
		}
		steps = append(steps, s)
	}
	return steps
}

// inventory is what is remembered of all hosts: those of the file, and those that left it and are still there. Steps are all others: those that have hosts leave among them.
func inventory(c *cluster.Cluster, hosts map[string]facts.Host, forget []string, leavers []facts.Leaver, steps []plan.Step) (facts.Inventory, []plan.Problem) {
	known := remembers(hosts)
	var problems []plan.Problem
	var all facts.Inventory
	for _, h := range c.Hosts {
		i := facts.InventoryHost{Name: h.Name, Address: h.Address, Port: h.SSH.Port, User: h.SSH.User, Bastion: h.SSH.Bastion, Key: h.SSH.Key,
			InternalAddresses: h.InternalAddresses, Machine: known[h.Name].Machine}
		for _, r := range h.Roles {
			i.Roles = append(i.Roles, string(r))
		}
		if f, ok := hosts[h.Name]; ok {
			i.Machine = f.Identity.Machine
		}
		all.Hosts = append(all.Hosts, i)
	}
	gone := notInFile(c, hosts, forget)
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		h := gone[name]
		at := slices.IndexFunc(leavers, func(l facts.Leaver) bool { return l.Name == name })
		_, leaves := departure(steps, name)
		switch {
		case h.Left:
			problems = append(problems, plan.Problem{Message: fmt.Sprintf("%s left the cluster without having been put back as it was found: if it is there again, \"kubewright reset %s\" does that; "+
				"\"kubewright reset --forget %s\" forgets it", name, name, name)})
		case at >= 0 && leaves && leavers[at].Host != nil:
			continue
		case at >= 0 && leaves:
			h.Left = true
		default:
			problems = append(problems, plan.Problem{Message: fmt.Sprintf("%s is not in the cluster file any more, and is left as it is", name),
				Remedy: fmt.Sprintf("\"kubewright reset %s\" puts it back as it was found; if it is gone for good, \"kubewright reset --forget %s\"", name, name)})
		}
		all.Hosts = append(all.Hosts, h)
	}
	slices.SortFunc(all.Hosts, func(a, b facts.InventoryHost) int { return strings.Compare(a.Name, b.Name) })
	return all, problems
}

// inventorySteps write it on control planes, when those have left that leave: until then they have to be found again.
func inventorySteps(c *cluster.Cluster, hosts map[string]facts.Host, leavers []facts.Leaver, all facts.Inventory, others []plan.Step) ([]plan.Step, error) {
	content, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	var gone []plan.Condition
	for _, l := range leavers {
		done, _ := departure(others, l.Name)
		gone = append(gone, done...)
	}
	var steps []plan.Step
	for _, h := range c.With(v1alpha1.ControlPlane) {
		if _, ok := hosts[h.Name]; ok {
			f := resource.NewFile(agent.InventoryFile, string(content)+"\n")
			f.Mode, f.ShowMasked = 0o600, true
			steps = append(steps, plan.Step{
				StepID: plan.StepID{Host: h.Name, Name: inventoryStep}, Resources: []resource.Resource{f},
				Requires: append([]plan.Condition{plan.After(plan.StepID{Host: h.Name, Name: identityStep})}, gone...),
			})
		}
	}
	return steps, nil
}

// fileSteps have control planes remember the cluster file, byte by byte, so that it can be had again when the computer that it lies on is lost. It holds no secrets: passwords stand
// elsewhere, and it only says where. Without content there are none.
func fileSteps(c *cluster.Cluster, hosts map[string]facts.Host, content []byte) []plan.Step {
	if len(content) == 0 {
		return nil
	}
	f := resource.NewFile(resource.ClusterFilePath, string(content))
	f.Mode, f.ShowMasked = 0o600, true
	var steps []plan.Step
	for _, h := range c.With(v1alpha1.ControlPlane) {
		if _, ok := hosts[h.Name]; ok {
			steps = append(steps, plan.Step{
				StepID: plan.StepID{Host: h.Name, Name: fileStep}, Resources: []resource.Resource{f},
				Requires: []plan.Condition{plan.After(plan.StepID{Host: h.Name, Name: identityStep})},
			})
		}
	}
	return steps
}
