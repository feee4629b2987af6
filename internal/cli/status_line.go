package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// quietTime is how long a status line says nothing new where there is no terminal.
const quietTime = 15 * time.Second

// statusLine shows what goes on: on a terminal in one line that changes, elsewhere a line now and then. It draws by itself, until
// end is called.
type statusLine struct {
	w     io.Writer
	width int // columns of the terminal; 0 where there is none

	mu      sync.Mutex
	text    func() string // nil: nothing goes on
	drawn   string        // what stands on the terminal
	printed time.Time     // when the last line was printed
	stop    chan struct{}
	stopped sync.WaitGroup
}

func newStatusLine(w io.Writer) *statusLine {
	s := &statusLine{w: w, stop: make(chan struct{})}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		s.width = 80
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
			s.width = width
		}
	}
	s.stopped.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				s.mu.Lock()
				s.draw()
				s.mu.Unlock()
			}
		}
	})
	return s
}

// set changes what the line says from now on.
func (s *statusLine) set(text func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

// print ends what goes on with a line that stays.
func (s *statusLine) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.text = nil
	s.printed = time.Now()
	fmt.Fprintln(s.w, line)
}

// end stops drawing and leaves the terminal at the start of a line.
func (s *statusLine) end() {
	close(s.stop)
	s.stopped.Wait()
	s.clear()
}

func (s *statusLine) clear() {
	if s.width > 0 {
		s.drawn = ""
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

func (s *statusLine) draw() {
	switch {
	case s.text == nil:
	case s.width > 0:
		runes := []rune(s.text())
		line := string(runes[:min(len(runes), s.width-1)])
		if line != s.drawn {
			s.drawn = line
			fmt.Fprintf(s.w, "\r\x1b[K%s", line)
		}
	case s.printed.IsZero():
		s.printed = time.Now() // what takes less than that needs no line
	case time.Since(s.printed) >= quietTime:
		s.printed = time.Now()
		fmt.Fprintln(s.w, s.text())
	}
}
