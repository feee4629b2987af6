package run_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
)

// TestWaits has hosts wait for conditions, for their turn in a group, and for room.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		var told []string
		l.options = run.Options{Parallel: 2, Waits: func(list []run.Wait) {
			var all []string
			for _, w := range list {
				all = append(all, strings.TrimSpace(fmt.Sprintf("%s for %s %v %s", w.Step, w.For, w.Of, w.Why)))
			}
			told = append(told, fmt.Sprintf("%d: %s", int(time.Since(l.start).Seconds()), strings.Join(all, "; ")))
		}}
		members := plan.Group{Name: "members", Members: []string{"m2", "m3"}, AtOnce: 1}
		l.groups = append(l.groups, members)
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		l.step(plan.Step{StepID: id("m1", "b"), Requires: after(id("m1", "a"))}, adds) // of a host that has something in hand
		l.step(plan.Step{StepID: id("m2", "a"), Group: "members"}, disturbs)
		l.step(plan.Step{StepID: id("m3", "a"), Group: "members"}, disturbs)
		l.step(plan.Step{StepID: id("m3", "b"), Requires: after(id("m3", "a"))}, adds) // not the first that is left
		l.step(plan.Step{StepID: id("m4", "a")}, adds)
		l.step(plan.Step{StepID: id("m5", "a"), Requires: []plan.Condition{{Name: "one", Of: []plan.StepID{id("m1", "a"), id("m2", "a")}, AtLeast: 1}, plan.After(id("m1", "b"), id("m2", "a"))}}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			time.Sleep(map[string]time.Duration{"m1": 2, "m2": 5, "m3": 4, "m4": 8, "m5": 1}[s.Host] * time.Second)
			return nil
		}
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 7 {
			t.Errorf("%+v, %v", r, err)
		}
		same(t, "told", told,
			// m1 a and m4 a have begun: those that disturb nothing go first.
			"0: m2 a for a turn [] 2 steps are in hand, on all hosts together; m3 a for a turn [] 2 steps are in hand, on all hosts together; m5 a for one [m1 a m2 a]",
			"2: m2 a for a turn [] 2 steps are in hand, on all hosts together; m3 a for a turn [] 2 steps are in hand, on all hosts together; m5 a for m1 b, m2 a [m1 b m2 a]",
			"4: m3 a for a turn [] 1 of the members may be disturbed at once; m5 a for m1 b, m2 a [m2 a]",
			"8: m3 a for a turn [] 1 of the members may be disturbed at once; m5 a for m1 b, m2 a [m2 a]",
			"9: ", "10: ", "13: ", "17: ")
	})
}

// TestWaitsOfAnInterruptedRun tells of what is left on hosts that have nothing in hand any more: the step, too, that ended before it was done.
func TestWaitsOfAnInterruptedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		var told []string
		interrupt := make(chan struct{})
		l.options = run.Options{Interrupt: interrupt, Waits: func(list []run.Wait) {
			for _, w := range list {
				told = append(told, fmt.Sprintf("%d: %s for %s: %s", int(time.Since(l.start).Seconds()), w.Step, w.For, w.Why))
			}
		}}
		l.step(plan.Step{StepID: id("m1", "a")}, adds)
		l.step(plan.Step{StepID: id("m1", "b"), Requires: after(id("m1", "a"))}, adds)
		l.step(plan.Step{StepID: id("m2", "a")}, adds)
		l.apply = func(_ context.Context, s plan.StepID) error {
			time.Sleep(map[string]time.Duration{"m1": 2, "m2": 4}[s.Host] * time.Second)
			return nil
		}
		time.AfterFunc(time.Second, func() { close(interrupt) })
		if r, err := l.run(t, context.Background()); err != nil || r.Done != 0 || !r.Interrupted {
			t.Errorf("%+v, %v", r, err)
		}
		same(t, "told", told, "2: m1 a for a turn: the run is interrupted")
	})
}

// TestWaitsAreToldNowAndThen has many steps end within a second.
func TestWaitsAreToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lab
		times := 0
		l.options = run.Options{Parallel: 1, Waits: func([]run.Wait) { times++ }}
		for i := range 1000 {
			l.step(plan.Step{StepID: id(fmt.Sprintf("m%d", i), "a")}, adds)
		}
		l.apply = func(context.Context, plan.StepID) error {
			time.Sleep(time.Millisecond)
			return nil
		}
		if r, err := l.run(t, t.Context()); err != nil || r.Done != 1000 {
			t.Errorf("%+v, %v", r, err)
		}
		if times < 4 || times > 6 {
			t.Errorf("they are told of %d times in a second", times)
		}
	})
}
