package picture

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

// bar is a span. What lies along the time is in percent of the chart, or within a bar, of that.
type bar struct {
	X, Width string
	Y        int
	Class    string
	Tell     string
	Waits    []segment
	Retries  []sign
	Label    label
}

// segment is a part of a line.
type segment struct{ X, Width, Class string }

// sign is a moment.
type sign struct {
	X, Tell string
	Y       int
}

// How much of a label is worth showing that its bar cuts off, in pixels: of what is critical, its number.
const (
	leastLabel  = 30
	leastNumber = 18
)

// drawBar draws a span that has room in its lane until another begins; taken are pixels of it that something else has.
func drawBar(s *run.Span, total, next time.Duration, taken float64) bar {
	b := bar{X: percent(share(s.Begin, total)), Width: percent(share(s.Elapsed, total)), Class: "step", Tell: tell(s)}
	text, least := s.Step, float64(leastLabel)
	switch {
	case s.Critical > 0:
		b.Class = "critical"
		text, least = fmt.Sprintf("%d · %s", s.Critical, text), leastNumber
	case s.Host == "", s.Step == connecting:
		b.Class = "phase"
	}
	switch s.State {
	case run.Failed:
		b.Class += " failed"
		text += ": FAILED"
		if s.Step == connecting {
			text = "FAILED: " + cut(reason(s.Host, s.Error), maxReason)
		}
	case run.Unfinished:
		b.Class += " unfinished"
		text += " (not finished)"
	}
	for _, w := range s.Waits {
		b.Waits = append(b.Waits, segment{X: percent(share(w.Begin-s.Begin, s.Elapsed)), Width: percent(share(w.Elapsed, s.Elapsed))})
	}
	for _, m := range s.Retries {
		b.Retries = append(b.Retries, sign{X: percent(share(m.At-s.Begin, s.Elapsed)), Tell: fmt.Sprintf("tried again at %s: %s", ui.Seconds(m.At), m.Text)})
	}
	b.Label = place(text, least, share(s.Elapsed, total), share(next-s.End(), total), taken)
	return b
}

// pack puts spans into lanes, so that none overlaps another there; what is critical, one thing after the other, is in the first.
func pack(spans []*run.Span) [][]*run.Span {
	const alike = 100 * time.Millisecond // of those that begin at once, the longest is first
	ordered := slices.SortedStableFunc(slices.Values(spans), func(a, b *run.Span) int {
		if (a.Critical > 0) != (b.Critical > 0) {
			return cmp.Compare(b.Critical, a.Critical)
		}
		return cmp.Or(cmp.Compare(a.Begin/alike, b.Begin/alike), cmp.Compare(b.Elapsed, a.Elapsed))
	})
	end := func(s *run.Span) time.Duration { return s.Begin + max(s.Elapsed, 1) } // what took no time has a place, too
	var lanes [][]*run.Span
next:
	for _, s := range ordered {
		for i, lane := range lanes {
			at, _ := slices.BinarySearchFunc(lane, s, func(a, b *run.Span) int { return cmp.Compare(a.Begin, b.Begin) })
			if (at == 0 || end(lane[at-1]) <= s.Begin) && (at == len(lane) || end(s) <= lane[at].Begin) {
				lanes[i] = slices.Insert(lane, at, s)
				continue next
			}
		}
		lanes = append(lanes, []*run.Span{s})
	}
	return lanes
}
