package run_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// lines are a timeline as a test reads it.
func lines(t *run.Timeline) []string {
	var all []string
	say := func(format string, a ...any) { all = append(all, fmt.Sprintf(format, a...)) }
	span := func(s *run.Span) {
		line := fmt.Sprintf("%s %s %s+%s", s.Host, s.Step, s.Begin, s.Elapsed)
		switch s.State {
		case run.Failed:
			line += " failed: " + s.Error
		case run.Unfinished:
			line += " unfinished"
		}
		if s.After != "" {
			line += " after " + s.After
		}
		if s.Turn > 0 {
			line += fmt.Sprintf(" turn %s", s.Turn)
		}
		if s.Critical > 0 {
			line += fmt.Sprintf(" #%d", s.Critical)
		}
		say("%s", strings.TrimSpace(line))
		for _, r := range s.Resources {
			say("  %s %s+%s", r.Resource, r.Begin, r.Elapsed)
		}
		for _, w := range s.Waits {
			say("  wait %s+%s %s", w.Begin, w.Elapsed, w.Why)
		}
		for _, m := range slices.Concat(s.Retries, s.Said) {
			say("  said %s %s", m.At, m.Text)
		}
	}
	for _, s := range t.Phases {
		span(s)
	}
	for _, w := range t.Locks {
		say("lock %s+%s %s", w.Begin, w.Elapsed, w.Why)
	}
	for _, h := range t.Hosts {
		say("%s connected %t", h.Name, h.Connected)
		for _, s := range slices.Concat(h.Connecting, h.Steps) {
			span(s)
		}
		for _, i := range h.Idle {
			say("  idle %s+%s until %s", i.Begin, i.Elapsed, i.Next.Step)
		}
		for _, at := range h.Lost {
			say("  lost %s", at)
		}
		for _, v := range h.Skipped {
			say("  skipped %s", v.Step)
		}
	}
	for i, at := range t.Rounds {
		say("round %d at %s", i+1, at)
	}
	for _, at := range t.Interrupts {
		say("interrupted %s", at)
	}
	return all
}

func TestTimeline(t *testing.T) {
	start := func(seconds float64, host, step, after string) event.Event {
		return at(seconds, event.Event{Kind: event.StepStarted, Host: host, Step: step, After: after})
	}
	done := func(seconds float64, host, step string) event.Event {
		return at(seconds, event.Event{Kind: event.StepDone, Host: host, Step: step})
	}
	begin := at(0, event.Event{Kind: event.RunStarted, Message: "apply prod"})
	round := at(1, event.Event{Kind: event.RoundStarted})
	first := "connecting, looking and planning 0s+1s #1"
	for _, c := range []struct {
		name   string
		events []event.Event
		want   []string
	}{
		{"connections", []event.Event{
			begin,
			at(1, event.Event{Kind: event.HostConnecting, Host: "m1", Message: "connecting"}),
			at(1, event.Event{Kind: event.HostConnecting, Host: "m2", Message: "connecting"}),
			at(2, event.Event{Kind: event.HostConnecting, Host: "m1", Message: "uploading"}),
			at(3, event.Event{Kind: event.HostConnected, Host: "m1", Elapsed: 2 * time.Second}),
			at(3, event.Event{Kind: event.HostConnected, Host: "m3", Elapsed: time.Second}), // nobody said that it was begun
			at(4, event.Event{Kind: event.HostFailed, Host: "m2", Error: "no route"}),
			at(5, event.Event{Kind: event.HostLost, Host: "m1"}),
			at(5, event.Event{Kind: event.HostConnecting, Host: "m1", Message: "connecting"}),
			at(7, event.Event{Kind: event.RunInterrupted}),
		}, []string{
			"connecting, looking and planning 0s+7s #1",
			"m1 connected true", "m1 connecting 1s+2s", "  said 1s connecting", "  said 2s uploading", "m1 connecting 5s+2s unfinished", "  said 5s connecting", "  lost 5s",
			"m2 connected false", "m2 connecting 1s+3s failed: no route", "  said 1s connecting",
			"m3 connected true", "m3 connecting 2s+1s",
			"interrupted 7s",
		}},
		{"what a step goes through", []event.Event{
			begin, round, start(1, "m1", "a", ""),
			at(2, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "a", Resource: "file /a", Elapsed: time.Second}),
			at(2, event.Event{Kind: event.StepWaiting, Host: "m1", Step: "a", Message: "refused"}),
			at(3, event.Event{Kind: event.StepWaiting, Host: "m1", Step: "a", Message: "forbidden"}),
			at(4, event.Event{Kind: event.StepRetried, Host: "m1", Step: "a", Message: "its connection ended"}),
			at(6, event.Event{Kind: event.ResourceStarted, Host: "m1", Step: "a", Resource: "file /b"}),
			at(7, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "a", Resource: "file /b", Elapsed: time.Second}),
			at(7.5, event.Event{Kind: event.StepWaiting, Host: "m1", Step: "a", Message: "refused"}),
			done(8, "m1", "a"),
		}, []string{
			first, "m1 connected false", "m1 a 1s+7s #2", "  file /a 1s+1s", "  file /b 6s+1s",
			"  wait 2s+1s refused", "  wait 3s+1s forbidden", "  wait 4s+2s trying again: its connection ended", "  wait 7.5s+500ms refused", "  said 4s its connection ended",
			"round 1 at 1s",
		}},
		{"locks of the run, and of a host", []event.Event{
			begin,
			at(0.2, event.Event{Kind: event.LockWaiting, Host: "m1", Message: "held by ann"}),
			at(0.4, event.Event{Kind: event.LockWaiting, Host: "m1", Message: "held by bob"}),
			at(0.8, event.Event{Kind: event.LockTaken}),
			round, start(1, "m1", "a", ""),
			at(1, event.Event{Kind: event.LockWaiting, Host: "m1", Message: "an agent of before"}),
			at(3, event.Event{Kind: event.ResourceDone, Host: "m1", Step: "a", Resource: "file /a", Elapsed: time.Second}),
			done(3, "m1", "a"),
		}, []string{
			first, "lock 200ms+200ms held by ann", "lock 400ms+400ms held by bob",
			"m1 connected false", "m1 a 1s+2s #2", "  file /a 2s+1s", "  wait 1s+1s an agent of before",
			"round 1 at 1s",
		}},
		{"waiting for another host", []event.Event{
			begin, round, start(1, "m1", "a", ""), start(1, "m2", "a", ""),
			done(2, "m2", "a"), done(5, "m1", "a"), start(5, "m2", "b", "m1 a"), start(5, "m1", "b", "m1 a"), done(5.5, "m1", "b"), done(6, "m2", "b"),
		}, []string{
			first, "m1 connected false", "m1 a 1s+4s #2", "m1 b 5s+500ms after m1 a",
			"m2 connected false", "m2 a 1s+1s", "m2 b 5s+1s after m1 a #3", "  idle 2s+3s until b",
			"round 1 at 1s",
		}},
		{"waiting for its turn", []event.Event{
			begin, round, start(1, "m1", "a", ""), start(1, "m2", "prepare", ""),
			done(2, "m2", "prepare"), done(4, "m1", "a"), start(4, "m2", "a", "m2 prepare"), done(6, "m2", "a"), start(6, "m3", "a", ""), done(9, "m3", "a"),
		}, []string{
			first, "m1 connected false", "m1 a 1s+3s #2",
			"m2 connected false", "m2 prepare 1s+1s", "m2 a 4s+2s after m2 prepare turn 2s #3", "  idle 2s+2s until a",
			"m3 connected false", "m3 a 6s+3s turn 5s #4", "  idle 1s+5s until a",
			"round 1 at 1s",
		}},
		{"beginning a little later is no turn", []event.Event{
			begin, round, start(1, "m1", "a", ""), start(1, "m2", "a", ""), done(2, "m1", "a"), done(2.04, "m2", "a"), start(2.0625, "m1", "b", "m1 a"), done(3, "m1", "b"),
		}, []string{
			first, "m1 connected false", "m1 a 1s+1s #2", "m1 b 2.0625s+937.5ms after m1 a #3", "m2 connected false", "m2 a 1s+1.04s", "round 1 at 1s",
		}},
		{"failed and skipped", []event.Event{
			begin, round,
			at(1, event.Event{Kind: event.StepFailed, Host: "m1", Step: "a", Error: "unknown"}),
			start(1, "m1", "b", ""),
			at(3, event.Event{Kind: event.StepFailed, Host: "m1", Step: "b", Error: "no room"}),
			at(3, event.Event{Kind: event.StepSkipped, Host: "m1", Step: "c"}),
			at(3.5, event.Event{Kind: event.RunDone, Error: "not everything"}),
		}, []string{
			first, "ending 3s+500ms #3", "m1 connected false", "m1 a 1s+0s failed: unknown", "m1 b 1s+2s failed: no room #2", "  skipped c", "round 1 at 1s",
		}},
		{"rounds", []event.Event{
			begin, round, start(1, "m1", "a", ""), done(2, "m1", "a"), at(4, event.Event{Kind: event.RoundStarted}), start(4, "m1", "a", ""), done(5, "m1", "a"),
			at(7, event.Event{Kind: event.RunDone}),
		}, []string{
			first, "looking and planning again 2s+2s #3", "looking whether anything is left 5s+2s #5",
			"m1 connected false", "m1 a 1s+1s #2", "m1 a 4s+1s #4", "round 1 at 1s", "round 2 at 4s",
		}},
		{"killed", []event.Event{
			begin, round, start(1, "m1", "a", ""), done(2, "m1", "a"), start(2, "m1", "b", "m1 a"),
			at(3, event.Event{Kind: event.StepWaiting, Host: "m1", Step: "b", Message: "refused"}),
			at(5, event.Event{Kind: event.Note, Message: "something"}),
		}, []string{
			first, "m1 connected false", "m1 a 1s+1s #2", "m1 b 2s+3s unfinished after m1 a", "  wait 3s+2s refused", "round 1 at 1s",
		}},
		{"none", nil, nil},
	} {
		if got := lines(run.MakeTimeline(c.events)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
