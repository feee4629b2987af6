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
	// Critical is the chain of steps that the end of each round waited for, in order, with what came before rounds and after the last: a run is not faster than it.
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
func MakeReport(events []event.Event) Report { return MakeTimeline(events).Report() }

// Report is what it comes to.
func (t *Timeline) Report() Report {
	r := Report{Started: t.Started, Elapsed: t.Elapsed, What: t.What, Outcome: t.Outcome, Error: t.Error, Rounds: len(t.Rounds), Failures: t.Failures}
	for _, h := range t.Hosts {
		if h.Connected {
			r.Hosts++
		}
		r.Skipped += len(h.Skipped)
		for _, s := range h.Steps {
			switch s.State {
			case Done:
				r.Done++
			case Failed:
				r.Failed++
			}
			r.Slowest = append(r.Slowest, s.Resources...)
		}
	}
	for _, s := range t.Critical {
		spent := s.Spent
		spent.Resources = slices.SortedStableFunc(slices.Values(s.Resources), bySpent)
		r.Critical = append(r.Critical, spent)
	}
	slices.SortStableFunc(r.Slowest, bySpent)
	r.Slowest = r.Slowest[:min(len(r.Slowest), maxSlowest)]
	return r
}

func bySpent(a, b Spent) int { return cmp.Compare(b.Elapsed, a.Elapsed) }
