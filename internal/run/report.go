package run

import (
	"cmp"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// Report is what a run's events tell together.
type Report struct {
	Started time.Time     `json:"started"`
	Elapsed time.Duration `json:"elapsed"`
	What    string        `json:"what"`
	// Outcome is done, failed, interrupted, declined (by the person who was asked), or unfinished: nobody wrote its end.
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
	Rounds  int    `json:"rounds"`
	Hosts   int    `json:"hosts"`
	Done    int    `json:"done"`
	Failed  int    `json:"failed"`
	Skipped int    `json:"skipped"`
	// Failures and notes of it.
	Failures []event.Event `json:"failures,omitempty"`
	// Critical is the chain of steps that the end of each round waited for, in order, and what came before rounds: a run is not faster than it.
	Critical []Spent `json:"critical,omitempty"`
	// Slowest resources, the slowest first.
	Slowest []Spent `json:"slowest,omitempty"`
}

// Spent is what took time.
type Spent struct {
	Host     string `json:"host,omitempty"`
	Step     string `json:"step"`
	Resource string `json:"resource,omitempty"`
	// Begin is how long after the start of the run.
	Begin time.Duration `json:"begin"`
	// Elapsed is how long it took.
	Elapsed time.Duration `json:"elapsed"`
	// Resources of a step, the slowest first.
	Resources []Spent `json:"resources,omitempty"`
}

// maxSlowest bounds the list of slowest resources.
const maxSlowest = 10

// MakeReport tells what a run's events tell together.
func MakeReport(events []event.Event) Report {
	r := Report{Outcome: "unfinished"}
	if len(events) == 0 {
		return r
	}
	r.Started = events[0].Time
	last := events[len(events)-1].Time
	r.Elapsed = last.Sub(r.Started)
	hosts := map[string]bool{}
	now := newRound(r.Started)
	for _, v := range events {
		key := v.Host + " " + v.Step
		switch v.Kind {
		case event.RunStarted:
			r.What = v.Message
		case event.HostConnected:
			hosts[v.Host] = true
		case event.RoundStarted:
			r.Critical = append(r.Critical, now.path()...)
			before := Spent{Step: "looking and planning again", Begin: now.end.Sub(r.Started), Elapsed: v.Time.Sub(now.end)}
			if r.Rounds++; r.Rounds == 1 {
				before.Step = "connecting, looking and planning"
			}
			r.Critical = append(r.Critical, before) // it is on every path
			now = newRound(v.Time)
		case event.StepStarted:
			now.steps[key] = &Spent{Host: v.Host, Step: v.Step, Begin: v.Time.Sub(r.Started)}
			now.after[key] = v.After
		case event.ResourceDone:
			s := Spent{Host: v.Host, Step: v.Step, Resource: v.Resource, Begin: v.Time.Add(-v.Elapsed).Sub(r.Started), Elapsed: v.Elapsed}
			r.Slowest = append(r.Slowest, s)
			if step := now.steps[key]; step != nil {
				step.Resources = append(step.Resources, s)
			}
		case event.StepDone, event.StepFailed:
			if v.Kind == event.StepDone {
				r.Done++
			} else {
				r.Failed++
				r.Failures = append(r.Failures, v)
			}
			step := now.steps[key]
			if step == nil {
				continue // it failed before it began
			}
			step.Elapsed = v.Time.Sub(r.Started) - step.Begin
			if !v.Time.Before(now.end) {
				now.latest, now.end = step, v.Time
			}
		case event.HostFailed:
			r.Failures = append(r.Failures, v)
		case event.StepSkipped:
			r.Skipped++
		case event.RunInterrupted:
			r.Outcome = "interrupted"
		case event.RunDeclined:
			r.Outcome = "declined"
		case event.RunDone:
			r.Error = v.Error
			switch {
			case r.Outcome == "interrupted", r.Outcome == "declined":
			case v.Error == "":
				r.Outcome = "done"
			default:
				r.Outcome = "failed"
			}
		}
	}
	r.Hosts = len(hosts)
	r.Critical = append(r.Critical, now.path()...)
	slices.SortStableFunc(r.Slowest, bySpent)
	r.Slowest = r.Slowest[:min(len(r.Slowest), maxSlowest)]
	return r
}

// round is what a report gathers of one.
type round struct {
	steps  map[string]*Spent // by host and name
	after  map[string]string
	latest *Spent    // that ended last
	end    time.Time // of it, or of what came before it
}

func newRound(begin time.Time) *round {
	return &round{steps: map[string]*Spent{}, after: map[string]string{}, end: begin}
}

// path is the chain of steps that its end waited for, in order.
func (r *round) path() []Spent {
	var path []Spent
	seen := map[*Spent]bool{}
	for s := r.latest; s != nil && !seen[s]; s = r.steps[r.after[s.Host+" "+s.Step]] {
		seen[s] = true
		slices.SortStableFunc(s.Resources, bySpent)
		path = append(path, *s)
	}
	slices.Reverse(path)
	return path
}

func bySpent(a, b Spent) int { return cmp.Compare(b.Elapsed, a.Elapsed) }
