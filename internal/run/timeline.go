package run

import (
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// Timeline is what a run's events tell of when it did what, host by host. Moments are how long after its start they were.
type Timeline struct {
	Started time.Time
	Elapsed time.Duration
	What    string
	// Outcome and Error are those of Report.
	Outcome, Error string
	// Hosts that it had to do with, in the order in which it first had.
	Hosts []*HostTimeline
	// Rounds are when each began.
	Rounds []time.Duration
	// Phases are what no host in particular took: what came before rounds, and after the last.
	Phases []*Span
	// Locks are how long it waited for those of other runs.
	Locks []Pause
	// Interrupts are when it was.
	Interrupts []time.Duration
	// Critical is the chain of steps and phases that the end waited for, in order: a run is not faster than it. They are among those of Phases and Hosts.
	Critical []*Span
	// Failures of hosts and steps, in their order.
	Failures []event.Event
}

// HostTimeline is what a run did on a host.
type HostTimeline struct {
	Name string
	// Connected says that it was.
	Connected bool
	// Connecting is how long that took, each time.
	Connecting []*Span
	// Steps in the order in which they began.
	Steps []*Span
	// Idle is when nothing was done although something was to be.
	Idle []Idle
	// Lost are when its connection ended.
	Lost []time.Duration
	// Skipped are its steps that were not begun, with what they needed.
	Skipped []event.Event

	inHand int           // steps
	since  time.Duration // when the last of them ended
}

// State is how a span ended.
type State int

// The states of a span. Unfinished is one that nobody wrote the end of: the run was interrupted or killed.
const (
	Unfinished State = iota
	Done
	Failed
)

// Span is a step, a connection that was made, or a phase.
type Span struct {
	// Spent is what took time. Resources of a step come in the order in which they were done.
	Spent
	State State
	Error string
	// After is the step ("host step") that had to be done before this one, and was so last.
	After string
	// Turn is how long it could have begun before it did, and waited for its turn: only so many hosts are disturbed, and only so many steps run at once.
	Turn time.Duration
	// Waits are when everything was made as it shall be and was not well yet, or something stood in the way that may pass.
	Waits []Pause
	// Retries are when it was tried again, and why.
	Retries []Moment
	// Said is what a connection went through.
	Said []Moment
	// Critical is the place on the critical path, from 1; 0 if it is not on it.
	Critical int

	waiting bool  // the last of Waits goes on
	before  *Span // that it waited for last, in the same round
}

// End is when it ended.
func (s *Span) End() time.Duration { return s.Begin + s.Elapsed }

// Pause is a time in which something was waited for.
type Pause struct {
	Begin, Elapsed time.Duration
	// Why says what for, and why it does not hold yet.
	Why string
}

// Moment is something that was said at a time.
type Moment struct {
	At   time.Duration
	Text string
}

// Idle is a time in which a host had nothing to do until a step of it could begin.
type Idle struct {
	Begin, Elapsed time.Duration
	// Next is that step.
	Next *Span
}

// soon is within what a step begins that waits for nothing but other steps; one that begins later had to wait for its turn.
const soon = 100 * time.Millisecond

// MakeTimeline tells what a run's events tell of when it did what.
func MakeTimeline(events []event.Event) *Timeline {
	t := &Timeline{Outcome: "unfinished"}
	if len(events) == 0 {
		return t
	}
	t.Started = events[0].Time
	t.Elapsed = events[len(events)-1].Time.Sub(t.Started)
	g := &gathering{Timeline: t, hosts: map[string]*HostTimeline{}, connecting: map[string]*Span{}, now: newRound(0)}
	for _, v := range events {
		g.event(v)
	}
	g.end()
	return t
}

// gathering makes a timeline of events.
type gathering struct {
	*Timeline
	hosts      map[string]*HostTimeline
	connecting map[string]*Span // those that are being connected to
	locked     bool             // the locks were taken, so what waits for one now is a step
	waiting    bool             // the last of Locks goes on
	now        *round
}

// round is what is gathered of one.
type round struct {
	begin  time.Duration
	steps  map[string]*Span // by host and name
	latest *Span            // that ended last
	end    time.Duration    // of it, or of what came before it
}

func newRound(begin time.Duration) *round {
	return &round{begin: begin, steps: map[string]*Span{}, end: begin}
}

// path is the chain of steps that its end waited for, in order.
func (r *round) path() []*Span {
	var path []*Span
	for s := r.latest; s != nil; s = s.before {
		path = append(path, s)
	}
	slices.Reverse(path)
	return path
}

func (g *gathering) host(name string) *HostTimeline {
	h := g.hosts[name]
	if h == nil {
		h = &HostTimeline{Name: name}
		g.hosts[name] = h
		g.Hosts = append(g.Hosts, h)
	}
	return h
}

func (g *gathering) event(v event.Event) {
	at := v.Time.Sub(g.Started)
	key := v.Host + " " + v.Step
	step := g.now.steps[key]
	switch v.Kind {
	case event.RunStarted:
		g.What = v.Message
	case event.HostConnecting, event.HostConnected, event.HostFailed, event.HostLost:
		g.connection(v, at)
	case event.LockWaiting:
		g.lockWaiting(v, at)
	case event.LockTaken:
		g.locked = true
		g.endLockWait(at)
	case event.RoundStarted:
		g.locked = true
		g.endLockWait(at)
		g.endRound(at)
		g.Rounds = append(g.Rounds, at)
		g.now = newRound(at)
	case event.StepStarted:
		g.begin(v, at)
	case event.StepWaiting:
		step.wait(at, v.Message)
	case event.StepRetried:
		if step != nil {
			step.Retries = append(step.Retries, Moment{at, v.Message})
		}
		step.wait(at, "trying again: "+v.Message)
	case event.ResourceStarted:
		step.endWait(at)
	case event.ResourceDone:
		step.endWait(at - v.Elapsed)
		if step != nil {
			step.Resources = append(step.Resources, Spent{Host: v.Host, Step: v.Step, Resource: v.Resource, Begin: at - v.Elapsed, Elapsed: v.Elapsed})
		}
	case event.StepDone, event.StepFailed:
		g.stepEnded(v, at)
	case event.StepSkipped:
		h := g.host(v.Host)
		h.Skipped = append(h.Skipped, v)
	case event.RunInterrupted:
		g.Outcome = "interrupted"
		g.Interrupts = append(g.Interrupts, at)
	case event.RunDeclined:
		g.Outcome = "declined"
	case event.RunDone:
		g.Error = v.Error
		switch {
		case g.Outcome == "interrupted", g.Outcome == "declined":
		case v.Error == "":
			g.Outcome = "done"
		default:
			g.Outcome = "failed"
		}
	}
}

// connection notes what is told of one.
func (g *gathering) connection(v event.Event, at time.Duration) {
	h := g.host(v.Host)
	if v.Kind == event.HostLost {
		h.Lost = append(h.Lost, at)
		return
	}
	s := g.connecting[v.Host]
	if s == nil {
		s = &Span{Spent: Spent{Host: v.Host, Step: "connecting", Begin: at - v.Elapsed}}
		g.connecting[v.Host] = s
		h.Connecting = append(h.Connecting, s)
	}
	if v.Kind == event.HostConnecting {
		s.Said = append(s.Said, Moment{at, v.Message})
		return
	}
	delete(g.connecting, v.Host)
	s.Elapsed, s.State, s.Error = at-s.Begin, Done, v.Error
	if v.Kind == event.HostFailed {
		s.State = Failed
		g.Failures = append(g.Failures, v)
		return
	}
	h.Connected = true
}

// lockWaiting notes that a lock is waited for: by the run, or, once it has its own, by the steps of a host.
func (g *gathering) lockWaiting(v event.Event, at time.Duration) {
	if g.locked {
		for _, s := range g.host(v.Host).Steps {
			if s.State == Unfinished {
				s.wait(at, v.Message)
			}
		}
		return
	}
	g.endLockWait(at)
	g.Locks = append(g.Locks, Pause{Begin: at, Why: v.Message})
	g.waiting = true
}

func (g *gathering) endLockWait(at time.Duration) {
	if g.waiting {
		last := &g.Locks[len(g.Locks)-1]
		last.Elapsed = at - last.Begin
	}
	g.waiting = false
}

// begin notes that a step does, and what it waited for last.
func (g *gathering) begin(v event.Event, at time.Duration) {
	s := &Span{Spent: Spent{Host: v.Host, Step: v.Step, Begin: at}, After: v.After, before: g.now.steps[v.After]}
	could := g.now.begin
	if s.before != nil {
		could = s.before.End()
	}
	if at-could >= soon {
		// It could begin, and did when another step ended.
		s.Turn, s.before = at-could, g.now.latest
	}
	h := g.host(v.Host)
	if since := max(h.since, g.now.begin); h.inHand == 0 && at-since >= soon {
		h.Idle = append(h.Idle, Idle{Begin: since, Elapsed: at - since, Next: s})
	}
	h.inHand++
	g.now.steps[v.Host+" "+v.Step] = s
	h.Steps = append(h.Steps, s)
}

// stepEnded notes how a step ended.
func (g *gathering) stepEnded(v event.Event, at time.Duration) {
	h, s := g.host(v.Host), g.now.steps[v.Host+" "+v.Step]
	began := s != nil
	if began {
		h.inHand, h.since = h.inHand-1, at
	} else { // it failed before
		s = &Span{Spent: Spent{Host: v.Host, Step: v.Step, Begin: at}}
		h.Steps = append(h.Steps, s)
	}
	s.endWait(at)
	s.Elapsed, s.State = at-s.Begin, Done
	if v.Kind == event.StepFailed {
		s.State, s.Error = Failed, v.Error
		g.Failures = append(g.Failures, v)
	}
	if began && at >= g.now.end {
		g.now.latest, g.now.end = s, at
	}
}

// endRound notes the path of a round that was, and the phase that goes on until the next one begins.
func (g *gathering) endRound(at time.Duration) {
	g.Critical = append(g.Critical, g.now.path()...)
	what := "looking and planning again"
	if len(g.Rounds) == 0 {
		what = "connecting, looking and planning"
	}
	g.phase(what, at) // it is on every path
}

// phase notes what went on since the last step ended, or since the beginning.
func (g *gathering) phase(what string, at time.Duration) {
	s := &Span{Spent: Spent{Step: what, Begin: g.now.end, Elapsed: at - g.now.end}, State: Done}
	g.Phases, g.Critical = append(g.Phases, s), append(g.Critical, s)
}

// end notes what goes on until the end.
func (g *gathering) end() {
	g.Critical = append(g.Critical, g.now.path()...)
	if last := g.Elapsed - g.now.end; last >= soon && g.Outcome != "unfinished" {
		what := "ending"
		switch {
		case len(g.Rounds) == 0:
			what = "connecting, looking and planning"
		case g.Outcome == "done":
			what = "looking whether anything is left"
		}
		g.phase(what, g.Elapsed)
	}
	g.endLockWait(g.Elapsed)
	for _, h := range g.Hosts {
		for _, s := range slices.Concat(h.Connecting, h.Steps) {
			if s.State == Unfinished {
				s.endWait(g.Elapsed)
				s.Elapsed = g.Elapsed - s.Begin
			}
		}
	}
	for i, s := range g.Critical {
		s.Critical = i + 1
	}
}

// wait notes that something is waited for, and why. A step that nobody told about waits for nothing.
func (s *Span) wait(at time.Duration, why string) {
	if s == nil {
		return
	}
	s.endWait(at)
	s.Waits, s.waiting = append(s.Waits, Pause{Begin: at, Why: why}), true
}

func (s *Span) endWait(at time.Duration) {
	if s == nil || !s.waiting {
		return
	}
	last := &s.Waits[len(s.Waits)-1]
	last.Elapsed = max(0, at-last.Begin)
	s.waiting = false
}
