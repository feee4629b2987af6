package still

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// Sizes in pixels. A character is as wide as in the fonts that browsers have for code; each run of text is made to fit, whatever the font.
const (
	charWidth  = 8.4
	lineHeight = 19
	fontSize   = 14
	margin     = 16
	titleBar   = 34
)

// styles are for light and dark pages. The terminal has a ground of its own, so it can also be read on a page of the other kind.
const styles = `text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; fill: #1f2328; white-space: pre }
.ground { fill: #f6f8fa; stroke: #d0d7de } .title { fill: #59636e } .bold { font-weight: 600 } .faint { fill: #59636e }
.red { fill: #b3261e } .green { fill: #116329 } .yellow { fill: #7d4e00 } .blue { fill: #0550ae } .magenta { fill: #8250df } .cyan { fill: #0f6674 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ground { fill: #151b23; stroke: #3d444d } .title { fill: #9198a1 } .faint { fill: #9198a1 }
.red { fill: #ff8a80 } .green { fill: #56d364 } .yellow { fill: #e3b341 } .blue { fill: #79c0ff } .magenta { fill: #d2a8ff } .cyan { fill: #76e3ea }
}`

// svg draws lines, and says how many more there are.
func svg(lines [][]cell, more int, s Shown) []byte {
	rows := len(lines)
	if more > 0 {
		rows++
	}
	width := float64(s.Width)*charWidth + 2*margin
	height := titleBar + rows*lineHeight + margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" role="img" aria-label="%s">`+"\n", width, height, width, height, escaped(s.Title))
	fmt.Fprintf(&b, "<style>\n%s\n</style>\n", styles)
	fmt.Fprintf(&b, `<rect class="ground" x="0.5" y="0.5" width="%.0f" height="%d" rx="8"/>`+"\n", width-1, height-1)
	fmt.Fprintf(&b, `<text class="title" x="%d" y="23">%s</text>`+"\n", margin, escaped("$ "+s.Title))
	y := titleBar + fontSize
	for _, line := range lines {
		drawLine(&b, line, y)
		y += lineHeight
	}
	if more > 0 {
		drawRun(&b, fmt.Sprintf("… %d more lines", more), style{faint: true}, 0, len(fmt.Sprintf(". %d more lines", more)), y)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// drawLine draws what looks alike as one text each.
func drawLine(b *bytes.Buffer, line []cell, y int) {
	for from := 0; from < len(line); {
		to := from
		var text strings.Builder
		for to < len(line) && line[to].style == line[from].style {
			text.WriteString(line[to].text)
			to++
		}
		drawRun(b, text.String(), line[from].style, from, to, y)
		from = to
	}
}

// drawRun draws a text from a column to before another.
func drawRun(b *bytes.Buffer, text string, s style, from, to, y int) {
	if bare := strings.TrimLeft(text, " "); bare != text {
		from += len(text) - len(bare)
		text = bare
	}
	if bare := strings.TrimRight(text, " "); bare != text {
		to -= len(text) - len(bare)
		text = bare
	}
	if text == "" {
		return
	}
	var classes []string
	if s.color != "" && s.color != "black" && s.color != "white" {
		classes = append(classes, s.color)
	}
	if s.bold {
		classes = append(classes, "bold")
	}
	if s.faint {
		classes = append(classes, "faint")
	}
	class := ""
	if len(classes) > 0 {
		class = ` class="` + strings.Join(classes, " ") + `"`
	}
	fmt.Fprintf(b, `<text%s x="%.1f" y="%d" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve">%s</text>`+"\n",
		class, margin+float64(from)*charWidth, y, float64(to-from)*charWidth, escaped(text))
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return b.String()
}
