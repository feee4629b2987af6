package ui

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// frame is how often a terminal is drawn.
const frame = 150 * time.Millisecond

// Control sequences of ECMA-48.
const (
	clearBelow = "\x1b[J"
	upLines    = "\x1b[%dA"
	redColor   = "\x1b[31m"
	noColor    = "\x1b[0m"
)

// terminal draws a line for each step in work of a host, below lines that stay: what failed and what is to be known.
type terminal struct {
	w    io.Writer
	size func() (width, height int)

	mu      sync.Mutex
	start   time.Time
	what    string
	total   int // steps of the round
	done    int
	hosts   map[[2]string]*hostLine // by host and step: several may be in work
	stays   []string                // lines to be written before the next frame
	drawn   int                     // lines that can be drawn over
	paused  bool
	stop    chan struct{}
	stopped sync.WaitGroup
}

type hostLine struct {
	name     string
	since    time.Time
	step     string
	resource string
	message  string
}

func newTerminal(w io.Writer, size func() (int, int)) *terminal {
	t := &terminal{w: w, size: size, start: time.Now(), hosts: map[[2]string]*hostLine{}, stop: make(chan struct{})}
	t.stopped.Go(func() {
		tick := time.NewTicker(frame)
		defer tick.Stop()
		for {
			select {
			case <-t.stop:
				return
			case <-tick.C:
				t.mu.Lock()
				if !t.paused {
					t.draw()
				}
				t.mu.Unlock()
			}
		}
	})
	return t
}

func (t *terminal) Event(v event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{v.Host, v.Step}
	h := t.hosts[key]
	if h == nil {
		h = &hostLine{name: v.Host, since: v.Time}
	}
	switch v.Kind {
	case event.RunStarted:
		t.what = v.Message
	case event.RoundStarted:
		t.total, t.done = v.Total, 0
	case event.HostConnecting:
		h.step, h.message = "connecting", v.Message
		t.hosts[key] = h
	case event.HostConnected, event.HostFailed:
		delete(t.hosts, key)
	case event.StepStarted:
		t.hosts[key] = &hostLine{name: v.Host, since: v.Time, step: v.Step}
	case event.ResourceStarted:
		h.resource, h.message = v.Resource, ""
	case event.ResourceProgress:
		h.message = v.Message
	case event.StepWaiting:
		h.resource, h.message = "", "waiting: "+v.Message
	case event.StepDone, event.StepFailed:
		t.done++
		delete(t.hosts, key)
	case event.RunDone:
		clear(t.hosts)
		t.total = 0
	}
	switch v.Kind {
	case event.HostFailed, event.StepFailed:
		t.stays = append(t.stays, redColor+Line(v)+noColor)
	case event.StepRetried, event.StepSkipped, event.RunInterrupted, event.HostLost, event.LockWaiting, event.Note:
		t.stays = append(t.stays, Line(v))
	}
}

// draw writes a frame over the one before.
func (t *terminal) draw() {
	var b bytes.Buffer
	t.erase(&b)
	for _, l := range t.stays {
		b.WriteString(l + "\n")
	}
	t.stays = nil
	width, height := t.size()
	if len(t.hosts) > 0 || t.total > 0 {
		lines := t.lines(width, height)
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
		t.drawn = len(lines)
	}
	_, _ = t.w.Write(b.Bytes())
}

func (t *terminal) erase(b *bytes.Buffer) {
	if t.drawn > 0 {
		fmt.Fprintf(b, upLines, t.drawn)
		b.WriteString("\r" + clearBelow)
		t.drawn = 0
	}
}

func (t *terminal) lines(width, height int) []string {
	now := time.Now()
	head := fmt.Sprintf("%s  %s", t.what, Seconds(now.Sub(t.start)))
	if t.total > 0 {
		head = fmt.Sprintf("%s  %d of %d steps, %d in work  %s", t.what, t.done, t.total, len(t.hosts), Seconds(now.Sub(t.start)))
	}
	hosts := make([]*hostLine, 0, len(t.hosts))
	for _, h := range t.hosts {
		hosts = append(hosts, h)
	}
	// Those that work the longest are what people want to see.
	slices.SortFunc(hosts, func(a, b *hostLine) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.name, b.name), cmp.Compare(a.step, b.step))
	})
	lines := []string{cut(head, width)}
	most := height - 3
	for i, h := range hosts {
		if i == most && len(hosts) > most+1 {
			lines = append(lines, cut(fmt.Sprintf("  and %d more", len(hosts)-most), width))
			break
		}
		text := h.step
		for _, more := range []string{h.resource, h.message} {
			if more != "" {
				text += "  " + more
			}
		}
		elapsed := Seconds(now.Sub(h.since))
		room := width - len(elapsed) - 4
		lines = append(lines, fmt.Sprintf("  %-*s %s", room, cut(fmt.Sprintf("%-12s %s", h.name, text), room), elapsed))
	}
	return lines
}

// cut is what fits into a number of columns.
func cut(s string, width int) string {
	r := []rune(strings.ReplaceAll(s, "\n", " "))
	if len(r) <= width-1 {
		return string(r)
	}
	return string(r[:max(0, width-2)]) + "…"
}

func (t *terminal) Pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = true
	var b bytes.Buffer
	t.erase(&b)
	_, _ = t.w.Write(b.Bytes())
}

func (t *terminal) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paused = false
}

func (t *terminal) Close() {
	close(t.stop)
	t.stopped.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.hosts)
	t.total = 0
	t.draw()
}
