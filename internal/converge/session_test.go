package converge_test

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

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

// calm is a fleet of a simulation to which nothing happens but what a test does.
func calm(t *testing.T, do func(f *simFleet)) {
	synctest.Test(t, func(t *testing.T) {
		f := newSimFleet(t, 5, resource.NewFile("/usr/local/slow", "x")) // a seed with three control planes
		f.faulty = false
		do(f)
		f.running.Wait()
	})
}

func (f *simFleet) operator(id string) *simOperator { return &simOperator{fleet: f, id: id} }

// with has a session with some components.
func (o *simOperator) with(components converge.Components) converge.Options {
	p := o.options(1)
	p.Components = components
	return p
}

func apply(p converge.Options) error {
	s, err := converge.Open(context.Background(), p)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Apply(context.Background(), func(*plan.Plan) error { return nil })
}

// TestRounds has a component that goes further in each round, by what hosts are by then.
func TestRounds(t *testing.T) {
	calm(t, func(f *simFleet) {
		rounds := 0
		stage := func(w converge.Wish) ([]plan.Step, []plan.Problem) {
			rounds++
			s := plan.Step{StepID: plan.StepID{Host: "c0", Name: "stage"}, Requires: w.After("c0")}
			for i := range min(rounds, 4) {
				s.Resources = append(s.Resources, resource.NewFile(fmt.Sprintf("/etc/stage%d", i), "x"))
			}
			return []plan.Step{s}, nil
		}
		if err := apply(f.operator("a").with(stage)); err != nil || rounds != 5 { // four of them do something
			t.Errorf("after %d rounds: %v", rounds, err)
		}
	})
}

// TestKeptUntilItIsGone has a balancer go: what it needs is there as long as it is, and goes in another round of the same run.
func TestKeptUntilItIsGone(t *testing.T) {
	calm(t, func(f *simFleet) {
		wanted := true
		var seen []bool // whether the balancer was there, in each round
		component := func(w converge.Wish) ([]plan.Step, []plan.Problem) {
			has := w.Hosts["c0"].Ways.Balancer
			seen = append(seen, has)
			prepare := plan.Step{StepID: plan.StepID{Host: "c0", Name: "prepare"}, Requires: w.After("c0")}
			if wanted || has {
				prepare.Resources = []resource.Resource{resource.NewFile("/usr/sbin/haproxy", "x")}
			}
			endpoint := plan.Step{StepID: plan.StepID{Host: "c0", Name: "endpoint"}, Requires: []plan.Condition{plan.After(prepare.StepID)}}
			if wanted {
				endpoint.Resources = []resource.Resource{resource.NewFile(facts.UnitDir+"/"+facts.BalancerUnit, "[Unit]\n")}
			}
			return []plan.Step{prepare, endpoint}, nil
		}
		if err := apply(f.operator("a").with(component)); err != nil {
			t.Fatal(err)
		}
		wanted, seen = false, nil
		if err := apply(f.operator("b").with(component)); err != nil || !slices.Equal(seen, []bool{true, false, false}) {
			t.Errorf("it was there: %v; %v", seen, err)
		}
		for name := range f.hosts["c0"].state() {
			if strings.Contains(name, "haproxy") || strings.Contains(name, facts.BalancerUnit) {
				t.Errorf("%s is still there", name)
			}
		}
		s, err := converge.Open(context.Background(), f.operator("c").with(component))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || !p.Empty() {
			t.Errorf("a plan after it is %+v, %v", p.Counts(), err)
		}
	})
}

// TestNoProgress ends when a round comes to nothing, and says what stands in the way.
func TestNoProgress(t *testing.T) {
	calm(t, func(f *simFleet) {
		broken := func(w converge.Wish) ([]plan.Step, []plan.Problem) {
			s := plan.Step{StepID: plan.StepID{Host: "c0", Name: "broken"}, Requires: w.After("c0"), Resources: []resource.Resource{resource.Sysctl{Name: "none", Value: "1"}}}
			next := plan.Step{StepID: plan.StepID{Host: "c1", Name: "next"}, Requires: []plan.Condition{plan.After(s.StepID)},
				Resources: []resource.Resource{resource.NewFile("/etc/next", "x")}}
			return []plan.Step{s, next}, []plan.Problem{{Host: "c2", Message: "its disk is old", Remedy: "Buy one", Blocks: true}}
		}
		err := apply(f.operator("a").with(broken))
		incomplete, ok := errors.AsType[*converge.IncompleteError](err)
		if !ok || len(incomplete.Result.Failed) != 1 || len(incomplete.Result.Skipped) != 1 {
			t.Fatal(err)
		}
		for _, want := range []string{"c2: its disk is old. Buy one", "c0: broken: sysctl none: this kernel has no none", "c1: next: not begun: c0 broken: c0 broken: sysctl none"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %q in it", err, want)
			}
		}
	})
}

func TestDeclined(t *testing.T) {
	calm(t, func(f *simFleet) {
		before := f.hosts["c0"].state()
		s, err := converge.Open(context.Background(), f.operator("a").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Apply(context.Background(), func(p *plan.Plan) error {
			if p.Empty() {
				t.Error("a new cluster has an empty plan")
			}
			return converge.ErrDeclined
		})
		n, _ := f.written()
		if !errors.Is(err, converge.ErrDeclined) || n > 0 || len(before) != len(f.hosts["c0"].state()) {
			t.Errorf("%v after %d writes", err, n)
		}
	})
}

// TestPlanTakesNoLock looks while another run has them.
func TestPlanTakesNoLock(t *testing.T) {
	calm(t, func(f *simFleet) {
		holder, err := converge.Open(context.Background(), f.operator("holder").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		if err := holder.Lock(context.Background()); err != nil {
			t.Fatal(err)
		}
		s, err := converge.Open(context.Background(), f.operator("looks").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || p.Counts().Hosts != len(f.names) {
			t.Errorf("%+v, %v", p, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Lock(ctx); err == nil || !strings.Contains(err.Error(), "another run holds the lock of c0: somebody on somewhere") {
			t.Errorf("%v", err)
		} else if busy, ok := errors.AsType[*run.BusyError](err); !ok || busy.Holder.Run != "holder" {
			t.Errorf("%v", err)
		}
	})
}

// TestWaitingRunSeesWhatTheOtherDid looks before another run begins a new cluster, and works after it.
func TestWaitingRunSeesWhatTheOtherDid(t *testing.T) {
	calm(t, func(f *simFleet) {
		waits, err := converge.Open(context.Background(), f.operator("waits").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer waits.Close()
		if err := f.operator("first").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		n, _ := f.written()
		if err := waits.Apply(context.Background(), func(p *plan.Plan) error {
			if !p.Empty() {
				t.Errorf("it plans %+v", p.Counts())
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if m, last := f.written(); m != n {
			t.Errorf("it changed %d things, last: %s", m-n, last)
		}
	})
}

// TestLeftHost takes a host out of the file: it is remembered, and put back when that is asked for.
func TestLeftHost(t *testing.T) {
	calm(t, func(f *simFleet) {
		left := f.names[len(f.names)-1]
		before := f.hosts[left].state()
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		f.spec.Hosts = slices.DeleteFunc(slices.Clone(f.spec.Hosts), func(h v1alpha1.Host) bool { return h.Name == left })
		s, err := converge.Open(context.Background(), f.operator("b").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p, err := s.Plan(context.Background())
		if err != nil || !p.Empty() || !slices.ContainsFunc(p.Problems, func(q plan.Problem) bool {
			return strings.Contains(q.Message, left+" is not in the cluster file any more")
		}) {
			t.Errorf("%+v, %v", p, err)
		}
		if !slices.Contains(s.Known(), left) {
			t.Errorf("%s is not among %q", left, s.Known())
		}
		if err := s.Reset(context.Background(), []string{"nobody"}); err == nil || !strings.Contains(err.Error(), "there is no host nobody") {
			t.Errorf("%v", err)
		}
		if err := s.Reset(context.Background(), []string{left}); err != nil {
			t.Error(err)
		}
		after := f.hosts[left].state()
		for key := range after {
			if after[key] != before[key] {
				t.Errorf("%s is %q, was %q", key, after[key], before[key])
			}
		}
		s, err = converge.Open(context.Background(), f.operator("c").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || !p.Empty() || len(p.Problems) > 0 || slices.Contains(s.Known(), left) {
			t.Errorf("once it is reset: %+v, %v", p, err)
		}
	})
}

// TestForce has all workers leave by one change of the file: nothing is done, unless that is overruled, and then it is. What comes up after that was asked about stands in the way.
func TestForce(t *testing.T) {
	calm(t, func(f *simFleet) {
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		var workers []string
		for _, name := range f.names {
			if name[0] == 'w' {
				workers = append(workers, name)
				f.leave(name)
			}
		}
		const message, loss = "(0 of 3 control planes, 3 of 3 workers): most likely it is not the right file", "what the cluster stored on these hosts is gone"
		rounds := 0
		leaves := func(w converge.Wish) (steps []plan.Step, problems []plan.Problem) {
			if rounds++; rounds > 1 {
				problems = append(problems, plan.Problem{Message: "a key goes", Blocks: true, Loss: "Secrets"})
			}
			steps, _ = leavesBy(w)
			return steps, problems
		}
		left := func() (n int) {
			for name := range f.hosts["c0"].state() {
				if strings.Contains(name, "/etc/left/w") {
					n++
				}
			}
			return n
		}
		// To forget one of them is not refused, and has none of the others leave.
		s, err := converge.Open(context.Background(), f.operator("forgets").with(leaves))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Forget(context.Background(), workers[3:]); err != nil {
			t.Error(err)
		}
		s.Close()
		if workers = workers[:3]; left() > 0 {
			t.Errorf("by forgetting one, %d hosts have left", left())
		}
		for _, force := range []bool{false, true} {
			p := f.operator(fmt.Sprint("force ", force)).with(leaves)
			p.Force, rounds = force, 0
			s, err := converge.Open(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			var overruled []plan.Problem
			err = s.Apply(context.Background(), func(p *plan.Plan) error {
				overruled = p.Overruled()
				return nil
			})
			s.Close()
			incomplete, ok := errors.AsType[*converge.IncompleteError](err)
			switch {
			case !ok:
				t.Errorf("with force %t: %v", force, err)
			case !force && (!strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), `"kubewright apply --force" does it all the same: `+loss) || len(overruled) > 0 || left() > 0):
				t.Errorf("without force %d hosts have left: %v", left(), err)
			case force && (len(overruled) != 1 || !strings.Contains(overruled[0].Message, message) || left() != len(workers)):
				t.Errorf("with force %d hosts have left, and %+v was asked about: %v", left(), overruled, err)
			case force && (strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), "a key goes") || !incomplete.Plan.Blocked()):
				t.Errorf("nobody was asked about the key: %v", err)
			}
		}
	})
}

// TestForeignHostIsNotReset leaves alone what belongs to another cluster.
func TestForeignHostIsNotReset(t *testing.T) {
	calm(t, func(f *simFleet) {
		w := f.names[len(f.names)-1]
		foreign := `{"machine": "m", "cluster": "other", "clusterName": "theirs"}`
		f.hosts[w].must(f.hosts[w].machine.Env(nil).Files.Write(resource.IdentityPath, resource.Attributes{}, strings.NewReader(foreign)))
		err := f.operator("a").apply(context.Background(), 1)
		if err == nil || !strings.Contains(err.Error(), w+": it belongs to another cluster, theirs (other)") {
			t.Errorf("%v", err)
		}
		before := f.hosts[w].state()
		err = f.operator("b").reset(context.Background())
		if err == nil || !strings.Contains(err.Error(), w+" belongs to another cluster, theirs (other), and is left as it is") || len(before) != len(f.hosts[w].state()) {
			t.Errorf("%v", err)
		}
	})
}

// listener gathers events, and may do something at them.
type listener struct {
	mu     sync.Mutex
	events []event.Event
	at     func(event.Event)
}

func (h *listener) hear(v event.Event) {
	h.mu.Lock()
	h.events = append(h.events, v)
	h.mu.Unlock()
	if h.at != nil {
		h.at(v)
	}
}

// index is where the first event is that matches; -1 if there is none.
func (h *listener) index(matches func(event.Event) bool) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.IndexFunc(h.events, matches)
}

func (h *listener) count(kind event.Kind, host string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.events {
		if v.Kind == kind && v.Host == host {
			n++
		}
	}
	return n
}

// open has a session whose events are heard.
func (h *listener) open(t *testing.T, o *simOperator) *converge.Session {
	t.Helper()
	p := o.options(1)
	p.Events = h.hear
	s, err := converge.Open(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// states of all machines.
func (f *simFleet) states() map[string]map[string]string {
	all := map[string]map[string]string{}
	for name, h := range f.hosts {
		all[name] = h.state()
	}
	return all
}

// leave takes a host out of the file.
func (f *simFleet) leave(name string) {
	spec := *f.spec
	spec.Hosts = slices.DeleteFunc(slices.Clone(spec.Hosts), func(h v1alpha1.Host) bool { return h.Name == name })
	f.spec = &spec
}

// TestResetAll puts back all hosts, also one that left: those first whose locks the run does not need. Nothing is written on a control plane after it.
func TestResetAll(t *testing.T) {
	calm(t, func(f *simFleet) {
		before := f.states()
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		f.leave(f.names[len(f.names)-1])
		var h listener
		var waiting []string
		p := f.operator("b").options(1)
		p.Events = h.hear
		p.Run.Waits = func(list []run.Wait) {
			for _, w := range list {
				if last := strings.Contains(w.Why, "last"); w.For != run.Turn || last != (w.Step.Host[0] == 'c') {
					t.Errorf("%s waits for %s: %s", w.Step, w.For, w.Why)
				}
				waiting = append(waiting, w.Step.Host)
			}
		}
		s, err := converge.Open(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		known := s.Known()
		if err := s.Reset(context.Background(), known); err != nil {
			t.Error(err)
		}
		if !slices.Equal(waiting, known) {
			t.Errorf("of these it was told that they wait: %q", waiting)
		}
		for name, after := range f.states() {
			if !maps.Equal(after, before[name]) {
				t.Errorf("%s is not as it was: %v, was %v", name, after, before[name])
			}
		}
		first := h.index(func(v event.Event) bool { return v.Kind == event.StepStarted && v.Host[0] == 'c' })
		for _, name := range f.names {
			done := h.index(func(v event.Event) bool { return v.Kind == event.StepDone && v.Host == name })
			if done < 0 || name[0] != 'c' && done > first {
				t.Errorf("%s is done at event %d, the first control plane begins at %d", name, done, first)
			}
		}
	})
}

// TestInterruptedReset finishes what is in hand and says that it was interrupted, once.
func TestInterruptedReset(t *testing.T) {
	calm(t, func(f *simFleet) {
		before := f.states()
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		h := listener{at: func(v event.Event) {
			if v.Kind == event.ResourceStarted {
				cancel()
			}
		}}
		s := h.open(t, f.operator("b"))
		err := s.Reset(ctx, f.names)
		s.Close()
		if !errors.Is(err, converge.ErrInterrupted) || h.count(event.RunInterrupted, "") != 1 {
			t.Errorf("%v, said %d times", err, h.count(event.RunInterrupted, ""))
		}
		if h.index(func(v event.Event) bool {
			return v.Kind == event.StepStarted && v.Host[0] == 'c' || v.Kind == event.StepFailed
		}) >= 0 {
			t.Errorf("something else begins, or fails: %+v", h.events)
		}
		if maps.Equal(f.hosts["w3"].state(), before["w3"]) {
			t.Error("an interrupted host was reset as a whole")
		}
		if err := f.operator("c").reset(context.Background()); err != nil {
			t.Error(err)
		}
		for name, after := range f.states() {
			if !maps.Equal(after, before[name]) {
				t.Errorf("%s is not as it was: %v, was %v", name, after, before[name])
			}
		}
	})
}

// TestForget has a way out for a host that left and is dead, and for one whose address another machine has.
func TestForget(t *testing.T) {
	calm(t, func(f *simFleet) {
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		left := f.names[len(f.names)-1]
		f.leave(left)
		other := newSimHost(f, "other")
		old := f.hosts[left]
		f.hosts[left] = other
		before := other.state()
		var h listener
		s := h.open(t, f.operator("b"))
		if err := s.Reset(context.Background(), []string{left}); err == nil || !strings.Contains(err.Error(), "is not the "+left+" that left") || !maps.Equal(before, other.state()) {
			t.Errorf("another machine: %v", err)
		}
		s.Close()
		f.hosts[left] = old
		old.die()
		s = h.open(t, f.operator("c"))
		if err := s.Reset(context.Background(), []string{left}); err == nil || strings.Contains(err.Error(), "the agent was lost") || !strings.Contains(err.Error(), "no route to host") {
			t.Errorf("a dead one: %v", err)
		}
		s.Close()
		s = h.open(t, f.operator("d"))
		if err := s.Forget(context.Background(), []string{"c0"}); err == nil || !strings.Contains(err.Error(), "c0 is not among the hosts that left") {
			t.Errorf("one of the file: %v", err)
		}
		if err := s.Forget(context.Background(), []string{left}); err != nil {
			t.Error(err)
		}
		s.Close()
		s = h.open(t, f.operator("e"))
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || !p.Empty() || len(p.Problems) > 0 || slices.Contains(s.Known(), left) {
			t.Errorf("once it is forgotten: %+v, %v", p, err)
		}
	})
}

// leavesBy is a component that has hosts leave by a file on c0 each.
func leavesBy(w converge.Wish) (steps []plan.Step, _ []plan.Problem) {
	for _, l := range w.Leaving {
		steps = append(steps, plan.Step{StepID: plan.StepID{Host: "c0", Name: l.Name + " leaves"}, Leaves: l.Name, Requires: w.After("c0"),
			Resources: []resource.Resource{resource.NewFile("/etc/left/"+l.Name, "x")}})
	}
	return steps, nil
}

// TestForgetKeepsOthers forgets one of two hosts that are to leave: the other one stays remembered, or nobody would have it leave any more.
func TestForgetKeepsOthers(t *testing.T) {
	calm(t, func(f *simFleet) {
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		last := f.names[len(f.names)-2:]
		f.leave(last[0])
		f.leave(last[1])
		s, err := converge.Open(context.Background(), f.operator("b").with(leavesBy))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Forget(context.Background(), last[:1]); err != nil {
			t.Error(err)
		}
		s.Close()
		if s, err = converge.Open(context.Background(), f.operator("c").with(leavesBy)); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if known := s.Known(); slices.Contains(known, last[0]) || !slices.Contains(known, last[1]) {
			t.Errorf("without %s it remembers %q", last[0], known)
		}
	})
}

// TestDeadHostIsDialledOnce has one that never answers, in a run of several rounds.
func TestDeadHostIsDialledOnce(t *testing.T) {
	calm(t, func(f *simFleet) {
		dead := f.names[len(f.names)-1]
		f.hosts[dead].die()
		var h listener
		s := h.open(t, f.operator("a"))
		err := s.Apply(context.Background(), func(*plan.Plan) error { return nil })
		s.Close()
		if err == nil || strings.Contains(err.Error(), "the agent was lost") || !strings.Contains(err.Error(), dead+": no route to host") {
			t.Errorf("%v", err)
		}
		if n := f.hosts[dead].connections; n != 1 || h.count(event.HostFailed, dead) != 1 {
			t.Errorf("it is dialled %d times, and told of %d times", n, h.count(event.HostFailed, dead))
		}
	})
}

// TestResetWithoutMostKeepers says what to do.
func TestResetWithoutMostKeepers(t *testing.T) {
	calm(t, func(f *simFleet) {
		f.hosts["c0"].die()
		f.hosts["c1"].die()
		if err := f.operator("a").reset(context.Background()); err == nil || !strings.Contains(err.Error(), "take the ones that are gone for good out of the cluster file") {
			t.Errorf("%v", err)
		}
	})
}

// TestLockTimeout limits the wait for another run, and nothing else.
func TestLockTimeout(t *testing.T) {
	for _, c := range []struct {
		name string
		ends time.Duration // of the other run
		want string
	}{
		{"the other ends", 30 * time.Second, ""},
		{"the other does not", 5 * time.Minute, "gave up after 1m0s (--lock-timeout)"},
	} {
		calm(t, func(f *simFleet) {
			holder, err := converge.Open(context.Background(), f.operator("holder").options(1))
			if err != nil {
				t.Fatal(err)
			}
			if err := holder.Lock(context.Background()); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(c.ends, holder.Close)
			p := f.operator("waits").options(1)
			p.LockTimeout = time.Minute
			s, err := converge.Open(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			err = s.Apply(context.Background(), func(*plan.Plan) error {
				asked = true
				time.Sleep(time.Hour) // somebody thinks about it
				return nil
			})
			s.Close()
			time.Sleep(c.ends)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || asked != (c.want == "") {
				t.Errorf("%s: %v, asked: %v", c.name, err, asked)
			}
		})
	}
}

// TestInterruptBetweenRounds is told as an interrupt, too.
func TestInterruptBetweenRounds(t *testing.T) {
	calm(t, func(f *simFleet) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := f.operator("a")
		rounds := 0
		p := o.with(func(w converge.Wish) ([]plan.Step, []plan.Problem) {
			if rounds++; rounds == 2 {
				cancel()
			}
			return o.components(1)(w)
		})
		var h listener
		p.Events = h.hear
		s, err := converge.Open(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Apply(ctx, func(*plan.Plan) error { return nil })
		if !errors.Is(err, converge.ErrInterrupted) || h.count(event.RunInterrupted, "") != 1 {
			t.Errorf("%v, said %d times", err, h.count(event.RunInterrupted, ""))
		}
	})
}

// killAgents kills the agents of keepers, as if their machines had ended them.
func (f *simFleet) killAgents() {
	for _, name := range f.names {
		h := f.hosts[name]
		h.mu.Lock()
		var agents []*simAgent
		for a := range h.agents {
			agents = append(agents, a)
		}
		h.mu.Unlock()
		for _, a := range agents {
			if name[0] == 'c' {
				a.kill()
			}
		}
	}
}

// TestLostLocks has a run lose the locks of all keepers before it begins: it takes them again, unless another run did.
func TestLostLocks(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprintf("taken by another=%t", taken), func(t *testing.T) {
			calm(t, func(f *simFleet) {
				loses, err := converge.Open(context.Background(), f.operator("loses").options(1))
				if err != nil {
					t.Fatal(err)
				}
				defer loses.Close()
				var others []*converge.Session
				start := time.Now()
				err = loses.Apply(context.Background(), func(*plan.Plan) error {
					f.killAgents() // of hosts that it has to connect to again
					if !taken {
						return nil
					}
					fresh, err := converge.Open(context.Background(), f.operator("fresh").options(1))
					if err != nil {
						return err
					}
					others = append(others, fresh)
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					// It has the keepers, and waits in vain for a worker.
					if err := fresh.Lock(ctx); err == nil || strings.Contains(err.Error(), "another run") {
						return fmt.Errorf("the locks are not to be had: %w", err)
					}
					return nil
				})
				for _, o := range others {
					o.Close()
				}
				n, _ := f.written()
				if !taken && err != nil {
					t.Error(err)
				}
				if taken && (err == nil || !strings.Contains(err.Error(), "another run holds the lock of c0") || n > 0) {
					t.Errorf("after %d writes: %v", n, err)
				}
				// It does not take the other for one that is over.
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it takes %v to see that", took)
				}
			})
		})
	}
}

// TestClusterFileIsRemembered has control planes remember the file as it is, and give it back.
func TestClusterFileIsRemembered(t *testing.T) {
	calm(t, func(f *simFleet) {
		file := []byte("# ours\nkind: Cluster # \xff\r\n")
		with := func(id string, content []byte) converge.Options {
			o := f.operator(id).options(1)
			o.File = content
			return o
		}
		if err := apply(with("a", file)); err != nil {
			t.Fatal(err)
		}
		changes := func(content []byte) (hosts []string) {
			s, err := converge.Open(context.Background(), with("b", content))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for _, name := range f.names {
				r, err := s.Remembered(context.Background(), name)
				if plane := strings.HasPrefix(name, "c"); plane && (err != nil || string(r.File) != string(file) || len(r.Inventory.Hosts) != len(f.names)) {
					t.Errorf("%s remembers %q, %+v, %v", name, r.File, r.Inventory, err)
				} else if !plane && err == nil {
					t.Errorf("%s remembers %q", name, r.File)
				}
			}
			p, err := s.Plan(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Steps {
				if c.Work() {
					hosts = append(hosts, c.Host+" "+c.Name)
				}
			}
			return hosts
		}
		if got := changes(file); len(got) > 0 {
			t.Errorf("with what is remembered, there is something to do: %q", got)
		}
		if got := changes(append(file, '\n')); !slices.Equal(got, []string{"c0 cluster file", "c1 cluster file", "c2 cluster file"}) {
			t.Errorf("with another file: %q", got)
		}
	})
}
