package picture

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/run"
)

// tick is a line at a time, with the time.
type tick struct{ X, Text string }

// tickSteps are the distances of ticks that people count in.
var tickSteps = []time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// maxTicks fit on a narrow page.
const maxTicks = 8

func ticks(total time.Duration) []tick {
	step := tickSteps[len(tickSteps)-1]
	for _, s := range tickSteps {
		if total/s <= maxTicks {
			step = s
			break
		}
	}
	if total/step > maxTicks {
		step = total / maxTicks
	}
	var all []tick
	for at := step; at < total; at += step {
		all = append(all, tick{percent(share(at, total)), round(at)})
	}
	return all
}

// round is a duration without the zeros that Go ends it with.
func round(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// share is a moment as a part of the whole.
func share(at, total time.Duration) float64 {
	return min(max(float64(at)/float64(max(total, 1)), 0), 1)
}

// mark is a line at a time, with what it stands for.
type mark struct {
	X, Class, Text string
	// Named says that there is room for the text, to the right, or to the left of it.
	Named, Left bool

	late bool // where the end has its name
}

// markRoom is the share of the whole that the name of a mark takes on a narrow page.
const markRoom = 0.12

// marks are the beginnings of rounds, and interrupts.
func marks(t *run.Timeline, total time.Duration) []mark {
	var all []mark
	free := 0.0 // from where on there is room for a name
	add := func(at time.Duration, class, text string) {
		x := share(at, total)
		m := mark{X: percent(x), Class: class, Text: text, Left: x > 1-markRoom, late: x > 1-2*markRoom}
		begin := x
		if m.Left {
			begin -= markRoom
		}
		if m.Named = begin >= free; m.Named {
			free = begin + markRoom
		}
		all = append(all, m)
	}
	for i, at := range t.Rounds {
		add(at, "round", fmt.Sprintf("round %d", i+1))
	}
	for _, at := range t.Interrupts {
		add(at, "interrupt", "interrupted")
	}
	return all
}
