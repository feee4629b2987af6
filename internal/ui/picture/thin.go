package picture

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ui"
)

// thin are the hosts that are not drawn in full: a line each.
type thin struct {
	Y          int
	Name, Tell string
	Rows       []thinRow
}

type thinRow struct {
	Y        int
	Tell     string
	Segments []segment
}

// Heights in pixels: of a line, from one to the next, and of what is said above them.
const (
	thinHeight = 4
	thinPitch  = 5
	thinHead   = 28
)

// maxThin bounds the lines, and with them the file: 2,000 are about a megabyte.
const maxThin = 2000

// drawThin draws hosts from y on, notes where what is critical is, and says where they end.
func drawThin(hosts []*run.HostTimeline, total time.Duration, y int, middle map[*run.Span]int) (*thin, int) {
	t := &thin{Y: y, Name: fmt.Sprintf("%d more", len(hosts))}
	var ends []time.Duration
	order := "the last to end first"
	for _, h := range hosts {
		ends = append(ends, ended(h))
		if failed(h) > 0 {
			order = "those where something failed first, then the last to end"
		}
	}
	slices.Sort(ends)
	t.Tell = fmt.Sprintf("one line each, %s; half of them ended by %s", order, ui.Seconds(ends[len(ends)/2]))
	if more := len(hosts) - maxThin; more > 0 {
		hosts = hosts[:maxThin]
		t.Tell += fmt.Sprintf("; the %d that ended first are left out", more)
	}
	y += thinHead
	for _, h := range hosts {
		t.Rows = append(t.Rows, thinRow{Y: y, Tell: tellHost(h), Segments: segments(h, total)})
		for _, s := range h.Steps {
			if s.Critical > 0 {
				middle[s] = y + thinHeight/2
			}
		}
		y += thinPitch
	}
	return t, y + rowGap
}

// smallest is what is seen in a line, as a share of the whole.
const smallest = 0.001

// segments are what a host did in one line: waiting and connecting lightly, work over it, over that what is critical, and what failed.
func segments(h *run.HostTimeline, total time.Duration) []segment {
	var light, work, critical, bad []run.Pause
	for _, s := range slices.Concat(h.Connecting, h.Steps) {
		whole := run.Pause{Begin: s.Begin, Elapsed: s.Elapsed}
		light = append(light, whole)
		if s.Critical > 0 {
			critical = append(critical, whole)
		}
		if s.State == run.Failed {
			bad = append(bad, whole)
		}
	}
	for _, s := range h.Steps {
		at := s.Begin
		for _, w := range slices.Concat(s.Waits, []run.Pause{{Begin: s.End()}}) {
			if w.Begin > at {
				work = append(work, run.Pause{Begin: at, Elapsed: w.Begin - at})
			}
			at = w.Begin + w.Elapsed
		}
	}
	var all []segment
	for _, layer := range []struct {
		class string
		times []run.Pause
	}{{"light", light}, {"work", work}, {"critical", critical}, {"failed", bad}} {
		for _, p := range union(layer.times, total) {
			all = append(all, segment{percent(p[0]), percent(max(p[1]-p[0], 2*smallest)), layer.class})
		}
	}
	return all
}

// union is what times cover together, from and to, as shares of the whole. Gaps that nobody would see are closed.
func union(times []run.Pause, total time.Duration) [][2]float64 {
	slices.SortStableFunc(times, func(a, b run.Pause) int { return cmp.Compare(a.Begin, b.Begin) })
	var all [][2]float64
	for _, w := range times {
		from, to := share(w.Begin, total), share(w.Begin+w.Elapsed, total)
		if n := len(all); n > 0 && from-all[n-1][1] < smallest {
			all[n-1][1] = max(all[n-1][1], to)
			continue
		}
		all = append(all, [2]float64{from, to})
	}
	return all
}
