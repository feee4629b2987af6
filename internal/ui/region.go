package ui

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Row is a row of a terminal.
type Row struct {
	Text string
	// Red says that something is wrong.
	Red bool
}

// Control sequences of ECMA-48, DEC's terminals, and one that has those that know it show a frame at once; the others pass over it.
const (
	clearBelow = "\x1b[J"
	clearRight = "\x1b[K"
	upRows     = "\x1b[%dA"
	redColor   = "\x1b[31m"
	noColor    = "\x1b[0m"
	saveCursor = "\x1b7"
	goToSaved  = "\x1b8"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	noWrap     = "\x1b[?7l"
	wrap       = "\x1b[?7h"
	beginFrame = "\x1b[?2026h"
	endFrame   = "\x1b[?2026l"
)

// region is the rows at the end of what a terminal shows that change. It makes what is to be written, and writes nothing.
//
// Between frames the cursor rests at the first of the rows. So nothing has to be counted that terminals break or join when their size changes: where the cursor is,
// the rows begin, and below it there is nothing else.
type region struct {
	color         bool
	rows          []Row // as they were drawn
	width, height int   // of the terminal by then
	below         bool  // the cursor was left below them
}

// frame is what draws rows over those of before, below lines that stay. It is empty if nothing changes. Rows are narrower than the terminal, and there are
// fewer than it has; lines that stay may be of any length. Below leaves the cursor below them, where the next program writes if this one is killed.
func (r *region) frame(stays, rows []Row, width, height int, below bool) []byte {
	resized := width != r.width || height != r.height
	if !resized && len(stays) == 0 && below == r.below && slices.Equal(rows, r.rows) || len(stays)+len(rows)+len(r.rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString(beginFrame + hideCursor)
	old := r.rows
	switch {
	case len(old) == 0:
	case r.below:
		fmt.Fprintf(&b, upRows, r.taken(width))
	case !resized:
		b.WriteString(goToSaved) // somebody may have pressed keys
	}
	b.WriteString("\r")
	if resized || len(stays) > 0 || len(old) == 0 || len(rows) == 0 {
		// Behind a space: tmux keeps for its history what is cleared from the first place of a screen on.
		b.WriteString(" " + clearBelow + "\r")
		old = nil
	}
	for _, row := range stays {
		r.write(&b, row)
		b.WriteString("\r\n")
	}
	b.WriteString(noWrap)
	for i, row := range rows {
		if i > 0 {
			b.WriteString("\r\n")
		}
		last := i == len(rows)-1
		if i < len(old) && old[i] == row && !last {
			continue
		}
		r.write(&b, row)
		if last {
			b.WriteString(clearBelow)
		} else {
			b.WriteString(clearRight)
		}
	}
	b.WriteString(wrap)
	switch {
	case len(rows) > 0 && below:
		b.WriteString("\r\n")
	case len(rows) > 1:
		fmt.Fprintf(&b, upRows, len(rows)-1)
	}
	b.WriteString("\r" + saveCursor + showCursor + endFrame)
	r.rows, r.width, r.height, r.below = slices.Clone(rows), width, height, below && len(rows) > 0
	return b.Bytes()
}

// leave is what leaves the rows as they are, with the cursor below them.
func (r *region) leave() []byte {
	if len(r.rows) == 0 || r.below {
		return nil
	}
	down := strings.Repeat("\n", len(r.rows))
	r.rows = nil
	return []byte(goToSaved + down + "\r")
}

func (r *region) write(b *bytes.Buffer, row Row) {
	text := strings.ReplaceAll(row.Text, "\n", "\r\n")
	if row.Red && r.color {
		text = redColor + text + noColor
	}
	b.WriteString(text)
}

// taken is how many rows of a terminal those take that were drawn when it was of another width: most break what is too wide.
func (r *region) taken(width int) int {
	n := 0
	for _, row := range r.rows {
		n += max(1, (columns(row.Text)+width-1)/max(1, width))
	}
	return n
}
