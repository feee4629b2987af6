package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// hostLine is a row of a host.
type hostLine struct {
	name    string
	elapsed string // how long it is at it
	what    string
	more    int // steps in hand besides
	text    string
	stuck   bool // the text says why it does not go on
	red     bool
}

// line is what a host is at.
func (b *board) line(h *boardHost, now time.Time) hostLine {
	l := hostLine{name: h.name}
	switch b.condition(h, now) {
	case failing:
		l.what, l.text, l.stuck, l.red = "FAILED", h.failures[0], true, true
		if more := len(h.failures) - 1; more > 0 {
			l.text += fmt.Sprintf(" (and %d more)", more)
		}
	case silent:
		l.elapsed, l.what, l.text, l.stuck, l.red = Elapsed(now.Sub(h.since)), "no answer", h.silent, true, true
	case working:
		if len(h.inHand) == 0 {
			l.what, l.text = h.last, "done"
			break
		}
		s := h.inHand[0]
		l.elapsed, l.what, l.more, l.text, l.stuck = Elapsed(now.Sub(s.since)), s.name, len(h.inHand)-1, s.text(), s.waits
	case connecting:
		l.elapsed, l.what = Elapsed(now.Sub(h.since)), "connecting"
		if h.connecting != l.what {
			l.text = h.connecting
		}
	case waiting:
		l.elapsed, l.what, l.text, l.stuck = Elapsed(now.Sub(h.since)), h.wait.Step.Name, waitsFor+b.waitText(h.wait), true
		if b.interrupted {
			l.elapsed, l.text = "", "begins no more"
		}
	case leftOut:
		l.what, l.text, l.stuck = "not begun", h.skipped, true
	case finished:
		l.what = "done"
	case unused:
		l.what = "nothing to do"
		if b.round == 0 {
			l.what = "answered"
		}
	}
	return l
}

// text is how far a step is.
func (s handStep) text() string {
	switch {
	case s.resource == "":
		return s.message
	case s.message == "":
		return s.resource
	}
	return s.resource + ": " + s.message
}

// On terminals of fewer columns than these what a host is at has no column of its own, and nothing is indented.
const (
	narrow     = 100
	veryNarrow = 60
)

// layOut puts rows of hosts into columns.
func (b *board) layOut(lines []hostLine, width int) []Row {
	const more = " +1"
	indent, gap := "  ", "  "
	if width < veryNarrow {
		indent, gap = "", " "
	}
	name, what := min(b.widestName, max(8, width/4)), min(max(b.widestStep+len(more), len("nothing to do")), 26)
	var rows []Row
	for _, l := range lines {
		text := fmt.Sprintf("%s%s%s%6s%s", indent, pad(l.name, name), gap, l.elapsed, gap)
		at := l.what
		if l.more > 0 {
			at += fmt.Sprintf(" +%d", l.more)
		}
		switch {
		case width >= narrow:
			text += pad(at, what) + gap + l.text
		case l.text == "":
			text += at
		default:
			text += at + ": " + l.text
		}
		rows = append(rows, Row{Cut(strings.TrimRight(text, " "), width), l.red})
	}
	return rows
}

// details are, in at most so many rows, why hosts do not go on whose rows do not say all of it: it was cut, or is about another step in hand.
func (b *board) details(lines []hostLine, rows []Row, width, room int) []Row {
	const indent, most = "  ", 3 // rows of each
	type detail struct {
		text string
		red  bool
	}
	names := map[detail][]string{} // of the hosts that it is about
	var all []detail
	add := func(host, what, text string, red bool) {
		d := detail{what + ": " + text, red}
		if names[d] == nil {
			all = append(all, d)
		}
		names[d] = append(names[d], host)
	}
	for i, l := range lines {
		if l.stuck && strings.HasSuffix(rows[i].Text, ellipsis) {
			add(l.name, l.what, l.text, l.red)
		}
		for k, s := range b.hosts[l.name].inHand {
			if k > 0 && s.waits && !l.red {
				add(l.name, s.name, s.text(), false)
			}
		}
	}
	slices.SortStableFunc(all, func(x, y detail) int {
		switch {
		case x.red == y.red:
			return 0
		case x.red:
			return -1
		}
		return 1
	})
	more := []Row{{}}
	for _, d := range all {
		for i, part := range Fold(strings.Join(names[d], ", ")+": "+d.text, width-2*len(indent), most) {
			if i > 0 {
				part = indent + part
			}
			more = append(more, Row{Cut(indent+part, width), d.red})
		}
	}
	if room < 2 || len(more) == 1 {
		return nil
	}
	return more[:min(len(more), room)]
}
