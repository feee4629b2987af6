package picture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

// connecting is what timelines call the step in which a host is.
const connecting = "connecting"

// tell is all about a span in some lines, for who points at it.
func tell(s *run.Span) string {
	var lines []string
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	if s.Host == "" {
		say("%s", s.Step)
	} else {
		say("%s: %s", s.Host, s.Step)
	}
	say("%s", span(s.Begin, s.Elapsed))
	if s.Critical > 0 {
		say("on the critical path, place %d", s.Critical)
	}
	if s.After != "" {
		say("after %s", s.After)
	}
	if s.Turn > 0 {
		say("had waited for its turn: %s", ui.Seconds(s.Turn))
	}
	switch s.State {
	case run.Failed:
		say("FAILED: %s", s.Error)
	case run.Unfinished:
		say("its end was not recorded")
	}
	for _, m := range lastOf(s.Retries) {
		say("tried again at %s: %s", ui.Seconds(m.At), m.Text)
	}
	slowest := slices.SortedStableFunc(slices.Values(s.Resources), byElapsed)
	for i, r := range slowest {
		if i == maxResources {
			var rest time.Duration
			for _, r := range slowest[i:] {
				rest += r.Elapsed
			}
			say("%s  %d more", ui.Seconds(rest), len(slowest)-i)
			break
		}
		say("%s  %s", ui.Seconds(r.Elapsed), r.Resource)
	}
	if w := waited(s); w > 0 {
		say("%s  waiting:", ui.Seconds(w))
	}
	for _, w := range lastOf(s.Waits) {
		say("  at %s, %s: %s", ui.Seconds(w.Begin), ui.Seconds(w.Elapsed), w.Why)
	}
	for _, m := range lastOf(s.Said) {
		say("at %s: %s", ui.Seconds(m.At), m.Text)
	}
	return strings.Join(lines, "\n")
}

// tellHost is all about a host in some lines.
func tellHost(h *run.HostTimeline) string {
	lines := []string{h.Name}
	var slowest *run.Span
	for _, s := range h.Steps {
		if slowest == nil || s.Elapsed > slowest.Elapsed {
			slowest = s
		}
	}
	if slowest != nil {
		lines = append(lines, fmt.Sprintf("%s, the last ended at %s", count(len(h.Steps), "step"), ui.Seconds(ended(h))))
		lines = append(lines, fmt.Sprintf("the longest: %s, %s", slowest.Step, ui.Seconds(slowest.Elapsed)))
	}
	if len(h.Skipped) > 0 {
		lines = append(lines, count(len(h.Skipped), "step")+" not begun")
	}
	for _, s := range slices.Concat(h.Connecting, h.Steps) {
		if s.State == run.Failed {
			lines = append(lines, s.Step+": FAILED: "+s.Error)
		}
	}
	return strings.Join(lines, "\n")
}

// waitedFor says why a host had nothing to do.
func waitedFor(i run.Idle) string {
	switch {
	case i.Next.After == "" || i.Next.Turn >= i.Elapsed:
		return "waits for its turn"
	case i.Next.Turn > 0:
		return "waits for " + i.Next.After + ", then for its turn"
	}
	return "waits for " + i.Next.After
}

// span says how long something took, and when.
func span(begin, elapsed time.Duration) string {
	return fmt.Sprintf("%s, from %s to %s", ui.Seconds(elapsed), ui.Seconds(begin), ui.Seconds(begin+elapsed))
}

// maxReason is how much of an error stands in the chart, in characters.
const maxReason = 50

// reason is an error without the name of its host before it.
func reason(host, err string) string { return strings.TrimPrefix(err, host+": ") }

func lastOf[T any](all []T) []T { return all[max(0, len(all)-maxSaid):] }
