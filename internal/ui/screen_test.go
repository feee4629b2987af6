package ui

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// screen is a terminal: enough of one for what is used here. It is as strict as the strictest: where a line is broken, where the cursor is, what goes to the
// history, and that all that was changed for a frame is as before after it.
type screen struct {
	t             *testing.T
	mu            sync.Mutex // held while it is written to or becomes of another size
	width, height int
	history       []string // rows that left it at the top
	rows          [][]rune // a wide character has a zero behind it
	x, y          int
	savedX        int
	savedY        int
	hidden        bool // the cursor
	nowrap        bool
	inFrame       bool
	red           bool
	reds          map[string]bool // rows on which something red was written
	writes        int
}

func newScreen(t *testing.T, width, height int) *screen {
	return &screen{t: t, width: width, height: height, rows: make([][]rune, height), reds: map[string]bool{}}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for rest := string(p); rest != ""; {
		rest = s.take(rest)
	}
	if s.hidden || s.nowrap || s.inFrame || s.red {
		s.t.Errorf("after a frame the cursor is hidden: %t, lines do not wrap: %t, the frame is not over: %t, all is red: %t", s.hidden, s.nowrap, s.inFrame, s.red)
	}
	return len(p), nil
}

func (s *screen) size() (width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width, s.height
}

// frames is how often it was written to.
func (s *screen) frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// take does the first thing that is written.
func (s *screen) take(written string) (rest string) {
	modes := map[string]func(){
		hideCursor: func() { s.hidden = true }, showCursor: func() { s.hidden = false },
		noWrap: func() { s.nowrap = true }, wrap: func() { s.nowrap = false },
		beginFrame: func() { s.inFrame = true }, endFrame: func() { s.inFrame = false },
		redColor: func() { s.red = true }, noColor: func() { s.red = false },
		saveCursor: func() { s.savedX, s.savedY = s.x, s.y },
		goToSaved:  func() { s.x, s.y = min(s.savedX, s.width-1), min(s.savedY, s.height-1) },
		clearRight: func() { s.rows[s.y] = s.rows[s.y][:min(len(s.rows[s.y]), s.x)] },
		clearBelow: func() {
			if s.x == 0 && s.y == 0 { // as tmux does
				s.history = append(s.history, s.text()...)
			}
			s.rows[s.y] = s.rows[s.y][:min(len(s.rows[s.y]), s.x)]
			for y := s.y + 1; y < s.height; y++ {
				s.rows[y] = nil
			}
		},
		"\r": func() { s.x = 0 },
		"\n": s.down,
	}
	for code, do := range modes {
		if after, ok := strings.CutPrefix(written, code); ok {
			do()
			return after
		}
	}
	var n int
	if k, err := fmt.Sscanf(written, upRows, &n); k == 1 && err == nil {
		s.y = max(0, s.y-n)
		return written[len(fmt.Sprintf(upRows, n)):]
	}
	r := []rune(written)[0]
	if r < ' ' {
		s.t.Fatalf("a control character in %q", written)
	}
	s.put(r)
	return written[len(string(r)):]
}

func (s *screen) down() {
	if s.y < s.height-1 {
		s.y++
		return
	}
	s.history = append(s.history, string(s.rows[0]))
	s.rows = append(s.rows[1:], nil)
}

func (s *screen) put(r rune) {
	n := ColumnsOf(r)
	if s.x+n > s.width {
		if s.nowrap {
			s.x = s.width - n
		} else {
			s.x = 0
			s.down()
		}
	}
	row := s.rows[s.y]
	for len(row) < s.x+n {
		row = append(row, ' ')
	}
	row[s.x] = r
	if n == 2 {
		row[s.x+1] = 0
	}
	s.rows[s.y] = row
	s.x += n
	if s.red {
		s.reds[strings.TrimSpace(s.line(s.y))] = true
	}
}

// resize breaks what is too wide, as most terminals do, and keeps the cursor where it was in the text.
func (s *screen) resize(width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows [][]rune
	y := 0
	for i, row := range s.rows {
		if i == s.y {
			y = len(rows)
		}
		for len(row) > width {
			rows, row = append(rows, row[:width:width]), row[width:]
		}
		rows = append(rows, row)
	}
	for len(rows) > height && y < len(rows)-1 && strings.TrimSpace(string(rows[len(rows)-1])) == "" {
		rows = rows[:len(rows)-1]
	}
	for len(rows) > height {
		s.history = append(s.history, string(rows[0]))
		rows, y = rows[1:], max(0, y-1)
	}
	for len(rows) < height {
		rows = append(rows, nil)
	}
	s.rows, s.y, s.width, s.height = rows, y, width, height
}

func (s *screen) line(y int) string {
	return strings.TrimRight(strings.ReplaceAll(string(s.rows[y]), "\x00", ""), " ")
}

// text is what it shows, without what is empty at the end.
func (s *screen) text() []string {
	var lines []string
	for y := range s.rows {
		lines = append(lines, s.line(y))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func (s *screen) want(lines ...string) {
	s.t.Helper()
	if got := s.text(); !slices.Equal(got, lines) {
		s.t.Errorf("it shows\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func (s *screen) wantHistory(lines ...string) {
	s.t.Helper()
	var got []string
	for _, l := range s.history {
		got = append(got, strings.TrimRight(l, " "))
	}
	if !slices.Equal(got, lines) {
		s.t.Errorf("above it there is\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}
