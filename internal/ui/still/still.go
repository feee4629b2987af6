// Package still turns what a program wrote to a terminal into a picture of that terminal: SVG that is read on light and on dark pages.
package still

// Shown is what to draw of a terminal.
type Shown struct {
	// Title stands above it: the command.
	Title string
	// Width and Height of the terminal in columns and rows, at least 1.
	Width, Height int
	// Lines that are drawn at most; 0 is all. Of more the first ones are, and how many more there are.
	Lines int
	// Frame is the share (0 to 1) of the frames that had been drawn at the moment to show, of a program that draws over what it drew before: what then was on the screen is
	// drawn. 0 is the end, with all that ever scrolled away.
	Frame float64
}

// Draw is the picture of a terminal that a program wrote to.
func Draw(written []byte, s Shown) []byte {
	lines := play(written, s)
	more := 0
	if s.Lines > 0 && len(lines) > s.Lines {
		more = len(lines) - s.Lines
		lines = lines[:s.Lines]
	}
	return svg(lines, more, s)
}
