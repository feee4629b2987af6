package run_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

// lab is where plans are executed: on hosts that do what a test says, in fake time.
type lab struct {
	steps   []plan.Step
	changes []plan.StepChange
	groups  []plan.Group
	missing map[string]string
	blocked []plan.Problem
	options run.Options

	// apply is what a step does; it takes a second if nil.
	apply func(ctx context.Context, step plan.StepID) error
	// check is what of a step is not well; nothing if nil.
	check func(step plan.StepID) (map[string]string, error)
	// connect fails for hosts that cannot be worked with; nil if all can.
	connect func(host string) error
	// waits is a host that cannot be connected to until the context ends.
	waits string
	// finishing is what it takes to tell a host to finish; nothing if nil.
	finishing func(host string)

	mu      sync.Mutex
	start   time.Time
	log     []string // "begin m1 a", "end m1 a", and what else is told, each with its second
	inHand  map[string]bool
	most    int // hosts in hand at once, at most
	removed []resource.ID
	finish  map[string]chan struct{}
}

func id(host, name string) plan.StepID { return plan.StepID{Host: host, Name: name} }

// step adds one that has something to do.
func (l *lab) step(s plan.Step, change plan.StepChange) {
	l.steps = append(l.steps, s)
	change.Step, change.ID = s, s.StepID
	l.changes = append(l.changes, change)
}

var (
	file     = resource.ID{Kind: "file", Name: "/a"}
	adds     = plan.StepChange{Changes: []plan.ResourceChange{{Resource: file, Action: plan.Create, Changes: []resource.Change{{What: "present"}}}}}
	disturbs = plan.StepChange{Changes: []plan.ResourceChange{{Resource: file, Action: plan.Update, Changes: []resource.Change{{What: "restart", Disturbs: true}}}}}
	// repairs is what is done on a member that is not well.
	repairs = plan.StepChange{Changes: disturbs.Changes, Unwell: []plan.Remark{{Resource: file, Text: "it fell over"}}}
)

func after(ids ...plan.StepID) []plan.Condition { return []plan.Condition{plan.After(ids...)} }

// run executes the plan in a bubble of its own.
func (l *lab) run(t *testing.T, ctx context.Context) (r run.Result, err error) {
	t.Helper()
	l.start, l.inHand, l.finish = time.Now(), map[string]bool{}, map[string]chan struct{}{}
	hosts := map[string]bool{}
	for _, s := range l.steps {
		hosts[s.Host] = true
	}
	p := &plan.Plan{Steps: l.changes, Graph: l.steps, Groups: l.groups, Missing: l.missing, Problems: l.blocked, Hosts: slices.Sorted(maps.Keys(hosts))}
	o := l.options
	o.Host = func(ctx context.Context, name string) (run.Host, error) {
		if l.waits == name {
			<-ctx.Done()
			return nil, &agent.LostError{Host: name, Err: errors.New("the handshake was cut")}
		}
		if l.connect != nil {
			if err := l.connect(name); err != nil {
				return nil, err
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.finish[name] == nil {
			l.finish[name] = make(chan struct{})
		}
		return &host{l, name, l.finish[name]}, nil
	}
	var events []event.Event
	o.Events = func(v event.Event) {
		l.mu.Lock()
		defer l.mu.Unlock()
		events = append(events, v)
	}
	r, err = run.Run(ctx, p, o)
	for _, v := range events {
		if v.Time.IsZero() {
			t.Errorf("event without a time: %+v", v)
		}
	}
	begun := map[string]int{}
	for _, v := range events {
		switch v.Kind {
		case event.StepStarted:
			begun[v.Host+" "+v.Step]++
		case event.StepDone:
			if begun[v.Host+" "+v.Step] != 1 {
				t.Errorf("%s %s is done but was begun %d times", v.Host, v.Step, begun[v.Host+" "+v.Step])
			}
		case event.StepRetried, event.StepWaiting, event.RunInterrupted:
			l.log = append(l.log, fmt.Sprintf("%d %s %s: %s", int(v.Time.Sub(l.start).Seconds()), v.Kind, v.Host, v.Message))
		}
	}
	return r, err
}

func (l *lab) say(what string, s plan.StepID) {
	l.log = append(l.log, fmt.Sprintf("%d %s %s", int(time.Since(l.start).Seconds()), what, s))
}

// at is when something was said, in seconds after the start; -1 if it was not.
func (l *lab) at(what string) int {
	for _, line := range l.log {
		var n int
		if _, rest, _ := strings.Cut(line, " "); rest == what {
			_, _ = fmt.Sscan(line, &n)
			return n
		}
	}
	return -1
}

type host struct {
	l      *lab
	name   string
	finish chan struct{}
}

func (h *host) Apply(ctx context.Context, s plan.Step, progress func(agent.Progress)) error {
	l := h.l
	l.mu.Lock()
	l.say("begin", s.StepID)
	l.inHand[h.name] = true
	l.most = max(l.most, len(l.inHand))
	l.mu.Unlock()
	progress(agent.Progress{Resource: file, Phase: agent.Begin})
	err := error(nil)
	if l.apply != nil {
		err = l.apply(ctx, s.StepID)
	} else {
		time.Sleep(time.Second)
	}
	progress(agent.Progress{Resource: file, Phase: agent.End, Changed: true})
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inHand, h.name)
	l.say("end", s.StepID)
	select {
	case <-h.finish:
		return context.Canceled
	default:
		return err
	}
}

func (h *host) Remove(_ context.Context, ids []resource.ID, _ func(agent.Progress)) error {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	h.l.removed = append(h.l.removed, ids...)
	return nil
}

func (h *host) Reset(context.Context, func(agent.Progress)) error {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	h.l.say("reset", id(h.name, ""))
	return nil
}

func (h *host) Check(_ context.Context, probes []resource.Probe) (map[string]string, error) {
	if h.l.check == nil {
		return nil, nil
	}
	return h.l.check(id(h.name, probes[0].ID().Name))
}

func (h *host) Finish() {
	if h.l.finishing != nil {
		h.l.finishing(h.name)
	}
	close(h.finish)
}

// failures are what failed or was skipped, in words, sorted.
func failures(list []run.Failure) []string {
	var all []string
	for _, f := range list {
		all = append(all, f.Step.String()+": "+f.Err.Error())
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestStepsStartWhenTheirConditionsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		l.step(plan.Step{StepID: id("m2", "a")}, adds)
		l.step(plan.Step{StepID: id("m3", "any"), Requires: []plan.Condition{{Name: "one", Of: []plan.StepID{id("m1", "a"), id("m2", "a")}, AtLeast: 1}}}, adds)
		l.step(plan.Step{StepID: id("m4", "all"), Requires: after(id("m1", "a"), id("m2", "a"))}, adds)
		l.steps = append(l.steps, plan.Step{StepID: id("m5", "done")}) // nothing to do is done
		l.step(plan.Step{StepID: id("m5", "b"), Requires: after(id("m5", "done"))}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			time.Sleep(map[string]time.Duration{"m1": 2, "m2": 5}[s.Host] * time.Second)
			return nil
		}
		r, err := l.run(t, t.Context())
		if err != nil || r.Done != 5 || len(r.Failed)+len(r.Skipped) > 0 || r.Interrupted {
			t.Errorf("%+v, %v", r, err)
		}
		for what, want := range map[string]int{"begin m3 any": 2, "begin m4 all": 5, "begin m5 b": 0} {
			if got := l.at(what); got != want {
				t.Errorf("%s after %d s, want %d s; all: %q", what, got, want, l.log)
			}
		}
	})
}

// TestSkipped fails a step: what cannot come true any more is not begun, and says what it goes back to; what still can is.
func TestSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		broken := id("m1", "broken")
		l.step(plan.Step{StepID: broken}, adds)
		l.step(plan.Step{StepID: id("m2", "fine")}, adds)
		l.step(plan.Step{StepID: id("m1", "next"), Requires: after(broken)}, adds)
		l.step(plan.Step{StepID: id("m1", "last"), Requires: after(id("m1", "next"))}, adds)
		l.step(plan.Step{StepID: id("m2", "any"), Requires: []plan.Condition{{Name: "one", Of: []plan.StepID{broken, id("m2", "fine")}, AtLeast: 1}}}, adds)
		l.step(plan.Step{StepID: id("m2", "both"), Requires: []plan.Condition{{Name: "two", Of: []plan.StepID{broken, id("m2", "fine")}, AtLeast: 2}}}, adds)
		cause := resource.BlockedError{Reason: "the disk is full"}
		l.apply = func(_ context.Context, s plan.StepID) error {
			if s == broken {
				return cause
			}
			return nil
		}
		r, err := l.run(t, t.Context())
		if err != nil || r.Done != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		same(t, "failed", failures(r.Failed), "m1 broken: the disk is full")
		same(t, "skipped", failures(r.Skipped),
			"m1 last: m1 next: m1 next: m1 broken: m1 broken: the disk is full",
			"m1 next: m1 broken: m1 broken: the disk is full",
			"m2 both: two: m1 broken: the disk is full")
		for _, f := range r.Skipped {
			if !errors.Is(f.Err, cause) {
				t.Errorf("%s does not go back to its cause", f.Step)
			}
		}
	})
}

// TestNotBegun has hosts and steps that cannot be worked on from the start.
func TestNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.missing = map[string]string{"m1": "no route to host"}
		l.blocked = []plan.Problem{{Host: "m2", Message: "its clock is off", Blocks: true}, {Host: "m3", Message: "it is old"}}
		l.steps = append(l.steps, plan.Step{StepID: id("m1", "a")})
		l.step(plan.Step{StepID: id("m2", "a")}, adds)
		l.step(plan.Step{StepID: id("m3", "a")}, adds)
		l.step(plan.Step{StepID: id("m3", "b"), Requires: after(id("m1", "a"))}, adds)
		l.step(plan.Step{StepID: id("m3", "c"), Requires: after(id("m2", "a"))}, adds)
		l.step(plan.Step{StepID: id("m3", "unknown")}, plan.StepChange{Changes: adds.Changes, Unknown: []plan.Remark{{Resource: file, Text: "input/output error"}}})
		l.step(plan.Step{StepID: id("m3", "blocked")}, plan.StepChange{Changes: adds.Changes, Blocked: []plan.Remark{{Resource: file, Text: "it is a directory"}}})
		r, err := l.run(t, t.Context())
		if err != nil || r.Done != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		same(t, "failed", failures(r.Failed), // hosts that the plan told of are not told again
			"m3 blocked: file /a: it is a directory", "m3 unknown: file /a: what is there could not be found out: input/output error")
		same(t, "skipped", failures(r.Skipped),
			"m3 b: m1 a: m1 a: m1 is not there: no route to host", "m3 c: m2 a: m2 a: m2 cannot be worked on: its clock is off")
		if !errors.Is(r.Failed[0].Err, run.ErrUnknown) && !errors.Is(r.Failed[1].Err, run.ErrUnknown) {
			t.Error("what is unknown cannot be told from what failed")
		}
	})
}

func TestNothingIsDoneWhereTheClusterIsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.blocked = []plan.Problem{{Message: "two clusters", Blocks: true}}
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 0 || len(l.log) > 0 {
			t.Errorf("%+v, %v, %q", r, err, l.log)
		}
	})
}

// members makes a group of n hosts, each with a step that does something.
func (l *lab) members(n int, g plan.Group, change func(i int) plan.StepChange) {
	g.Name = "members"
	for i := range n {
		h := fmt.Sprintf("m%d", i+1)
		g.Members = append(g.Members, h)
		l.step(plan.Step{StepID: id(h, "restart"), Group: g.Name, Ensures: []resource.Probe{resource.UnitActive{Name: "restart"}}}, change(i))
	}
	l.groups = append(l.groups, g)
}

func TestGroups(t *testing.T) {
	always := func(c plan.StepChange) func(int) plan.StepChange { return func(int) plan.StepChange { return c } }
	fails := func(hosts ...string) func(context.Context, plan.StepID) error {
		return func(_ context.Context, s plan.StepID) error {
			time.Sleep(time.Second)
			if slices.Contains(hosts, s.Host) {
				return resource.BlockedError{Reason: "no"}
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		n      int
		group  plan.Group
		change func(int) plan.StepChange
		apply  func(context.Context, plan.StepID) error
		gone   string // a host that does not answer from the start
		// seconds that it takes, members that are worked on at once at most, and steps done, failed and skipped.
		seconds, most, done, failed, skipped int
		why                                  string // the last one is skipped
	}{
		{name: "one at a time", n: 4, group: plan.Group{AtOnce: 1}, change: always(disturbs), seconds: 4, most: 1, done: 4},
		{name: "two at a time", n: 4, group: plan.Group{AtOnce: 2}, change: always(disturbs), seconds: 2, most: 2, done: 4},
		{name: "first one alone", n: 5, group: plan.Group{AtOnce: 2, Canary: true}, change: always(disturbs), seconds: 3, most: 2, done: 5},
		{name: "the first one fails", n: 5, group: plan.Group{AtOnce: 2, Canary: true, StopAfter: 1}, change: always(disturbs), apply: fails("m1"),
			seconds: 1, most: 1, failed: 1, skipped: 4, why: "1 of the members failed, so no further one is disturbed"},
		{name: "two may fail", n: 6, group: plan.Group{AtOnce: 1, StopAfter: 2}, change: always(disturbs), apply: fails("m2", "m4"),
			seconds: 4, most: 1, done: 2, failed: 2, skipped: 2, why: "2 of the members failed, so no further one is disturbed"},
		{name: "any may fail", n: 3, group: plan.Group{AtOnce: 1}, change: always(disturbs), apply: fails("m1", "m2", "m3"), seconds: 3, most: 1, failed: 3},
		{name: "what adds disturbs nobody", n: 4, group: plan.Group{AtOnce: 1, MinWell: 4}, change: always(adds), seconds: 1, most: 4, done: 4},
		{name: "what is broken is free, and goes first", n: 4, group: plan.Group{AtOnce: 1},
			change: func(i int) plan.StepChange { return []plan.StepChange{disturbs, repairs, repairs, repairs}[i] }, seconds: 1, most: 4, done: 4},
		{name: "most have to be well", n: 3, group: plan.Group{AtOnce: 3, MinWell: 2}, change: always(disturbs), seconds: 3, most: 1, done: 3},
		{name: "too few are well", n: 3, group: plan.Group{AtOnce: 1, MinWell: 2}, apply: fails("m1"),
			change:  func(i int) plan.StepChange { return []plan.StepChange{repairs, disturbs, disturbs}[i] },
			seconds: 1, most: 1, failed: 1, skipped: 2, why: "1 of the other members are well, and 2 have to be while it is disturbed"},
		{name: "the broken one is repaired first", n: 3, group: plan.Group{AtOnce: 3, MinWell: 2},
			change:  func(i int) plan.StepChange { return []plan.StepChange{disturbs, disturbs, repairs}[i] },
			seconds: 3, most: 1, done: 3},
		{name: "one does not answer", n: 3, group: plan.Group{AtOnce: 1, MinWell: 2}, gone: "m1", change: always(disturbs),
			most: 0, skipped: 2, why: "1 of the other members are well, and 2 have to be while it is disturbed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lab{apply: c.apply}
				l.members(c.n, c.group, c.change)
				if c.gone != "" {
					l.missing = map[string]string{c.gone: "no route to host"}
					// Nothing is asked of what does not answer: its steps are not even known.
					l.steps = slices.DeleteFunc(l.steps, func(s plan.Step) bool { return s.Host == c.gone })
					l.changes = slices.DeleteFunc(l.changes, func(s plan.StepChange) bool { return s.Host == c.gone })
				}
				r, err := l.run(t, t.Context())
				if err != nil || r.Done != c.done || len(r.Failed) != c.failed || len(r.Skipped) != c.skipped {
					t.Errorf("%+v, %v", r, err)
				}
				if seconds := int(time.Since(l.start).Seconds()); seconds != c.seconds || l.most != c.most {
					t.Errorf("it took %d s with %d at once, want %d s with %d: %q", seconds, l.most, c.seconds, c.most, l.log)
				}
				if c.why != "" && (len(r.Skipped) == 0 || r.Skipped[len(r.Skipped)-1].Err.Error() != c.why) {
					t.Errorf("skipped are %+v, want the last because %q", r.Skipped, c.why)
				}
			})
		})
	}
}

// TestMemberWithTwoSteps has a member worked on twice at once: the end of one is not the end of its being disturbed.
func TestMemberWithTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		g := plan.Group{Name: "members", Members: []string{"m1", "m2"}, AtOnce: 1}
		l.groups = []plan.Group{g}
		l.step(plan.Step{StepID: id("m1", "long"), Group: g.Name}, disturbs)
		l.step(plan.Step{StepID: id("m1", "short"), Group: g.Name}, adds)
		l.step(plan.Step{StepID: id("m1", "other"), Group: g.Name}, disturbs)
		l.step(plan.Step{StepID: id("m2", "long"), Group: g.Name}, disturbs)
		l.apply = func(_ context.Context, s plan.StepID) error {
			time.Sleep(map[string]time.Duration{"long": 5, "short": 1, "other": 7}[s.Name] * time.Second)
			return nil
		}
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 4 {
			t.Errorf("%+v, %v", r, err)
		}
		if got := l.at("begin m2 long"); got != 7 {
			t.Errorf("m2 is disturbed after %d s, want 7 s: %q", got, l.log)
		}
	})
}

// TestLostMemberIsNotCountedOn has a member stop answering in the middle, by a step that belongs to no group.
func TestLostMemberIsNotCountedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.members(3, plan.Group{AtOnce: 1, MinWell: 2}, func(int) plan.StepChange { return disturbs })
		l.step(plan.Step{StepID: id("m3", "before")}, adds)
		for i := range l.steps[:3] {
			l.steps[i].Requires = after(id(l.steps[i].Host, "before"))
			l.changes[i].Step = l.steps[i]
		}
		l.step(plan.Step{StepID: id("m1", "before")}, adds)
		l.step(plan.Step{StepID: id("m2", "before")}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			if s.Host == "m3" {
				return &agent.LostError{Host: "m3", Err: errors.New("cut")}
			}
			time.Sleep(2 * time.Second)
			return nil
		}
		r, err := l.run(t, t.Context())
		if err != nil || r.Done != 2 || len(r.Failed) != 1 || len(r.Skipped) != 3 || l.at("begin m1 restart") >= 0 {
			t.Errorf("%+v, %v: %q", r, err, l.log)
		}
	})
}

func TestRetries(t *testing.T) {
	lost, busy := &agent.LostError{Host: "m1", Err: errors.New("cut")}, resource.TransientError{Err: errors.New("dpkg is busy")}
	for _, c := range []struct {
		name    string
		err     error
		times   int // it fails before it succeeds
		connect bool
		want    string
		seconds int
	}{
		{name: "lost", err: lost, times: 2, seconds: 3},
		{name: "its agent ends on its own", err: context.Canceled, times: 2, seconds: 3},
		{name: "lost while connecting", err: lost, times: 2, connect: true, seconds: 3},
		{name: "busy", err: fmt.Errorf("packages: %w", busy), times: 4, seconds: 15},
		{name: "lost for ever", err: lost, times: 99, want: "m1 a: m1: the agent was lost: cut (tried 5 times)", seconds: 15},
		{name: "busy for minutes", err: busy, times: 40, seconds: 15 + 36*15},
		{name: "busy for ever", err: busy, times: 99, want: "m1 a: dpkg is busy (tried for 10m0s)", seconds: 600},
		{name: "blocked", err: resource.BlockedError{Reason: "no"}, times: 1, want: "m1 a: no"},
		{name: "wrong", err: errors.New("it failed"), times: 1, want: "m1 a: it failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				fails := func() error {
					if n++; n > c.times {
						return nil
					}
					return c.err
				}
				l := lab{apply: func(context.Context, plan.StepID) error { return fails() }}
				if c.connect {
					l.apply, l.connect = func(context.Context, plan.StepID) error { return nil }, func(string) error { return fails() }
				}
				l.step(plan.Step{StepID: id("m1", "a")}, adds)
				r, err := l.run(t, t.Context())
				if seconds := int(time.Since(l.start).Seconds()); err != nil || seconds != c.seconds {
					t.Errorf("after %d s: %v", seconds, err)
				}
				if c.want == "" {
					same(t, "failed", failures(r.Failed))
				} else {
					same(t, "failed", failures(r.Failed), c.want)
				}
			})
		})
	}
}

// TestEnsures waits for what a step ensures, and says what it waits for.
func TestEnsures(t *testing.T) {
	for _, c := range []struct {
		name    string
		well    time.Duration // after which it is
		err     error
		want    string
		seconds int
	}{
		{name: "at last", well: 20 * time.Second, seconds: 20},
		{name: "never", well: time.Hour, seconds: 180, want: "m1 a: all is in place, but after 3m0s it is not well: unit-active a: cannot bind"},
		{name: "hopeless", err: errors.New("there is no such unit"), want: "m1 a: there is no such unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l lab
				// All is in place: nothing is applied, only waited for.
				l.step(plan.Step{StepID: id("m1", "a"), Ensures: []resource.Probe{resource.UnitActive{Name: "a"}}},
					plan.StepChange{Unwell: []plan.Remark{{Text: "it is not well"}}})
				l.step(plan.Step{StepID: id("m1", "next"), Requires: after(id("m1", "a"))}, adds)
				l.check = func(plan.StepID) (map[string]string, error) {
					if c.err == nil && time.Since(l.start) < c.well {
						return map[string]string{"unit-active a": "cannot bind"}, nil
					}
					return nil, c.err
				}
				r, err := l.run(t, t.Context())
				if err != nil || l.at("begin m1 a") >= 0 {
					t.Errorf("%v, %q", err, l.log)
				}
				if c.want == "" {
					same(t, "failed", failures(r.Failed))
					if got := l.at("begin m1 next"); got < c.seconds || got > c.seconds+1 {
						t.Errorf("what builds on it begins after %d s, want %d s", got, c.seconds)
					}
				} else {
					same(t, "failed", failures(r.Failed), c.want)
					if len(r.Skipped) != 1 || int(time.Since(l.start).Seconds()) != c.seconds {
						t.Errorf("after %v: %+v", time.Since(l.start), r)
					}
				}
				if c.err == nil && l.at("step-waiting m1: unit-active a: cannot bind") != 0 {
					t.Errorf("it is not said what is waited for: %q", l.log)
				}
			})
		})
	}
}

// TestInterrupt finishes what is in hand, and begins nothing else.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupt := make(chan struct{})
		l := lab{options: run.Options{Interrupt: interrupt}}
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		l.step(plan.Step{StepID: id("m1", "b"), Requires: after(id("m1", "a"))}, adds)
		l.step(plan.Step{StepID: id("m2", "busy")}, adds)
		l.step(plan.Step{StepID: id("m3", "unwell"), Ensures: []resource.Probe{resource.UnitActive{Name: "unwell"}}}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			switch s.Name {
			case "busy":
				return resource.TransientError{Err: errors.New("busy")}
			case "a":
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		l.check = func(plan.StepID) (map[string]string, error) { return map[string]string{"x": "not yet"}, nil }
		time.AfterFunc(5500*time.Millisecond, func() { close(interrupt) })
		r, err := l.run(t, t.Context())
		if err != nil || !r.Interrupted || len(r.Failed)+len(r.Skipped) > 0 {
			t.Errorf("%+v, %v", r, err)
		}
		if l.at("end m1 a") != 10 || l.at("begin m1 b") >= 0 || int(time.Since(l.start).Seconds()) != 10 {
			t.Errorf("after %v: %q", time.Since(l.start), l.log)
		}
		if l.at("run-interrupted : finishing what is in hand; interrupt again to cut it off") != 5 {
			t.Errorf("nobody said so: %q", l.log)
		}
	})
}

// TestInterruptReachesWhoConnects ends what waits for a host, and tells hosts at once, however long one of them takes to hear it.
func TestInterruptReachesWhoConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupt := make(chan struct{})
		l := lab{options: run.Options{Interrupt: interrupt}, waits: "m9"}
		var mu sync.Mutex
		told := map[string]int{}
		l.finishing = func(host string) {
			mu.Lock()
			told[host] = int(time.Since(l.start).Seconds())
			mu.Unlock()
			if host != "m1" {
				time.Sleep(20 * time.Second)
			}
		}
		for _, h := range []string{"m1", "m2", "m3"} {
			l.step(plan.Step{StepID: id(h, "a")}, adds)
		}
		l.step(plan.Step{StepID: id("m4", "quick")}, adds)
		l.step(plan.Step{StepID: id("m9", "a")}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			if s.Name == "a" {
				time.Sleep(10 * time.Second)
			}
			return nil
		}
		time.AfterFunc(5*time.Second, func() { close(interrupt) })
		r, err := l.run(t, t.Context())
		if err != nil || !r.Interrupted || len(r.Failed)+len(r.Skipped) > 0 {
			t.Errorf("%+v, %v", r, err)
		}
		// m4 has nothing in hand any more.
		if !maps.Equal(told, map[string]int{"m1": 5, "m2": 5, "m3": 5}) || int(time.Since(l.start).Seconds()) != 25 {
			t.Errorf("after %v, told: %v", time.Since(l.start), told)
		}
	})
}

// TestCure is tried once, and only if waiting does not help.
func TestCure(t *testing.T) {
	for _, c := range []struct {
		name   string
		wellAt time.Duration // by itself
		cured  bool          // by the cure
		begins int
		ends   int // seconds after the beginning
		failed string
	}{
		{"it comes by itself", 70 * time.Second, false, 1, 70, ""},
		{"the cure helps", time.Hour, true, 2, 76, ""},
		{"the cure does not help", time.Hour, false, 2, 180, "m1 a: all is in place, but after 3m0s it is not well: static-pod etcd: it is down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begins, start := 0, time.Now()
				l := lab{apply: func(context.Context, plan.StepID) error { begins++; return nil }}
				l.step(plan.Step{StepID: id("m1", "a"), Ensures: []resource.Probe{resource.StaticPodRuns{Name: "etcd"}}}, adds)
				l.check = func(plan.StepID) (map[string]string, error) {
					if time.Since(start) >= c.wellAt || c.cured && begins == 2 {
						return nil, nil
					}
					return map[string]string{"static-pod etcd": "it is down"}, nil
				}
				r, err := l.run(t, t.Context())
				if err != nil {
					t.Error(err)
				}
				var want []string
				if c.failed != "" {
					want = []string{c.failed}
				}
				same(t, "failed", failures(r.Failed), want...)
				if took := int(time.Since(start).Seconds()); begins != c.begins || took < c.ends-2 || took > c.ends+2 {
					t.Errorf("%d times applied, after %d s it ended", begins, took)
				}
			})
		})
	}
}

// TestHangingCheck says that nothing came of it.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.step(plan.Step{StepID: id("m1", "a"), Ensures: []resource.Probe{resource.UnitActive{Name: "a"}}}, adds)
		l.check = func(plan.StepID) (map[string]string, error) {
			time.Sleep(3*time.Minute + time.Second)
			return nil, context.DeadlineExceeded
		}
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Error(err)
		}
		same(t, "failed", failures(r.Failed), "m1 a: all is in place, but whether it is well could not be found out within 3m0s: the check did not come to an end")
	})
}

// TestCutOff is the end of the context: what is in hand is left.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var l lab
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		l.apply = func(ctx context.Context, _ plan.StepID) error {
			<-ctx.Done()
			return ctx.Err()
		}
		r, err := l.run(t, ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !r.Interrupted || len(r.Failed) > 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestParallelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lab{options: run.Options{Parallel: 3}}
		for i := range 9 {
			l.step(plan.Step{StepID: id(fmt.Sprintf("m%d", i), "a")}, adds)
		}
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 9 || l.most != 3 || int(time.Since(l.start).Seconds()) != 3 {
			t.Errorf("%+v, %v: %d at once", r, err, l.most)
		}
	})
}

func TestRemovals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		l.step(plan.Step{StepID: id("m1", plan.CleanUp)}, plan.StepChange{Changes: []plan.ResourceChange{
			{Resource: resource.ID{Kind: "file", Name: "/b"}, Action: plan.Remove}, {Resource: resource.ID{Kind: "file", Name: "/a"}, Action: plan.Remove}}})
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 1 || fmt.Sprint(l.removed) != "[file /b file /a]" {
			t.Errorf("%+v, %v: %v", r, err, l.removed)
		}
	})
}
