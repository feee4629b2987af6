package run

import (
	"fmt"

	"github.com/kubewright/kubewright/internal/plan"
)

// group is the state of a group while a plan is executed.
type group struct {
	plan.Group
	unwell    map[string]map[string]bool // why members are not well: the names of steps, or gone; others are taken to be well
	disturbed map[string]int             // members that were well and are being worked on: how many steps do
	failed    map[string]bool            // members that were disturbed and did not become well again
	succeeded bool                       // one was disturbed and became well again
}

// gone is why a member is not counted on that does not answer. It may be well all the same.
const gone = ""

func newGroup(g plan.Group) *group {
	s := &group{Group: g, unwell: map[string]map[string]bool{}, disturbed: map[string]int{}, failed: map[string]bool{}}
	for _, m := range g.Members {
		s.unwell[m] = map[string]bool{}
	}
	return s
}

// isWell says whether a member is well as far as is known, so that work on it may disturb it.
func (g *group) isWell(host string) bool {
	u := g.unwell[host]
	return len(u) == 0 || len(u) == 1 && u[gone]
}

// countsOn says whether others may be disturbed because a member is well.
func (g *group) countsOn(host string) bool { return len(g.unwell[host]) == 0 }

// notWell notes that a member is not, because of a step or because it is gone.
func (g *group) notWell(host, why string) {
	if u, member := g.unwell[host]; member {
		u[why] = true
	}
}

// refusal says why a member that is well may not be disturbed now; empty if it may.
func (g *group) refusal(host string) string {
	others := 0
	for m := range g.unwell {
		if m != host && g.countsOn(m) {
			others++
		}
	}
	switch {
	case g.StopAfter > 0 && len(g.failed) >= g.StopAfter:
		return fmt.Sprintf("%d of the %s failed, so no further one is disturbed", len(g.failed), g.Name)
	case others < g.MinWell:
		return fmt.Sprintf("%d of the other %s are well, and %d have to be while it is disturbed", others, g.Name, g.MinWell)
	case len(g.disturbed) >= g.AtOnce:
		return fmt.Sprintf("%d of the %s may be disturbed at once", g.AtOnce, g.Name)
	case g.Canary && !g.succeeded && len(g.disturbed) > 0:
		return fmt.Sprintf("one of the %s goes first, alone", g.Name)
	}
	return ""
}

func (g *group) admits(host string) bool { return g.refusal(host) == "" }

// begin notes that a step that disturbs something begins. What was not well before is not disturbed by it.
func (g *group) begin(host, step string) {
	if g.isWell(host) || g.disturbed[host] > 0 {
		g.disturbed[host]++
	}
	g.notWell(host, step)
}

// end notes how a step ended, and whether it was one that disturbs something.
func (g *group) end(host, step string, disturbs, success bool) {
	disturbed := disturbs && g.disturbed[host] > 0
	if disturbed {
		if g.disturbed[host]--; g.disturbed[host] == 0 {
			delete(g.disturbed, host)
		}
	}
	if success {
		delete(g.unwell[host], step)
		delete(g.unwell[host], gone)
		g.succeeded = g.succeeded || disturbed
		return
	}
	g.notWell(host, step)
	if disturbed {
		g.failed[host] = true
	}
}

// stands says what stands in the way of a step that was never begun.
func (g *group) stands(host string) string {
	if g == nil {
		return "nothing that it waits for is left to come true" // a circle, which plans are checked for
	}
	if why := g.refusal(host); why != "" {
		return why
	}
	return "nothing that it waits for is left to come true"
}
