package converge

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// toLeave are the hosts that are to leave the cluster, by name: those that the cluster file has no more. One that left without having been reset has left already.
func toLeave(c *cluster.Cluster, hosts map[string]facts.Host, forget []string) map[string]facts.InventoryHost {
	left := notInFile(c, hosts, forget)
	maps.DeleteFunc(left, func(_ string, h facts.InventoryHost) bool { return h.Left })
	return left
}

// notInFile are the hosts that control planes remember and that the cluster file does not have, but for those to forget, by name. A machine that is in the file under another name has
// not left it.
func notInFile(c *cluster.Cluster, hosts map[string]facts.Host, forget []string) map[string]facts.InventoryHost {
	known := remembers(hosts)
	there := map[string]bool{} // machines of the file
	for _, h := range c.Hosts {
		machine := known[h.Name].Machine
		if f, answered := hosts[h.Name]; answered {
			machine = f.Identity.Machine
		}
		there[machine] = machine != ""
		delete(known, h.Name)
	}
	maps.DeleteFunc(known, func(name string, h facts.InventoryHost) bool {
		return there[h.Machine] || slices.Contains(forget, name)
	})
	return known
}

// remembers is what control planes remember of hosts, by name.
func remembers(hosts map[string]facts.Host) map[string]facts.InventoryHost {
	known := map[string]facts.InventoryHost{}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if hosts[name].Inventory == nil {
			continue
		}
		for _, h := range hosts[name].Inventory.Hosts {
			if old, ok := known[h.Name]; !ok || old.Machine == "" || old.Left && !h.Left {
				known[h.Name] = h
			}
		}
	}
	return known
}

// hostOf is how a host is reached that is remembered.
func hostOf(h facts.InventoryHost) v1alpha1.Host {
	return v1alpha1.Host{Name: h.Name, Address: h.Address, SSH: v1alpha1.SSH{Port: h.Port, User: h.User, Bastion: h.Bastion, Key: h.Key}}
}

// meet connects to the hosts that left the cluster file, and lets go of those that have left the cluster.
func (s *Session) meet(ctx context.Context) error {
	hosts, _ := s.here()
	left := toLeave(s.o.Cluster, hosts, s.o.Forget)
	for name := range s.left {
		if _, still := left[name]; !still {
			m := s.fleet.members[name]
			delete(s.fleet.members, name)
			if m != nil && m.client != nil {
				m.client.Close()
			}
		}
	}
	fresh := map[string]bool{}
	for name, h := range left {
		if s.fleet.members[name] == nil {
			s.fleet.members[name], fresh[name] = newMember(hostOf(h)), true
		}
	}
	s.left = left
	if len(fresh) == 0 {
		return nil
	}
	return s.fleet.each(ctx, func(m *member) {
		if !fresh[m.host.Name] || m.hold(ctx) != nil {
			return
		}
		defer m.letGo()
		_ = s.fleet.ensure(ctx, m) // it stays with the member
	})
}

// here are the facts of the hosts of the cluster file that answered, and why the others did not.
func (s *Session) here() (hosts map[string]facts.Host, missing map[string]string) {
	hosts, missing = s.Facts()
	of := func(name string) bool { return s.o.Cluster.Host(name) == nil }
	maps.DeleteFunc(hosts, func(name string, _ facts.Host) bool { return of(name) })
	maps.DeleteFunc(missing, func(name, _ string) bool { return of(name) })
	return hosts, missing
}

// leavers are the hosts that left the cluster file, as far as they are still what they were.
func (s *Session) leavers(id string) []facts.Leaver {
	hosts, missing := s.Facts()
	var list []facts.Leaver
	for _, name := range slices.Sorted(maps.Keys(s.left)) {
		l := facts.Leaver{InventoryHost: s.left[name]}
		f, answered := hosts[name]
		switch {
		case !answered:
			l.Silent = missing[name]
		case l.Machine != "" && f.Identity.Machine != l.Machine:
			l.Silent = "another machine answers at " + l.Address
		case f.Identity.Cluster != "" && f.Identity.Cluster != id:
			l.Silent = fmt.Sprintf("it belongs to another cluster by now, %s", f.Identity.ClusterName)
		default:
			l.Host = &f
		}
		list = append(list, l)
	}
	return list
}

// departure is what has to have come true before a host is remembered as one that left: every step of its leaving. known is false for hosts that nobody has leave.
func departure(steps []plan.Step, host string) (done []plan.Condition, known bool) {
	for _, s := range steps {
		if s.Leaves == host {
			done, known = append(done, plan.After(s.StepID)), true
		}
	}
	return done, known
}
