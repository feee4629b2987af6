package ui

import (
	"strings"
	"testing"
)

// drawn is a region on a screen.
type drawn struct {
	*screen
	region
}

func newDrawn(t *testing.T, width, height int) *drawn {
	return &drawn{newScreen(t, width, height), region{color: true}}
}

// draw draws rows, separated by |, after lines that stay.
func (d *drawn) draw(rows string, stays ...Row) {
	d.drawAt(rows, false, stays...)
}

func (d *drawn) drawAt(rows string, below bool, stays ...Row) {
	var list []Row
	if rows != "" {
		for text := range strings.SplitSeq(rows, "|") {
			list = append(list, Row{Text: text})
		}
	}
	if frame := d.frame(stays, list, d.width(), d.height(), below); len(frame) > 0 {
		_, _ = d.Write(frame)
	}
}

func (d *drawn) width() int  { return d.screen.width }
func (d *drawn) height() int { return d.screen.height }

func TestRegion(t *testing.T) {
	d := newDrawn(t, 20, 6)
	_, _ = d.Write([]byte("$ ap"))
	d.draw("") // nothing is there, and nothing is touched
	_, _ = d.Write([]byte("ply\r\n"))
	d.draw("a|b|c")
	d.want("$ apply", "a", "b", "c")
	if d.y != 1 || d.x != 0 {
		t.Errorf("the cursor rests at %d, %d", d.x, d.y)
	}
	// What is longer, shorter, more and fewer.
	d.draw("a|longer|c|d")
	d.want("$ apply", "a", "longer", "c", "d")
	d.draw("a|b|c|d")
	d.draw("a|b")
	d.want("$ apply", "a", "b")
	n := d.writes
	d.draw("a|b")
	if d.writes != n {
		t.Error("a frame is written in which nothing changed")
	}
	// Lines that stay, one of them longer than a row.
	d.draw("a|b", Row{"m1: FAILED", true}, Row{"a note that is longer than a row", false})
	d.want("$ apply", "m1: FAILED", "a note that is longe", "r than a row", "a", "b")
	if !d.reds["m1: FAILED"] || len(d.reds) > 10 {
		t.Errorf("red are %v", d.reds)
	}
	// More than there is room for below.
	d.draw("a|b|c|d|e", Row{Text: "another"})
	d.want("another", "a", "b", "c", "d", "e")
	d.wantHistory("$ apply", "m1: FAILED", "a note that is longe", "r than a row")
	d.draw("a|b|c|d")
	d.draw("")
	d.want("another")
	if d.y != 1 || d.x != 0 {
		t.Errorf("in the end the cursor is at %d, %d", d.x, d.y)
	}
}

// TestRegionAtTheTop has rows from the first of a screen on.
func TestRegionAtTheTop(t *testing.T) {
	d := newDrawn(t, 20, 4)
	d.draw("a|b|c")
	d.draw("A|b|c")
	d.draw("A|b", Row{Text: "stays"})
	d.want("stays", "A", "b")
	d.draw("")
	d.wantHistory()
	d.want("stays")
}

// TestKeys has somebody press keys that a terminal shows.
func TestKeys(t *testing.T) {
	d := newDrawn(t, 20, 6)
	_, _ = d.Write([]byte("$ apply\r\n"))
	d.draw("|a|b|c")
	_, _ = d.Write([]byte("\r\n\r\n^C"))
	d.draw("|A|B|C")
	d.want("$ apply", "", "A", "B", "C")
}

// TestResize has terminals become narrower, lower, wider and higher while rows are there.
func TestResize(t *testing.T) {
	for _, below := range []bool{false, true} {
		d := newDrawn(t, 20, 10)
		_, _ = d.Write([]byte("$ apply\r\n"))
		d.drawAt("|twelve chars|c|fourteen chars", below)
		d.resize(8, 10)
		d.drawAt("|twelve|c|four…", below)
		d.want("$ apply", "", "twelve", "c", "four…")
		d.resize(30, 5)
		d.drawAt("|twelve chars|c|fourteen chars", below)
		if !below { // else a row is above
			d.want("$ apply", "", "twelve chars", "c", "fourteen chars")
		}
		d.resize(30, 12)
		d.drawAt("|twelve chars|c|fourteen chars|d", below)
		if got := strings.Count(strings.Join(append(d.history, d.text()...), "\n"), "twelve"); got != 1 {
			t.Errorf("below: %t: there are %d of it:\n%s", below, got, strings.Join(d.text(), "\n"))
		}
	}
}

// TestBelow leaves the cursor where the next program writes.
func TestBelow(t *testing.T) {
	d := newDrawn(t, 20, 5)
	_, _ = d.Write([]byte("$ apply\r\n"))
	d.draw("|a|b")
	d.drawAt("|a|b", true)
	_, _ = d.Write([]byte("$ "))
	d.want("$ apply", "", "a", "b", "$")

	d = newDrawn(t, 20, 5)
	d.draw("|a|b")
	d.drawAt("|a|c", true, Row{Text: "interrupted"})
	d.want("interrupted", "", "a", "c")
	d.drawAt("|a|d|e", true)
	_, _ = d.Write([]byte("$ "))
	d.want("", "a", "d", "e", "$")
	d.wantHistory("interrupted")

	d = newDrawn(t, 20, 5)
	d.draw("|a|b")
	_, _ = d.Write(d.leave())
	_, _ = d.Write([]byte("$ "))
	d.want("", "a", "b", "$")
}

// TestTooWide draws on a terminal that has become narrower since it was asked.
func TestTooWide(t *testing.T) {
	d := newDrawn(t, 10, 5)
	_, _ = d.Write(d.frame(nil, []Row{{}, {Text: "more than ten columns"}, {Text: "b"}}, 80, 24, false))
	d.draw("|cut|b")
	d.want("", "cut", "b")
	d.wantHistory()
}

func TestNoColor(t *testing.T) {
	d := newDrawn(t, 20, 5)
	d.color = false
	d.draw("a", Row{"FAILED", true})
	d.want("FAILED", "a")
	if len(d.reds) > 0 {
		t.Errorf("red are %v", d.reds)
	}
}
