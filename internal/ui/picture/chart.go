package picture

import (
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

// Heights in pixels of what is drawn from the top down.
const (
	barHeight  = 15
	laneHeight = 19 // from one bar to the one below
	rowGap     = 8  // between hosts
)

// nameLength is how many characters of a host's name are shown beside its bars; nameMargin is what is free around it, in pixels.
const (
	nameLength = 16
	nameMargin = 16
)

// chart is the picture itself.
type chart struct {
	Height int
	// NameWidth is what the names of rows take, in pixels.
	NameWidth int
	Ticks     []tick
	Marks     []mark
	End       string
	// EndNamed says that there is room for it.
	EndNamed bool
	Rows     []row
	Thin     *thin
	Links    []link
}

// row is a host, or the run as a whole, with its bars.
type row struct {
	Y, NameY          int
	Name, Class, Tell string
	Bars              []bar
	Idle              []idle
	Lost              []sign
}

// idle is a time in which a host had nothing to do.
type idle struct {
	X1, X2, Tell string
	Y            int
	Label        label
}

// link is a part of the line that joins what is critical.
type link struct {
	X1, X2 string
	Y1, Y2 int
}

func draw(t *run.Timeline) chart {
	total := max(t.Elapsed, time.Millisecond)
	c := chart{Ticks: ticks(total), Marks: marks(t, total), End: ui.Seconds(t.Elapsed)}
	c.EndNamed = !slices.ContainsFunc(c.Marks, func(m mark) bool { return m.Named && m.late })
	full, rest := fold(t)
	middle := map[*run.Span]int{} // of bars that are critical: where the line that joins them goes through
	y := rowGap
	longest := len("the run")
	add := func(r row, height int) {
		longest = max(longest, len([]rune(r.Name)))
		c.Rows = append(c.Rows, r)
		y += height + rowGap
	}
	add(drawRow(row{Y: y, Name: "the run", Tell: "what belongs to no host"}, slices.Concat(t.Phases, locks(t)), nil, total, middle))
	for _, h := range full {
		add(drawHost(h, total, y, middle))
	}
	if len(rest) > 0 {
		c.Thin, y = drawThin(rest, total, y, middle)
	}
	c.Height, c.NameWidth = y, int(nameMargin+7.2*float64(longest))
	c.Links = links(t.Critical, total, middle)
	return c
}

// drawRow draws spans, and says how high they are together. Times in which nothing was done are in the first lane.
func drawRow(r row, spans []*run.Span, idle []run.Idle, total time.Duration, middle map[*run.Span]int) (row, int) {
	r.NameY = r.Y + 11
	lanes := pack(spans)
	for i, lane := range lanes {
		for j, s := range lane {
			next := total
			if j+1 < len(lane) {
				next = lane[j+1].Begin
			}
			taken := 0.0
			for _, n := range idle {
				if i == 0 && n.Begin == s.End() {
					taken = textWidth(waitedFor(n))
				}
			}
			b := drawBar(s, total, next, taken)
			b.Y = r.Y + i*laneHeight
			r.Bars = append(r.Bars, b)
			if s.Critical > 0 {
				middle[s] = b.Y + barHeight/2
			}
		}
	}
	return r, max(1, len(lanes)) * laneHeight
}

// drawHost draws what a host did.
func drawHost(h *run.HostTimeline, total time.Duration, y int, middle map[*run.Span]int) (row, int) {
	r := row{Y: y, Name: shorten(h.Name, nameLength), Tell: tellHost(h)}
	if failed(h) > 0 {
		r.Class = "failed"
	}
	for _, n := range h.Idle {
		why := waitedFor(n)
		r.Idle = append(r.Idle, idle{
			X1: percent(share(n.Begin, total)), X2: percent(share(n.Begin+n.Elapsed, total)), Y: y + barHeight/2,
			Tell:  fmt.Sprintf("%s had nothing to do: %s\n%s %s", h.Name, span(n.Begin, n.Elapsed), n.Next.Step, why),
			Label: label{Text: why, Class: widthClass(needs(textWidth(why), share(n.Elapsed, total)))},
		})
	}
	for _, at := range h.Lost {
		r.Lost = append(r.Lost, sign{X: percent(share(at, total)), Y: y, Tell: fmt.Sprintf("%s: the connection was lost at %s", h.Name, ui.Seconds(at))})
	}
	return drawRow(r, slices.Concat(h.Connecting, h.Steps), h.Idle, total, middle)
}

// links join what is critical, where it is drawn.
func links(critical []*run.Span, total time.Duration, middle map[*run.Span]int) []link {
	var all []link
	var last *run.Span
	for _, s := range critical {
		y, drawn := middle[s]
		if !drawn {
			continue
		}
		if last != nil {
			from, to := percent(share(last.End(), total)), percent(share(s.Begin, total))
			if from != to {
				all = append(all, link{from, to, middle[last], middle[last]})
			}
			if middle[last] != y {
				all = append(all, link{to, to, middle[last], y})
			}
		}
		last = s
	}
	return all
}

// locks are the times in which other runs were waited for, as spans.
func locks(t *run.Timeline) []*run.Span {
	var all []*run.Span
	for _, w := range t.Locks {
		all = append(all, &run.Span{Spent: run.Spent{Step: "waiting for another run", Begin: w.Begin, Elapsed: w.Elapsed}, State: run.Done, Waits: []run.Pause{w}})
	}
	return all
}
