package run

import (
	"fmt"

	"github.com/kubewright/kubewright/internal/plan"
)

// group is the state of a group while a plan is executed.
type group struct {
	plan.Group
	well      map[string]bool // members that are known not to be are false; others are taken to be well
	disturbed map[string]bool // members that were well and are being worked on
	failed    map[string]bool // members that were disturbed and did not become well again
	succeeded bool            // one was disturbed and became well again
}

func newGroup(g plan.Group) *group {
	s := &group{Group: g, well: map[string]bool{}, disturbed: map[string]bool{}, failed: map[string]bool{}}
	for _, m := range g.Members {
		s.well[m] = true
	}
	return s
}

func (g *group) isWell(host string) bool { return g.well[host] }

// refusal says why a member that is well may not be disturbed now; empty if it may.
func (g *group) refusal(host string) string {
	others := 0
	for m, well := range g.well {
		if well && m != host {
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

// begin notes that a member that is well is disturbed from now on.
func (g *group) begin(host string) {
	g.well[host] = false
	g.disturbed[host] = true
}

// end notes how work on a member ended.
func (g *group) end(host string, success bool) {
	disturbed := g.disturbed[host]
	delete(g.disturbed, host)
	if success {
		g.well[host] = true
		g.succeeded = g.succeeded || disturbed
		return
	}
	g.well[host] = false
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
