package ui

import (
	"io"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// frameTime is how often a terminal is drawn at most, and how soon a new size of it is seen.
const frameTime = 100 * time.Millisecond

// terminal draws what is known of a run below lines that stay. Events only change what is known; a frame is drawn now and then, by one write, and never by who tells.
type terminal struct {
	w    io.Writer
	size func() (width, height int)

	drawing sync.Mutex // held while something is drawn
	region  region

	mu      sync.Mutex // held for what follows, and never while something is written: a terminal may be stopped
	board   *board
	content Content // nil is the run
	stays   []Row   // to be written before the next frame
	changed bool
	second  int64 // of the last frame, of Unix time: it shows what time has passed
	paused  bool
	closed  bool

	stop    chan struct{}
	stopped sync.WaitGroup
}

func newTerminal(w io.Writer, color bool, size func() (int, int)) *terminal {
	t := &terminal{w: w, size: size, region: region{color: color}, board: newBoard(), stop: make(chan struct{})}
	t.stopped.Go(func() {
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for {
			select {
			case <-t.stop:
				return
			case <-tick.C:
				t.draw()
			}
		}
	})
	return t
}

func (t *terminal) Event(v event.Event) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.stays = append(t.stays, staying(v)...)
	t.board.event(v)
	t.changed = true
	t.mu.Unlock()
	if v.Kind == event.RunDone {
		t.draw() // nothing of the run is there when others write
	}
}

func (t *terminal) Waits(list []run.Wait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.board.waits(list)
	t.changed = true
}

func (t *terminal) Show(c Content) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.content, t.changed = c, true
}

// draw draws a frame if there is something new.
func (t *terminal) draw() {
	t.drawing.Lock()
	defer t.drawing.Unlock()
	now := time.Now()
	width, height := t.size()
	t.mu.Lock()
	if t.paused || t.closed || !t.changed && now.Unix() == t.second && width == t.region.width && height == t.region.height {
		t.mu.Unlock()
		return
	}
	t.changed, t.second = false, now.Unix()
	content := t.board.rows
	if t.content != nil {
		content = t.content
	}
	rows, below, stays := content(now, width, height), t.board.interrupted, t.stays
	t.stays = nil
	t.mu.Unlock()
	t.write(t.region.frame(stays, rows, width, height, below))
}

// write writes a frame. That it cannot be seen is no reason to stop what is shown.
func (t *terminal) write(frame []byte) {
	if len(frame) > 0 {
		_, _ = t.w.Write(frame)
	}
}

// clear leaves nothing but lines that stay.
func (t *terminal) clear() {
	width, height := t.size()
	t.mu.Lock()
	stays := t.stays
	t.stays = nil
	t.mu.Unlock()
	t.write(t.region.frame(stays, nil, width, height, false))
}

func (t *terminal) Pause() {
	t.drawing.Lock()
	defer t.drawing.Unlock()
	t.mu.Lock()
	t.paused = true
	t.mu.Unlock()
	t.clear()
}

func (t *terminal) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused, t.changed = false, true
}

func (t *terminal) Close() {
	t.mu.Lock()
	closed, shown := t.closed, t.content != nil && !t.paused
	t.mu.Unlock()
	if closed {
		return
	}
	close(t.stop)
	t.stopped.Wait()
	t.drawing.Lock()
	defer t.drawing.Unlock()
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	if shown { // it is what somebody wanted to see
		t.write(t.region.leave())
		return
	}
	t.clear()
}
