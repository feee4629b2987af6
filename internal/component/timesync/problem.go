package timesync

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// maxOffset is how far clocks may be apart.
const maxOffset = 2 * time.Second

// off says whether a clock is certainly off from this computer's.
func off(f facts.Host) bool { return f.ClockOffset.Abs()-f.ClockError/2 > maxOffset }

// clocks are what is wrong with them.
func clocks(in Input, servers []v1alpha1.Host) []plan.Problem {
	var list []plan.Problem
	ours, ourProblem := oursIsOff(in)
	if ours {
		list = append(list, ourProblem)
	}
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		is := "its clock is " + offset(f.ClockOffset) + " this computer's"
		wrong := off(f) && !ours
		t := in.Cluster.TimeSync
		follows := runs(t, f, servers)
		if follows && !f.Chrony && in.Provided != nil && !in.Provided(h.Name) {
			list = append(list, plan.Problem{Host: h.Name, Blocks: true, Message: "it shall have chrony, which is not there, and the bundle has no packages for it",
				Remedy: "Install chrony by its own means first, or let timeSync.mode be leave"})
			continue
		}
		switch {
		case wrong && follows && len(t.Servers) > 0:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Message: is + "; chrony will set it"})
		case wrong && follows && serves(servers, h):
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Blocks: true, Message: is + ", and it would serve time to the others", Remedy: "Set its clock first, or name timeSync.servers"})
		case wrong && follows && someRight(in, servers):
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Message: is + "; chrony will set it"})
		case wrong && follows:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Blocks: true, Message: is + ", and no host that serves time is known to be right",
				Remedy: "Set the clocks of those that serve time first, or name timeSync.servers"})
		case wrong && !f.SetClock:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Blocks: true, Message: is + ", and may not be set from inside", Remedy: "Set the clock of the computer that it runs on"})
		case wrong && t.Mode == chrony:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Blocks: true, Message: is + ", and no host can serve it time", Remedy: "Name servers or serverHosts in timeSync, or set its clock"})
		case wrong:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Blocks: true, Message: is + ", and timeSync leaves it alone", Remedy: "Set it, or name timeSync.servers"})
		case t.Mode == chrony && !f.SetClock:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Message: "its clock belongs to the computer that it runs on, so it gets no chrony; it is right"})
		case t.Mode == chrony && !follows:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Message: "no host can serve it time, so it gets no chrony; its clock is right now", Remedy: "Name servers or serverHosts in timeSync"})
		case t.Mode != chrony && f.SetClock && len(f.Clocks) == 0:
			list = append(list, plan.Problem{Kind: plan.KindClock, Host: h.Name, Message: "nothing keeps its clock, and timeSync leaves it alone; it is right now",
				Remedy: "Name timeSync.servers, or say mode: chrony to have control planes serve time"})
		}
	}
	return list
}

// serves says whether a host is one of those that serve time.
func serves(servers []v1alpha1.Host, h v1alpha1.Host) bool {
	return slices.ContainsFunc(servers, func(s v1alpha1.Host) bool { return s.Name == h.Name })
}

// someRight says whether a host that serves time is right, as far as can be told.
func someRight(in Input, servers []v1alpha1.Host) bool {
	return slices.ContainsFunc(servers, func(s v1alpha1.Host) bool {
		f, answered := in.Hosts[s.Name]
		return answered && !off(f)
	})
}

// oursIsOff says whether several hosts agree with each other, and only this computer does not with any of them.
func oursIsOff(in Input) (bool, plan.Problem) {
	var first, last, slack time.Duration
	n := 0
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		if !off(f) {
			return false, plan.Problem{}
		}
		if n == 0 {
			first, last = f.ClockOffset, f.ClockOffset
		}
		first, last, slack = min(first, f.ClockOffset), max(last, f.ClockOffset), max(slack, f.ClockError)
		n++
	}
	if n < 2 || last-first-slack > maxOffset {
		return false, plan.Problem{}
	}
	return true, plan.Problem{
		Kind:    plan.KindClock,
		Message: fmt.Sprintf("the clocks of all hosts agree, and are %s this computer's", offset(first)),
		Remedy:  "Set the clock of this computer",
	}
}

// offset in words.
func offset(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(time.Millisecond).String() + " behind"
	}
	return d.Round(time.Millisecond).String() + " ahead of"
}
