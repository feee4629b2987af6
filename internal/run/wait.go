package run

import (
	"fmt"
	"time"

	"github.com/kubewright/kubewright/internal/plan"
)

// Wait is of a host that has nothing in hand and something left to do.
type Wait struct {
	// Step is the first of those that are left on the host.
	Step plan.StepID
	// For is what it waits for: a condition by its name, or Turn.
	For string
	// Of are the steps of the condition that are not done yet and may be.
	Of []plan.StepID
	// Why it is not the step's turn.
	Why string
}

// Turn is what a step waits for whose conditions hold.
const Turn = "a turn"

// waitsEvery is how often somebody is told of waits, at most.
const waitsEvery = 250 * time.Millisecond

// waits are those of all hosts, in the order of the plan; inHand is how many steps are.
func (e *execution) waits(inHand int) []Wait {
	said := map[string]bool{}
	for _, n := range e.order {
		if n.state == running {
			said[n.Host] = true
		}
	}
	var list []Wait
	for _, n := range e.order {
		if said[n.Host] || n.state != waiting && n.state != ready {
			continue
		}
		said[n.Host] = true
		w := Wait{Step: n.StepID, For: Turn}
		switch {
		case e.stopping:
			w.Why = "the run is interrupted"
		case n.state == waiting:
			w.For, w.Of = e.lacks(n)
		case !e.free(n) && !e.groups[n.Group].admits(n.Host):
			w.Why = e.groups[n.Group].refusal(n.Host)
		default:
			w.Why = fmt.Sprintf("%d steps are in hand, on all hosts together", inHand)
		}
		list = append(list, w)
	}
	return list
}

// lacks is the first condition of a step that does not hold yet, and those of its steps that may still be done.
func (e *execution) lacks(n *node) (name string, of []plan.StepID) {
	for _, c := range n.Requires {
		came := 0
		of = nil
		for _, id := range c.Of {
			switch e.nodes[id].state {
			case done:
				came++
			case waiting, ready, running:
				of = append(of, id)
			}
		}
		if came < c.Needed() {
			return c.Name, of
		}
	}
	return "", nil
}
