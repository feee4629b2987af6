package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// condition is what a host is at.
type condition int

const (
	failing    condition = iota // a step of it failed
	silent                      // it does not answer
	working                     // it has something in hand, or had a moment ago
	connecting                  // it is being connected to
	waiting                     // it has something left to do
	leftOut                     // what was left is not done, because of something else
	finished                    // it has done what it had to
	unused                      // it had nothing to do, or nothing so far
)

// moment is how long a host is taken to be at work after a step of it has ended: what comes next is known a little later.
const moment = 300 * time.Millisecond

func (b *board) condition(h *boardHost, now time.Time) condition {
	switch {
	case len(h.failures) > 0:
		return failing
	case h.silent != "":
		return silent
	case len(h.inHand) > 0:
		return working
	case h.connecting != "":
		return connecting
	case h.wait != nil:
		return waiting
	case h.skipped != "":
		return leftOut
	case h.done > 0 && b.done+b.failed+b.skipped < b.total && now.Sub(h.since) < moment:
		return working
	case h.done > 0:
		return finished
	}
	return unused
}

// rows are what is shown of a run, fewer than a terminal has and narrower than it is: a row a host if they fit, or else how many hosts are at what, and those that
// tell the most. The first is empty, apart from the cursor.
func (b *board) rows(now time.Time, width, height int) []Row {
	if b.what == "" || b.over {
		return nil
	}
	room, width := max(1, height-1), max(1, width-1)
	head := Row{Text: Cut(b.head(now), width)}
	if room < 3 {
		return []Row{head}
	}
	rows := []Row{{}, head}
	if room -= len(rows); len(b.names) <= room {
		var lines []hostLine
		for _, name := range b.names {
			lines = append(lines, b.line(b.hosts[name], now))
		}
		table := b.layOut(lines, width)
		return slices.Concat(rows, table, b.details(lines, table, width, room-len(table)))
	}
	sum := b.sum(now, width, room)
	rows = append(rows, sum[:min(len(sum), room)]...)
	if room -= len(sum) + 1; room > 0 {
		rows = append(append(rows, Row{}), b.telling(now, width, room)...)
	}
	return rows
}

// head is how far the run is.
func (b *board) head(now time.Time) string {
	inHand, connects := 0, 0
	for _, h := range b.hosts {
		inHand += len(h.inHand)
		if h.connecting != "" && h.silent == "" {
			connects++
		}
	}
	var parts []string
	switch {
	case b.interrupted:
		parts = append(parts, "interrupted, finishing "+count(inHand, "step")+" in hand")
	case b.round == 0 && connects > 0:
		parts = append(parts, "connecting to hosts")
	case b.round == 0:
		parts = append(parts, "looking at hosts")
	}
	if b.round > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s done", b.done, count(b.total, "step")))
	}
	for _, n := range []struct {
		n    int
		what string
	}{{b.failed, "failed"}, {b.skipped, "not begun"}} {
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	if b.round > 1 {
		parts = append(parts, fmt.Sprintf("round %d", b.round))
	}
	if b.round > 0 && inHand == 0 && b.done+b.failed+b.skipped >= b.total && !b.interrupted {
		parts = append(parts, "looking again")
	}
	return fmt.Sprintf("%s, %s: %s", b.what, Elapsed(now.Sub(b.start)), strings.Join(parts, ", "))
}

// Elapsed is a time that passed, in whole seconds: "7s", "2m05s", "1h02m".
func Elapsed(d time.Duration) string {
	s := int(max(0, d) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
}
