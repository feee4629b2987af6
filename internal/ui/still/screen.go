package still

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kubewright/kubewright/internal/ui"
)

// style is how a character looks.
type style struct {
	color       string // "" is the terminal's own
	bold, faint bool
}

// cell is a column of a row: a character, with what combines with it. Behind a wide one is an empty one.
type cell struct {
	text  string
	style style
}

// screen is a terminal: enough of one for programs that write lines, and draw over some of them.
type screen struct {
	width, height int
	history       [][]cell // rows that left it at the top
	rows          [][]cell
	x, y          int
	savedX        int
	savedY        int
	nowrap        bool
	style         style
	frames        int // that were drawn
	stopAt        int // so many of them; 0 never does
}

// endFrame is written when a frame is drawn.
const endFrame = "\x1b[?2026l"

// play is what a terminal shows in the end, with its history, or at a frame. Lines that are empty at the end are left out.
func play(written []byte, s Shown) [][]cell {
	text := strings.ToValidUTF8(string(written), "\ufffd")
	t := &screen{width: max(1, s.Width), height: max(1, s.Height)}
	t.rows = make([][]cell, t.height)
	if s.Frame > 0 {
		t.stopAt = max(1, int(math.Ceil(s.Frame*float64(strings.Count(text, endFrame)))))
	}
	for text != "" && (t.stopAt == 0 || t.frames < t.stopAt) {
		text = text[t.take(text):]
	}
	lines := slices.Concat(t.history, t.rows)
	if s.Frame > 0 {
		lines = t.rows
	}
	for i := range lines {
		lines[i] = trimmed(lines[i])
	}
	for len(lines) > 0 && len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func trimmed(row []cell) []cell {
	for len(row) > 0 && row[len(row)-1].text == " " {
		row = row[:len(row)-1]
	}
	return row
}

// take does the first thing that is written, and says how long that is.
func (s *screen) take(text string) int {
	switch text[0] {
	case '\x1b':
		return s.escape(text)
	case '\r':
		s.x = 0
	case '\n':
		s.down()
	case '\b':
		s.x = max(0, s.x-1)
	case '\t':
		s.x = min(s.width-1, s.x/8*8+8)
	default:
		r, n := utf8.DecodeRuneInString(text)
		if r >= ' ' && r != 0x7f {
			s.put(r)
		}
		return n
	}
	return 1
}

func (s *screen) put(r rune) {
	n := ui.ColumnsOf(r)
	if n == 0 {
		if row := s.rows[s.y]; s.x > 0 && s.x <= len(row) {
			row[s.x-1].text += string(r)
		}
		return
	}
	if s.x+n > s.width {
		if s.nowrap {
			s.x = max(0, s.width-n)
		} else {
			s.x = 0
			s.down()
		}
	}
	row := s.rows[s.y]
	for len(row) < s.x+n {
		row = append(row, cell{text: " "})
	}
	row[s.x] = cell{string(r), s.style}
	if n == 2 {
		row[s.x+1] = cell{"", s.style}
	}
	s.rows[s.y] = row
	s.x += n
}

func (s *screen) down() {
	if s.y < s.height-1 {
		s.y++
		return
	}
	s.history = append(s.history, s.rows[0])
	s.rows = append(s.rows[1:], nil)
}

// escape does a control sequence, and says how long it is. What it does not know it passes over.
func (s *screen) escape(text string) int {
	switch {
	case strings.HasPrefix(text, "\x1b["):
		end := 2
		for end < len(text) && (text[end] < 0x40 || text[end] > 0x7e) {
			end++
		}
		if end == len(text) {
			return end
		}
		s.control(text[2:end], text[end])
		return end + 1
	case strings.HasPrefix(text, "\x1b]"): // a title, to a bell or a string's end
		title, end, found := strings.Cut(text[2:], "\a")
		if before, _, escapes := strings.Cut(title, "\x1b"); escapes {
			return 2 + len(before) // what ends it is the next one
		}
		if !found {
			return len(text)
		}
		return len(text) - len(end)
	case strings.HasPrefix(text, "\x1b7"):
		s.savedX, s.savedY = s.x, s.y
	case strings.HasPrefix(text, "\x1b8"):
		s.x, s.y = s.savedX, s.savedY
	}
	return min(2, len(text))
}

func (s *screen) control(arguments string, command byte) {
	var n []int
	for _, a := range strings.FieldsFunc(arguments, func(r rune) bool { return r == ';' || r == '?' }) {
		i, err := strconv.Atoi(a)
		if err != nil {
			return
		}
		n = append(n, i)
	}
	first, steps := 0, 1
	if len(n) > 0 {
		first, steps = n[0], max(1, n[0])
	}
	switch command {
	case 'm':
		s.look(n)
	case 'A':
		s.y = max(0, s.y-steps)
	case 'B':
		s.y = min(s.height-1, s.y+steps)
	case 'C':
		s.x = min(s.width-1, s.x+steps)
	case 'D':
		s.x = max(0, s.x-steps)
	case 'G':
		s.x = min(s.width, steps) - 1
	case 'H':
		s.x, s.y = 0, min(s.height, steps)-1
		if len(n) > 1 {
			s.x = min(s.width, max(1, n[1])) - 1
		}
	case 'J', 'K':
		s.clear(command, first)
	case 'h', 'l':
		switch first {
		case 7:
			s.nowrap = command == 'l'
		case 2026:
			if command == 'l' {
				s.frames++
			}
		}
	}
}

// clear clears the row (K) or the screen (J): from the cursor on (0), to it (1), or all (2).
func (s *screen) clear(command byte, what int) {
	row := s.rows[s.y]
	switch what {
	case 0:
		s.rows[s.y] = row[:min(len(row), s.x)]
	case 1:
		for x := range min(len(row), s.x+1) {
			row[x] = cell{text: " "}
		}
	default:
		s.rows[s.y] = nil
	}
	for y := range s.rows {
		if command == 'J' && (what == 0 && y > s.y || what == 1 && y < s.y || what == 2) {
			s.rows[y] = nil
		}
	}
}

// colors are those of ECMA-48 by their numbers, from 30 on, and brighter ones from 90 on.
var colors = [...]string{"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}

// look sets how what comes looks. Backgrounds and colours by number are passed over.
func (s *screen) look(n []int) {
	if len(n) == 0 {
		s.style = style{}
	}
	for i := 0; i < len(n); i++ {
		switch v := n[i]; {
		case v == 0:
			s.style = style{}
		case v == 1:
			s.style.bold = true
		case v == 2:
			s.style.faint = true
		case v == 22:
			s.style.bold, s.style.faint = false, false
		case v == 39:
			s.style.color = ""
		case v >= 30 && v <= 37:
			s.style.color = colors[v-30]
		case v >= 90 && v <= 97:
			s.style.color = colors[v-90]
		case v == 38 || v == 48:
			i += map[bool]int{true: 4, false: 2}[i+1 < len(n) && n[i+1] == 2]
		}
	}
}
