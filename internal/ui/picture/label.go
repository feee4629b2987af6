package picture

import (
	"fmt"
	"math"
	"slices"
)

// label is a text of the chart.
type label struct {
	Text string
	// Outside says that it is to the right of its bar; else it is within it, which may cut it off.
	Outside bool
	// Class says how wide the chart has to be for it; empty if there is never room.
	Class string
}

// labelWidths are the widths of a chart, in pixels, from which on labels are shown; the page has a rule for each.
var labelWidths = []int{300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400, 1700, 2000, 2500, 3000, 4500, 7000, 12000}

// noRoom is the width that a chart would need for what never fits.
const noRoom = math.MaxInt

// needs is the width that a chart has to have, so that a share of it is so many pixels.
func needs(pixels, share float64) int {
	if i := slices.IndexFunc(labelWidths, func(w int) bool { return pixels <= share*float64(w) }); i >= 0 {
		return labelWidths[i]
	}
	return noRoom
}

func widthClass(width int) string {
	if width == noRoom {
		return ""
	}
	return fmt.Sprintf("w%d", width)
}

// textWidth is what a text takes in pixels, with some space around it, in a wide font.
func textWidth(text string) float64 { return 6.2*float64(len([]rune(text))) + 10 }

// place says where the text of a bar goes. Within it, least pixels of it are worth showing. What is within the bar, and free to the right of it until the
// next, are shares of the chart; taken are pixels of the latter that something else has.
func place(text string, least, within, right, taken float64) label {
	in, out := needs(textWidth(text), within), needs(textWidth(text)+taken, right)
	if out < in {
		return label{text, true, widthClass(out)}
	}
	return label{text, false, widthClass(needs(min(textWidth(text), least), within))}
}
