// Package run executes a plan: a step starts the moment its own conditions hold, groups say how many hosts are disturbed at once, what may pass
// by itself is tried again, an interrupt finishes what is in hand. It also takes the locks of a run and keeps its journal. It knows nothing of how hosts
// are connected to, or of what steps are for.
package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Host is a machine that is worked on; agent.Client is one.
type Host interface {
	Apply(ctx context.Context, s plan.Step, progress func(agent.Progress)) error
	Remove(ctx context.Context, ids []resource.ID, progress func(agent.Progress)) error
	Check(ctx context.Context, probes []resource.Probe) (map[string]string, error)
	// Reset takes away all that Kubewright put there, and all that it remembers.
	Reset(ctx context.Context, progress func(agent.Progress)) error
	// Finish has calls end after the resource in hand.
	Finish()
}

// Options of a run.
type Options struct {
	// Host connects to a host, or to one again whose connection ended, and has its lock. An error means that it cannot be worked with. Its context ends
	// when the run is interrupted; the host that it returned goes on.
	Host func(ctx context.Context, name string) (Host, error)
	// Events are told what happens.
	Events event.Sink
	// Waits is told which hosts wait and for what, when that may have changed and at most a few times a second; nil if nobody wants to know. It must not block
	// for long. That is no event: what waits is plain from the plan and what is done, and there may be thousands.
	Waits func([]Wait)
	// Interrupt, when it is closed, has the run begin nothing more and finish what is in hand.
	Interrupt <-chan struct{}
	// Parallel is how many steps run at once; 128 if 0.
	Parallel int
	// WellWithin is how long what a step ensures may take to come true; 3 minutes if 0.
	WellWithin time.Duration
	// CureAfter is how long what can be cured (resource.Curable) is waited for before it is; 75 seconds if 0: beside an API server that hangs, a kubelet needs 34 to end
	// a static Pod after its containers have ended.
	CureAfter time.Duration
	// Attempts is how often a step is tried whose host is lost; 5 if 0.
	Attempts int
	// TransientFor is how long a step is tried again that fails in ways that may pass (resource.TransientError); 10 minutes if 0: unattended upgrades hold the
	// lock of package managers for some.
	TransientFor time.Duration
}

// Failure of a step.
type Failure struct {
	Step plan.StepID
	Err  error
}

// Result of a run.
type Result struct {
	// Done are the steps that did something, or waited for something that is well now.
	Done int
	// Failed are steps that were tried or could not be, in the order in which that was found out; those of hosts that the plan says are missing or
	// blocked are not among them.
	Failed []Failure
	// Skipped are steps that were not begun because of others.
	Skipped []Failure
	// Interrupted says that steps are left because the run was.
	Interrupted bool
}

// state of a step in a run.
type state int

const (
	waiting state = iota
	ready         // its conditions hold
	running
	done
	failed
	skipped
)

type node struct {
	plan.Step
	change *plan.StepChange // nil if there is nothing to do
	state  state
	err    error
	// known says that the plan told about the failure, for the host as a whole.
	known bool
	// after is the step that it waited for last.
	after  string
	blocks []*node // whose conditions name this one
}

type execution struct {
	o      Options
	nodes  map[plan.StepID]*node
	order  []*node
	groups map[string]*group
	ready  []*node
	result Result

	ended    chan ending
	stopping bool

	// connecting ends when the run is interrupted, and with it what waits for a host or its lock.
	connecting context.Context
	connected  context.CancelFunc
	owned      sync.WaitGroup

	mu    sync.Mutex
	hosts map[string]Host // of steps in hand, or that were
}

// ending is how a step ended.
type ending struct {
	node *node
	err  error
	// lost says that it has not, but that its host does not answer at the moment.
	lost bool
}

// ErrUnknown is why a step is not begun of which something could not be observed.
var ErrUnknown = errors.New("what is there could not be found out")

// errInterrupted is what a step ends with that has more to do when the run is interrupted.
var errInterrupted = errors.New("interrupted")

// Run executes a plan. What fails is in the result; an error is the end of the context.
func Run(ctx context.Context, p *plan.Plan, o Options) (Result, error) {
	if o.Parallel == 0 {
		o.Parallel = 128
	}
	if o.WellWithin == 0 {
		o.WellWithin = 3 * time.Minute
	}
	if o.CureAfter == 0 {
		o.CureAfter = 75 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.TransientFor == 0 {
		o.TransientFor = 10 * time.Minute
	}
	e := newExecution(p, o)
	return e.result, e.run(ctx)
}

func newExecution(p *plan.Plan, o Options) *execution {
	e := &execution{o: o, nodes: map[plan.StepID]*node{}, groups: map[string]*group{}, ended: make(chan ending)}
	changes := map[plan.StepID]*plan.StepChange{}
	for i := range p.Steps {
		changes[p.Steps[i].StepID] = &p.Steps[i]
	}
	blocked := p.BlockedHosts()
	for _, s := range p.Graph {
		n := &node{Step: s, state: done}
		c := changes[s.StepID]
		why, missing := p.Missing[s.Host]
		switch {
		case missing:
			n.state, n.known, n.err = failed, true, fmt.Errorf("%s is not there: %s", s.Host, why)
		case blocked[""] != "":
			n.state, n.known, n.err = failed, true, errors.New(blocked[""])
		case blocked[s.Host] != "" && c != nil && c.Work():
			n.state, n.known, n.err = failed, true, fmt.Errorf("%s cannot be worked on: %s", s.Host, blocked[s.Host])
		case c == nil:
		case len(c.Blocked) > 0:
			n.state, n.err = failed, fmt.Errorf("%s: %s", c.Blocked[0].Resource, c.Blocked[0].Text)
		case len(c.Unknown) > 0:
			n.state, n.err = failed, fmt.Errorf("%s: %w: %s", c.Unknown[0].Resource, ErrUnknown, c.Unknown[0].Text)
		case c.Work():
			n.state, n.change = waiting, c
		}
		e.nodes[s.StepID] = n
		e.order = append(e.order, n)
	}
	for _, n := range e.order {
		for _, c := range n.Requires {
			for _, id := range c.Of {
				other := e.nodes[id]
				other.blocks = append(other.blocks, n)
			}
		}
	}
	for _, g := range p.Groups {
		e.groups[g.Name] = newGroup(g)
	}
	for host := range p.Missing {
		e.lost(host)
	}
	for _, n := range e.order {
		if g := e.groups[n.Group]; g != nil && (n.state == failed || n.change != nil && len(n.change.Unwell) > 0) {
			g.notWell(n.Host, n.Name)
		}
	}
	return e
}

// lost notes that a host does not answer, so that none of the groups that it is in counts on it.
func (e *execution) lost(host string) {
	for _, g := range e.groups {
		g.notWell(host, gone)
	}
}

func (e *execution) run(ctx context.Context) error {
	for _, n := range e.order {
		if n.state == failed && !n.known {
			e.fail(n, n.err)
		}
	}
	for _, n := range e.order {
		e.consider(n, nil)
	}
	interrupt := e.o.Interrupt
	inHand := 0
	changed := true            // since waits were told
	var again <-chan time.Time // when they may be told again
	e.hosts = map[string]Host{}
	e.connecting, e.connected = context.WithCancel(ctx)
	defer e.owned.Wait()
	defer e.connected()
	for {
		if !e.stopping {
			for inHand < e.o.Parallel {
				n := e.next()
				if n == nil {
					break
				}
				inHand++
				n.state = running
				e.event(event.Event{Kind: event.StepStarted, Host: n.Host, Step: n.Name, After: n.after})
				e.owned.Go(func() { e.ended <- ending{node: n, err: e.step(ctx, n)} })
			}
		}
		if inHand == 0 {
			break
		}
		if e.o.Waits != nil && changed && again == nil {
			e.o.Waits(e.waits(inHand))
			changed, again = false, time.After(waitsEvery)
		}
		select {
		case <-again:
			again = nil
		case <-interrupt:
			interrupt = nil
			e.interrupted()
			changed = true
		case end := <-e.ended:
			if end.lost {
				e.lost(end.node.Host)
				continue
			}
			inHand--
			e.end(end)
			changed = true
		}
	}
	if e.o.Waits != nil {
		e.o.Waits(nil)
	}
	for _, n := range e.order {
		if n.state == waiting || n.state == ready {
			if e.stopping || ctx.Err() != nil {
				e.result.Interrupted = true
				continue
			}
			e.skip(n, errors.New(e.groups[n.Group].stands(n.Host)))
		}
	}
	return ctx.Err()
}

// interrupted has nothing more begin, and what is in hand finish.
func (e *execution) interrupted() {
	if e.stopping {
		return
	}
	e.stopping = true
	e.event(event.Event{Kind: event.RunInterrupted, Message: InterruptedMessage})
	e.connected()
	inHand := map[string]bool{}
	for _, n := range e.order {
		if n.state == running {
			inHand[n.Host] = true
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, h := range e.hosts {
		if inHand[name] {
			e.owned.Go(h.Finish) // one that does not answer takes its time
		}
	}
}

// InterruptedMessage says what an interrupt does, for events.
const InterruptedMessage = "finishing what is in hand; interrupt again to cut it off"

func (e *execution) event(v event.Event) {
	v.Time = time.Now()
	e.o.Events(v)
}

// consider looks whether the conditions of a step that waits hold now, or never will.
func (e *execution) consider(n *node, because *node) {
	if n.state != waiting {
		return
	}
	for _, c := range n.Requires {
		came, still := 0, 0
		var broken *node
		for _, id := range c.Of {
			switch other := e.nodes[id]; other.state {
			case done:
				came++
			case failed, skipped:
				broken = other
			default:
				still++
			}
		}
		switch {
		case came >= c.Needed():
		case came+still < c.Needed():
			e.skip(n, fmt.Errorf("%s: %s: %w", c.Name, broken.StepID, cause(broken)))
			return
		default:
			return
		}
	}
	n.state = ready
	if because != nil {
		n.after = because.StepID.String()
	}
	e.ready = append(e.ready, n)
}

// cause is what a step that was not begun goes back to.
func cause(n *node) error {
	var s *skippedError
	if errors.As(n.err, &s) {
		return s.cause
	}
	return n.err
}

type skippedError struct{ cause error }

func (s *skippedError) Error() string { return "not begun: " + s.cause.Error() }

func (s *skippedError) Unwrap() error { return s.cause }

// next is a step that may start, if there is one: those that disturb nothing first.
func (e *execution) next() *node {
	for i, n := range e.ready {
		if e.free(n) {
			e.ready = slices.Delete(e.ready, i, i+1)
			if g := e.groups[n.Group]; g != nil && n.change.Disturbs() {
				g.begin(n.Host, n.Name)
			}
			return n
		}
	}
	for i, n := range e.ready {
		if g := e.groups[n.Group]; g.admits(n.Host) {
			e.ready = slices.Delete(e.ready, i, i+1)
			g.begin(n.Host, n.Name)
			return n
		}
	}
	return nil
}

// free says whether a step disturbs nothing that is well.
func (e *execution) free(n *node) bool {
	g := e.groups[n.Group]
	return g == nil || !n.change.Disturbs() || !g.isWell(n.Host)
}

func (e *execution) end(end ending) {
	n := end.node
	if _, lost := errors.AsType[*agent.LostError](end.err); lost {
		e.lost(n.Host)
	}
	if g := e.groups[n.Group]; g != nil {
		g.end(n.Host, n.Name, n.change.Disturbs(), end.err == nil)
	}
	switch {
	case end.err == nil:
		n.state = done
		e.result.Done++
		for _, other := range n.blocks {
			e.consider(other, n)
		}
	case errors.Is(end.err, errInterrupted):
		n.state = waiting
		e.result.Interrupted = true
		e.interrupted() // it may have heard of it first
	default:
		e.fail(n, end.err)
	}
}

func (e *execution) fail(n *node, err error) {
	n.state, n.err = failed, err
	e.result.Failed = append(e.result.Failed, Failure{n.StepID, err})
	e.event(event.Event{Kind: event.StepFailed, Host: n.Host, Step: n.Name, Error: err.Error()})
	for _, other := range n.blocks {
		e.consider(other, n)
	}
}

func (e *execution) skip(n *node, why error) {
	n.state, n.err = skipped, &skippedError{why}
	e.result.Skipped = append(e.result.Skipped, Failure{n.StepID, why})
	e.event(event.Event{Kind: event.StepSkipped, Host: n.Host, Step: n.Name, Message: why.Error()})
	for _, other := range n.blocks {
		e.consider(other, n)
	}
}

// Trying again starts with the shortest pause and doubles it up to the longest.
const (
	shortestRetry = time.Second
	longestRetry  = 15 * time.Second
)

// step makes a step true, again if what stands in the way may pass.
func (e *execution) step(ctx context.Context, n *node) error {
	start := time.Now()
	pause, lost := shortestRetry, 0
	var transient time.Time // since when it fails in ways that may pass
	for {
		err := e.attempt(ctx, n)
		switch {
		case err == nil:
			e.event(event.Event{Kind: event.StepDone, Host: n.Host, Step: n.Name, Elapsed: time.Since(start)})
			return nil
		case ctx.Err() != nil, errors.Is(err, errInterrupted), errors.Is(err, context.Canceled) && e.connecting.Err() != nil:
			return errInterrupted
		case errors.Is(err, context.Canceled):
			// Nobody interrupted it here: its agent heard nothing for too long.
			err = &agent.LostError{Host: n.Host, Err: errors.New("it ended its work")}
		}
		if _, ok := errors.AsType[*agent.LostError](err); ok {
			transient = time.Time{}
			if lost++; lost == e.o.Attempts {
				return fmt.Errorf("%w (tried %d times)", err, lost)
			}
			e.ended <- ending{node: n, lost: true}
		} else if _, ok := errors.AsType[resource.TransientError](err); ok {
			if transient.IsZero() {
				transient, pause = time.Now(), shortestRetry
			}
			if time.Since(transient) >= e.o.TransientFor {
				return fmt.Errorf("%w (tried for %s)", err, time.Since(transient).Round(time.Second))
			}
		} else {
			return err
		}
		e.event(event.Event{Kind: event.StepRetried, Host: n.Host, Step: n.Name, Message: err.Error()})
		timer := time.NewTimer(pause)
		pause = min(2*pause, longestRetry)
		select {
		case <-timer.C:
		case <-e.o.Interrupt:
			timer.Stop()
			return errInterrupted
		case <-ctx.Done():
			timer.Stop()
			return errInterrupted
		}
	}
}

func (e *execution) attempt(ctx context.Context, n *node) error {
	h, err := e.o.Host(e.connecting, n.Host)
	if err != nil {
		if e.connecting.Err() != nil {
			return errInterrupted
		}
		return err
	}
	e.mu.Lock()
	e.hosts[n.Host] = h
	e.mu.Unlock()
	select {
	case <-e.o.Interrupt: // it was not in hand when the others were told
		return errInterrupted
	default:
	}
	progress := e.progress(n)
	var removals []resource.ID
	changes := false
	for _, c := range n.change.Changes {
		changes = true
		if c.Action == plan.Remove {
			removals = append(removals, c.Resource)
		}
	}
	switch {
	case n.Reset:
		return h.Reset(ctx, progress)
	case len(removals) > 0:
		return h.Remove(ctx, removals, progress)
	case changes:
		if err := h.Apply(ctx, n.Step, progress); err != nil {
			return err
		}
	}
	return e.wellNow(ctx, h, n)
}

// progress makes events of what an agent says of a step.
func (e *execution) progress(n *node) func(agent.Progress) {
	begun := map[resource.ID]time.Time{}
	return func(p agent.Progress) {
		v := event.Event{Host: n.Host, Step: n.Name, Resource: p.Resource.String(), Message: p.Message}
		switch p.Phase {
		case agent.Begin:
			begun[p.Resource] = time.Now()
			v.Kind = event.ResourceStarted
		case agent.At:
			v.Kind = event.ResourceProgress
		case agent.End:
			if !p.Changed {
				return // it was so already
			}
			v.Kind, v.Elapsed = event.ResourceDone, time.Since(begun[p.Resource])
		}
		e.event(v)
	}
}

// Probing starts with the shortest pause and doubles it up to the longest.
const (
	shortestPause = 50 * time.Millisecond
	longestPause  = time.Second
)

// wellNow waits until what a step ensures is well, and says why it is not yet.
func (e *execution) wellNow(ctx context.Context, h Host, n *node) error {
	if len(n.Ensures) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.WellWithin, errNotWell)
	defer cancel()
	pause, said, patience := shortestPause, "", time.Now().Add(e.o.CureAfter)
	for {
		unwell, err := h.Check(ctx, n.Ensures)
		if err == nil && len(unwell) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if why := describe(unwell); why != "" && why != said {
			said = why
			e.event(event.Event{Kind: event.StepWaiting, Host: n.Host, Step: n.Name, Message: why})
		}
		if cures := curesOf(n.Ensures, unwell); len(cures) > 0 && !patience.IsZero() && time.Now().After(patience) {
			patience = time.Time{}
			if err := h.Apply(ctx, plan.Step{StepID: n.StepID, Resources: cures}, e.progress(n)); err != nil {
				return err
			}
			continue
		}
		timer := time.NewTimer(pause)
		pause = min(2*pause, longestPause)
		select {
		case <-timer.C:
		case <-e.o.Interrupt:
			timer.Stop()
			return errInterrupted
		case <-ctx.Done():
			timer.Stop()
			if errors.Is(context.Cause(ctx), errNotWell) && said == "" {
				return fmt.Errorf("all is in place, but whether it is well could not be found out within %s: the check did not come to an end", e.o.WellWithin)
			}
			if errors.Is(context.Cause(ctx), errNotWell) {
				return fmt.Errorf("all is in place, but after %s it is not well: %s", e.o.WellWithin, said)
			}
			return ctx.Err()
		}
	}
}

var errNotWell = errors.New("it is not well in time")

// curesOf are what helps those that are not well.
func curesOf(probes []resource.Probe, unwell map[string]string) []resource.Resource {
	var cures []resource.Resource
	for _, p := range probes {
		if c, ok := p.(resource.Curable); ok && unwell[p.ID().String()] != "" {
			cures = append(cures, c.Cure())
		}
	}
	return cures
}

// describe says what is not well, in one line.
func describe(unwell map[string]string) string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(unwell)) {
		all = append(all, id+": "+unwell[id])
	}
	return strings.Join(all, "; ")
}
