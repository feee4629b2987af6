package ui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// sum is how many hosts are at what, in at most so many rows.
func (b *board) sum(now time.Time, width, room int) []Row {
	of := map[condition][]*boardHost{}
	for _, name := range b.names {
		h := b.hosts[name]
		c := b.condition(h, now)
		of[c] = append(of[c], h)
	}
	format := "  %-13s %5s  %s"
	if width < veryNarrow {
		format = "%-13s %4s %s"
	}
	labels := len(fmt.Sprintf(format, "", "", ""))
	var rows []Row
	add := func(what string, n int, text string, red bool) {
		number := ""
		if what != "" {
			number = fmt.Sprint(n)
		}
		rows = append(rows, Row{Cut(strings.TrimRight(fmt.Sprintf(format, what, number, text), " "), width), red})
	}
	if n := len(of[failing]); n > 0 {
		add("FAILED", n, names(of[failing]), true)
	} else if b.round > 0 {
		add("failed", 0, "", false)
	}
	add("not answering", len(of[silent]), names(of[silent]), len(of[silent]) > 0)
	if n := len(of[leftOut]); n > 0 {
		add("not begun", n, of[leftOut][0].skipped, false)
	}
	if b.round == 0 {
		add("answered", len(of[unused]), "", false)
		add("connecting", len(of[connecting]), "", false)
		return rows
	}
	idle := ""
	if n := len(of[unused]); n > 0 {
		idle = fmt.Sprintf("%d more had nothing to do", n)
	}
	add("done", len(of[finished]), idle, false)
	add("running", len(of[working])+len(of[connecting]), tally(slices.Concat(of[working], of[connecting])), false)
	const shownWaits = 4 // rows
	what := "waiting"
	for _, text := range b.waitTexts(of[waiting], width-labels, max(1, min(shownWaits, (room-len(rows))/4))) {
		add(what, len(of[waiting]), text, false)
		what = ""
	}
	return rows
}

// names of hosts, in a line that is cut where it ends.
func names(hosts []*boardHost) string {
	var list []string
	for _, h := range hosts {
		list = append(list, h.name)
	}
	return strings.Join(list, ", ")
}

// tally counts hosts by the step that they have had in hand the longest, most first.
func tally(hosts []*boardHost) string {
	n := map[string]int{}
	for _, h := range hosts {
		switch {
		case len(h.inHand) > 0:
			n[h.inHand[0].name]++
		case h.connecting != "":
			n["connecting"]++
		default:
			n[h.last]++
		}
	}
	var list []string
	for _, name := range slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b)) }) {
		list = append(list, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(list, ", ")
}

// waitGroup are hosts that wait for the same.
type waitGroup struct {
	n    int
	text string
}

// waitTexts are what hosts wait for and why, in at least one row and at most so many.
func (b *board) waitTexts(hosts []*boardHost, width, room int) []string {
	if len(hosts) == 0 {
		return []string{""}
	}
	if b.interrupted {
		return []string{"begin no more; run it again to go on"}
	}
	groups := b.waitGroups(hosts)
	if len(groups) == 1 {
		return Fold("for "+groups[0].text, width, room)
	}
	shown, left := groups, 0
	if len(groups) > room {
		shown = groups[:room-1]
		for _, g := range groups[room-1:] {
			left += g.n
		}
	}
	var texts []string
	for _, g := range shown {
		texts = append(texts, Fold(fmt.Sprintf("%d for %s", g.n, g.text), width, max(1, room/len(groups)))...)
	}
	if left > 0 {
		what := "other thing"
		if len(shown) == 0 {
			what = "thing"
		}
		texts = append(texts, fmt.Sprintf("%d for %s", left, count(len(groups)-len(shown), what)))
	}
	return texts
}

// waitGroups are what hosts wait for, most first.
func (b *board) waitGroups(hosts []*boardHost) []*waitGroup {
	type key struct{ what, why string }
	of := map[key]*waitGroup{}
	for _, h := range hosts {
		k := key{h.wait.For, h.wait.Why}
		if of[k] == nil {
			of[k] = &waitGroup{text: b.waitText(h.wait)}
		}
		of[k].n++
	}
	return slices.SortedFunc(maps.Values(of), func(x, y *waitGroup) int { return cmp.Or(cmp.Compare(y.n, x.n), cmp.Compare(x.text, y.text)) })
}

// telling are the hosts that tell the most: what is wrong first, then those that are at something the longest.
func (b *board) telling(now time.Time, width, room int) []Row {
	var wrong, busy []*boardHost
	for _, name := range b.names {
		h := b.hosts[name]
		switch b.condition(h, now) {
		case failing, silent:
			wrong = append(wrong, h)
		case working, connecting:
			if len(h.inHand) > 0 || h.connecting != "" {
				busy = append(busy, h)
			}
		}
	}
	begun := func(h *boardHost) time.Time {
		if len(h.inHand) > 0 {
			return h.inHand[0].since
		}
		return h.since
	}
	slices.SortStableFunc(wrong, func(x, y *boardHost) int { return cmp.Compare(b.condition(x, now), b.condition(y, now)) })
	slices.SortStableFunc(busy, func(x, y *boardHost) int { return begun(x).Compare(begun(y)) })
	// What is wrong does not hide what goes on.
	shown := min(len(wrong), max(room-len(busy), room*2/3))
	var lines []hostLine
	for _, h := range wrong[:shown] {
		lines = append(lines, b.line(h, now))
	}
	more := len(wrong) - shown
	rest := room - shown
	if rest < len(busy) || more > 0 {
		rest-- // for how many there are
	}
	rest = max(0, min(rest, len(busy)))
	for _, h := range busy[:rest] {
		lines = append(lines, b.line(h, now))
	}
	rows := b.layOut(lines, width)
	var left []string
	if more > 0 {
		left = append(left, fmt.Sprintf("%d more that failed or do not answer", more))
	}
	if n := len(busy) - rest; n > 0 {
		left = append(left, fmt.Sprintf("%d more that are at work", n))
	}
	if len(left) > 0 {
		rows = append(rows, Row{Text: Cut("  and "+strings.Join(left, ", "), width)})
	}
	return rows[:min(len(rows), room)]
}
