// Package plan is what shall be done, before it is done: steps with their resources, what they have to wait for, what they may disturb; and the
// difference between what was observed and what shall be, as people read it. It is pure: it connects to nothing and does nothing.
package plan

import (
	"fmt"

	"github.com/kubewright/kubewright/internal/resource"
)

// StepID names a step.
type StepID struct {
	Host string `json:"host"`
	Name string `json:"name"` // "containerd"; unique on a host
}

func (id StepID) String() string { return id.Host + " " + id.Name }

// Step is the unit of order and progress: some resources of one host, in order.
type Step struct {
	StepID
	Resources []resource.Resource
	// Ensures is what has to be well when the resources are as they shall be. A step of which that does not come true has failed; nothing builds on it.
	Ensures []resource.Probe
	// Requires has to hold before the step starts.
	Requires []Condition
	// Group is the name of the group whose member its host is, if the step disturbs one; empty if it cannot.
	Group string
	// Replaces are resources of other hosts that its host needs no more once it is done: where they are no longer wanted, they go after it.
	Replaces []resource.ID
	// Leaves is the name of the host whose leaving the cluster it is part of; empty for all other steps.
	Leaves string
	// Reset says that everything goes that Kubewright put on its host. Such a step has no resources.
	Reset bool
}

// Condition holds while enough of some steps are done and what they ensure is well. It fails when too few are left that could still come true.
type Condition struct {
	// Name as people read it: "containerd of m1 answers".
	Name string
	Of   []StepID
	// AtLeast is how many; 0 is all of them.
	AtLeast int
}

// Needed is how many steps have to be done for it.
func (c Condition) Needed() int {
	if c.AtLeast == 0 {
		return len(c.Of)
	}
	return min(c.AtLeast, len(c.Of))
}

// After is the condition that all of some steps are done.
func After(ids ...StepID) Condition {
	name := ""
	for i, id := range ids {
		if i > 0 {
			name += ", "
		}
		name += id.String()
	}
	return Condition{Name: name, Of: ids}
}

// Group rules how many of its members are disturbed at once.
type Group struct {
	Name    string
	Members []string // hosts
	// AtOnce is how many members may be disturbed at once; at least 1.
	AtOnce int
	// MinWell is how many members have to stay well: a member that is well is disturbed only if this many others are.
	MinWell int
	// Canary has one member go first, alone.
	Canary bool
	// StopAfter is after how many failed members no further one is disturbed; 0 is never.
	StopAfter int
}

// Kind says what something that was found is about, for who looks for causes: messages are for people.
type Kind string

// The kinds that somebody looks for; all else has none.
const (
	KindClock         Kind = "clock"           // how right a clock is, and what keeps it so
	KindSwap          Kind = "swap"            // swap is on, or comes back
	KindKernel        Kind = "kernel"          // a module or a parameter of the kernel
	KindNoNameServers Kind = "no-name-servers" // no name server is named
	KindFull          Kind = "full"            // there is no room left
	KindCertificate   Kind = "certificate"     // certificates are of no use
)

// Problem is something that was found before anything is done.
type Problem struct {
	Kind    Kind   `json:"kind,omitempty"` // empty of most
	Host    string `json:"host,omitempty"` // empty if it is about the cluster
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
	// Blocks says that nothing is done on the host, or at all if it is about the cluster, while it is so.
	Blocks bool `json:"blocks"`
	// Careful says that it is what a plan does that deserves a second look: what is lost, or may be.
	Careful bool `json:"careful,omitempty"`
	// Loss says of what stands in the way what is lost if it is done all the same, as a sentence without its end. It is empty of what cannot be overruled, which is most: where the
	// steps could not succeed, or nobody knows what would come of them.
	Loss string `json:"loss,omitempty"`
}

// Overrule has what stands in the way deserve a second look instead, if what is lost by it is known; all else stays what it is.
func (p Problem) Overrule() Problem {
	if p.Blocks && p.Loss != "" {
		p.Blocks, p.Careful, p.Remedy = false, true, ""
	}
	return p
}

// Overruled says that it would stand in the way if nobody had overruled it.
func (p Problem) Overruled() bool { return p.Careful && p.Loss != "" }

// harmless says that nothing can be done about it, and nothing has to be.
func (p Problem) harmless() bool { return !p.Blocks && !p.Careful && p.Remedy == "" }

func (p Problem) String() string {
	s := p.Message
	if p.Host != "" {
		s = p.Host + ": " + s
	}
	if p.Remedy != "" {
		s += ". " + p.Remedy
	}
	switch {
	case p.Overruled():
		s += ". It is done all the same (--force): " + p.Loss
	case p.Blocks && p.Loss != "":
		s += ". \"kubewright apply --force\" does it all the same: " + p.Loss
	}
	return s
}

// Check says what is wrong with steps as such: that would be a mistake of this program.
func Check(steps []Step, groups []Group) error {
	known := map[StepID]bool{}
	group := map[string]bool{}
	for _, g := range groups {
		if g.AtOnce < 1 {
			return fmt.Errorf("group %s may disturb %d members at once", g.Name, g.AtOnce)
		}
		group[g.Name] = true
	}
	for _, s := range steps {
		if known[s.StepID] {
			return fmt.Errorf("two steps are called %s", s.StepID)
		}
		known[s.StepID] = true
		if s.Group != "" && !group[s.Group] {
			return fmt.Errorf("step %s names the group %q, which is none", s.StepID, s.Group)
		}
	}
	resources := map[string]map[resource.ID]bool{}
	for _, s := range steps {
		for _, c := range s.Requires {
			for _, id := range c.Of {
				if !known[id] {
					return fmt.Errorf("step %s waits for %s, which is none", s.StepID, id)
				}
			}
		}
		if resources[s.Host] == nil {
			resources[s.Host] = map[resource.ID]bool{}
		}
		for _, r := range s.Resources {
			if resources[s.Host][r.ID()] {
				return fmt.Errorf("%s has the resource %s twice", s.Host, r.ID())
			}
			resources[s.Host][r.ID()] = true
		}
	}
	return circle(steps)
}

// circle finds steps that wait for each other.
func circle(steps []Step) error {
	byID := map[StepID]*Step{}
	for i := range steps {
		byID[steps[i].StepID] = &steps[i]
	}
	const open, closed = 1, 2
	state := map[StepID]int{}
	var visit func(s *Step) error
	visit = func(s *Step) error {
		switch state[s.StepID] {
		case open:
			return fmt.Errorf("step %s waits for itself", s.StepID)
		case closed:
			return nil
		}
		state[s.StepID] = open
		for _, c := range s.Requires {
			for _, id := range c.Of {
				if err := visit(byID[id]); err != nil {
					return fmt.Errorf("%w, by %s", err, s.StepID)
				}
			}
		}
		state[s.StepID] = closed
		return nil
	}
	for i := range steps {
		if err := visit(&steps[i]); err != nil {
			return err
		}
	}
	return nil
}
