package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/kubewright/kubewright/internal/resource"
)

// CleanUp is the name of the step that takes away what is no longer wanted on a host.
const CleanUp = "no longer wanted"

// Action is what happens to a resource.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Remove Action = "remove"
)

// Observation is what an agent found on its host: of resources only what differs, or is to be known.
type Observation struct {
	Resources map[string]resource.Observed `json:"resources,omitempty"` // by resource.ID.String
	// Removals are resources that Kubewright put there and that are no longer wanted, in the order in which they go.
	Removals []resource.ID `json:"removals,omitempty"`
	// Unwell says why a probe does not hold, by resource.ID.String.
	Unwell map[string]string `json:"unwell,omitempty"`
}

// ResourceChange is what happens to a resource.
type ResourceChange struct {
	Resource resource.ID       `json:"resource"`
	Action   Action            `json:"action"`
	Changes  []resource.Change `json:"changes,omitempty"`
}

// Remark is what is to be known of a resource.
type Remark struct {
	Resource resource.ID `json:"resource"`
	Text     string      `json:"text"`
}

// StepChange is what a step does.
type StepChange struct {
	Step    `json:"-"`
	ID      StepID           `json:"step"`
	Changes []ResourceChange `json:"changes,omitempty"`
	// Unwell is what does not work although all is as it shall be, or that has to work when it is.
	Unwell []Remark `json:"unwell,omitempty"`
	// Unknown is what could not be found out.
	Unknown []Remark `json:"unknown,omitempty"`
	// Blocked is what cannot be made so.
	Blocked []Remark `json:"blocked,omitempty"`
	Notes   []Remark `json:"notes,omitempty"`
}

// Disturbs says whether the step stops something that works.
func (s *StepChange) Disturbs() bool {
	for _, r := range s.Changes {
		for _, c := range r.Changes {
			if c.Disturbs {
				return true
			}
		}
	}
	return false
}

// Work says whether there is something to do: resources to change, or something to wait for that is not well.
func (s *StepChange) Work() bool { return len(s.Changes) > 0 || len(s.Unwell) > 0 }

// Plan is the difference between what was observed and what shall be.
type Plan struct {
	// Steps that do something or of which something is to be known, in the order of hosts and of steps on them.
	Steps []StepChange `json:"steps"`
	// Problems that were found before.
	Problems []Problem `json:"problems,omitempty"`
	// Missing says of hosts why nothing is known of them.
	Missing map[string]string `json:"missing,omitempty"`
	// Hosts are all that the plan is about.
	Hosts []string `json:"hosts"`
	// Groups that steps may disturb.
	Groups []Group `json:"-"`
	// Graph are all steps that were asked for, those with nothing to do included: others wait for them.
	Graph []Step `json:"-"`
}

// Input is what a plan is made of.
type Input struct {
	Steps    []Step
	Groups   []Group
	Problems []Problem
	Hosts    []string              // in the order in which they are shown
	Found    map[string]Difference // by host
	Missing  map[string]string     // by host: why there is no observation
}

// Difference is how a host differs from what it shall be.
type Difference struct {
	steps    []StepChange
	removals []resource.ID
}

// Comparison makes differences of observations, which can then be forgotten: of thousands of hosts they are large. The zero one is ready. It is safe for use by
// several goroutines.
type Comparison struct {
	mu    sync.Mutex
	lines map[[sha256.Size]byte][]string // changed lines, each text once: on most hosts they are the same
}

// Compare compares the steps of a host with what was observed there.
func (all *Comparison) Compare(steps []Step, o Observation) Difference {
	d := Difference{removals: o.Removals}
	for _, s := range steps {
		c := compare(s, o)
		all.share(c.Changes)
		if c.Work() || len(c.Unknown)+len(c.Blocked)+len(c.Notes) > 0 {
			d.steps = append(d.steps, c)
		}
	}
	return d
}

func (all *Comparison) share(changes []ResourceChange) {
	hash := sha256.New()
	for _, r := range changes {
		for i := range r.Changes {
			c := &r.Changes[i]
			if len(c.Lines) == 0 {
				continue
			}
			hash.Reset()
			for _, l := range c.Lines {
				_, _ = io.WriteString(hash, l+"\n") // a hash takes everything
			}
			c.Lines = all.shared([sha256.Size]byte(hash.Sum(nil)), c.Lines)
		}
	}
}

// shared are the lines that were first said to have a hash.
func (all *Comparison) shared(hash [sha256.Size]byte, lines []string) []string {
	all.mu.Lock()
	defer all.mu.Unlock()
	if first, known := all.lines[hash]; known {
		return first
	}
	if all.lines == nil {
		all.lines = map[[sha256.Size]byte][]string{}
	}
	all.lines[hash] = lines
	return lines
}

// Make compares what shall be with what was observed. An error is a mistake of this program.
func Make(in Input) (*Plan, error) {
	if err := Check(in.Steps, in.Groups); err != nil {
		return nil, fmt.Errorf("the steps contradict each other, which is a mistake of this program: %w", err)
	}
	p := &Plan{Steps: []StepChange{}, Problems: in.Problems, Missing: in.Missing, Hosts: in.Hosts, Groups: in.Groups, Graph: in.Steps}
	byHost := map[string][]Step{}
	replaced := map[resource.ID][]StepID{}
	for _, s := range in.Steps {
		byHost[s.Host] = append(byHost[s.Host], s)
		for _, id := range s.Replaces {
			replaced[id] = append(replaced[id], s.StepID)
		}
	}
	for _, h := range in.Hosts {
		d, ok := in.Found[h]
		if !ok {
			continue
		}
		p.Steps = append(p.Steps, d.steps...)
		if i := slices.IndexFunc(byHost[h], func(s Step) bool { return s.Reset }); i >= 0 {
			if len(d.removals) > 0 {
				p.Steps = append(p.Steps, reset(byHost[h][i]))
			}
			continue
		}
		if len(d.removals) > 0 {
			s := Step{StepID: StepID{h, CleanUp}}
			for _, before := range byHost[h] {
				s.Requires = append(s.Requires, After(before.StepID))
			}
			for _, id := range d.removals {
				if by := replaced[id]; len(by) > 0 {
					s.Requires = append(s.Requires, Condition{Name: "nothing needs " + id.String() + " any more", Of: by})
				}
			}
			c := StepChange{Step: s, ID: s.StepID}
			for _, id := range d.removals {
				c.Changes = append(c.Changes, ResourceChange{Resource: id, Action: Remove, Changes: []resource.Change{{What: "present", Old: "present", New: "as it was before"}}})
			}
			p.Steps = append(p.Steps, c)
			p.Graph = append(p.Graph, s)
		}
	}
	return p, nil
}

// reset is what comes of putting a host back as it was found.
func reset(s Step) StepChange {
	return StepChange{Step: s, ID: s.StepID, Changes: []ResourceChange{{Resource: resource.ID{Kind: "host", Name: s.Host}, Action: Remove,
		Changes: []resource.Change{{What: "all that Kubewright put there", Old: "present", New: "as it was before", Disturbs: true}}}}}
}

func compare(s Step, all Observation) StepChange {
	c := StepChange{Step: s, ID: s.StepID}
	changed := map[resource.ID]bool{}
	for _, r := range s.Resources {
		id := r.ID()
		o, seen := all.Resources[id.String()]
		if seen && o.Note != "" {
			c.Notes = append(c.Notes, Remark{id, o.Note})
		}
		switch {
		case seen && o.State == resource.Unknown:
			c.Unknown = append(c.Unknown, Remark{id, o.Reason})
			continue
		case seen && o.Blocked != "":
			c.Blocked = append(c.Blocked, Remark{id, o.Blocked})
			continue
		}
		var changes []resource.Change
		if seen {
			changes = r.Diff(o)
		}
		if t, ok := r.(resource.Triggered); ok {
			if by := triggers(t, changed, o.Pending); len(by) > 0 {
				if c := t.Trigger(o, by); c.What != "" { // nothing: what reads it does not run
					changes = append(changes, c)
				}
			}
		}
		if len(changes) == 0 {
			continue
		}
		changed[id] = true
		action := Update
		if o.State == resource.Absent {
			action = Create
		}
		c.Changes = append(c.Changes, ResourceChange{Resource: id, Action: action, Changes: changes})
	}
	for _, p := range s.Ensures {
		if f, ok := p.(resource.Follower); ok && changed[f.Follows()] {
			continue // or every member of a group would count as not well, and be worked on at once
		}
		if why, bad := all.Unwell[p.ID().String()]; bad {
			c.Unwell = append(c.Unwell, Remark{p.ID(), why})
		}
	}
	return c
}

// triggers are what a resource has to be applied after: what changes now, and what changed before without that, also if it is not asked for any more.
func triggers(t resource.Triggered, changed map[resource.ID]bool, pending []resource.ID) []resource.ID {
	var by []resource.ID
	for _, id := range t.TriggeredBy() {
		if changed[id] || slices.Contains(pending, id) {
			by = append(by, id)
		}
	}
	for _, id := range pending {
		if !slices.Contains(by, id) {
			by = append(by, id)
		}
	}
	return by
}

// Counts are how many resources a plan touches.
type Counts struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Remove  int `json:"remove"`
	Disturb int `json:"disturb"` // steps that stop something for a moment that the cluster works by
	Unwell  int `json:"unwell"`
	Unknown int `json:"unknown"`
	Blocked int `json:"blocked"`
	Hosts   int `json:"hosts"` // with something to do
}

// Counts of the plan.
func (p *Plan) Counts() Counts {
	var n Counts
	hosts := map[string]bool{}
	for i := range p.Steps {
		s := &p.Steps[i]
		for _, r := range s.Changes {
			switch r.Action {
			case Create:
				n.Create++
			case Update:
				n.Update++
			case Remove:
				n.Remove++
			}
		}
		if s.Work() {
			hosts[s.Host] = true
		}
		if s.Group != "" && s.Disturbs() {
			n.Disturb++
		}
		if len(s.Changes) == 0 {
			n.Unwell += len(s.Unwell)
		}
		n.Unknown += len(s.Unknown)
		n.Blocked += len(s.Blocked)
	}
	n.Hosts = len(hosts)
	return n
}

// Empty says that everything is as it shall be, and known.
func (p *Plan) Empty() bool {
	n := p.Counts()
	return n.Hosts == 0 && n.Unknown == 0 && n.Blocked == 0 && len(p.Missing) == 0 && !p.Blocked()
}

// Blocked says whether a problem stands in the way of anything.
func (p *Plan) Blocked() bool {
	return slices.ContainsFunc(p.Problems, func(q Problem) bool { return q.Blocks })
}

// Overruled are problems that would stand in the way if nobody had overruled them.
func (p *Plan) Overruled() []Problem {
	var list []Problem
	for _, q := range p.Problems {
		if q.Overruled() {
			list = append(list, q)
		}
	}
	return list
}

// BlockedHosts are hosts on which nothing may be done, with the first reason; "" is the cluster as a whole.
func (p *Plan) BlockedHosts() map[string]string {
	m := map[string]string{}
	for _, q := range p.Problems {
		if _, there := m[q.Host]; q.Blocks && !there {
			m[q.Host] = q.Message
		}
	}
	return m
}

// Digest of what the plan does: of it as people read it, and of the contents of files, which they may not see whole. Health, notes and problems are no
// part of it: they come and go.
func (p *Plan) Digest() string {
	type change struct {
		Step    StepID
		Changes []ResourceChange
		// Contents of files that change, by their digests.
		Contents []string
	}
	var all []change
	for _, s := range p.Steps {
		if len(s.Changes) == 0 {
			continue
		}
		c := change{Step: s.StepID, Changes: s.Changes}
		for _, r := range s.Resources {
			f, ok := r.(resource.File)
			if ok && slices.ContainsFunc(s.Changes, func(c ResourceChange) bool { return c.Resource == f.ID() }) {
				c.Contents = append(c.Contents, f.Digest)
			}
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b change) int { return cmp.Compare(a.Step.String(), b.Step.String()) })
	b, err := json.Marshal(all)
	if err != nil {
		panic(fmt.Sprintf("a plan has no JSON: %v", err)) // only strings and lists are in it
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
