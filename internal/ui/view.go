// Package ui draws events: on a terminal what all hosts are at, in rows that change, elsewhere plain lines, or JSON lines for programs. It knows what
// events are, and nothing of what makes them.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// View shows events.
type View interface {
	// Event shows one. It may be called from several goroutines at once.
	Event(v event.Event)
	// Waits shows which hosts wait and for what, all of them each time. It may be called like Event.
	Waits(list []run.Wait)
	// Pause clears what changes, so that something else can be written or asked; Resume goes on.
	Pause()
	Resume()
	// Close ends drawing and leaves what stays.
	Close()
}

// Live is a view on a terminal, which can show something else than a run.
type Live interface {
	View
	// Show shows what content says from now on, below lines that stay. Close leaves it there.
	Show(content Content)
}

// Content is what is shown at a time on a terminal of some columns and rows: rows that are narrower than it, and fewer than it has. It is asked whenever something was
// shown anew, the terminal has another size, or a second has passed.
type Content func(now time.Time, width, height int) []Row

// New is the view that fits: JSON lines if they are asked for, lines that change on a terminal, or plain lines.
func New(w io.Writer, jsonLines bool) View {
	if jsonLines {
		return &jsonView{encoder: json.NewEncoder(w)}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return newTerminal(w, os.Getenv("NO_COLOR") == "", func() (int, int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil || width < 1 || height < 1 { // a serial line does not know
				return 80, 24
			}
			return width, height
		})
	}
	return &plainView{w: w, start: time.Now()}
}

// jsonView writes each event as a line of JSON.
type jsonView struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (j *jsonView) Event(v event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.encoder.Encode(v) // a reader that went away is noticed by what runs next
}

func (*jsonView) Waits([]run.Wait) {}
func (*jsonView) Pause()           {}
func (*jsonView) Resume()          {}
func (*jsonView) Close()           {}

// plainView writes a line for what a person would want to find in a log.
type plainView struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

func (p *plainView) Event(v event.Event) {
	line := Line(v)
	if line == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.start).Seconds(), line)
}

func (*plainView) Waits([]run.Wait) {}
func (*plainView) Pause()           {}
func (*plainView) Resume()          {}
func (*plainView) Close()           {}

// Line is an event in a line that stays; empty for those that only tell how far something is.
func Line(v event.Event) string {
	where := v.Host
	if v.Step != "" {
		where += ": " + v.Step
	}
	switch v.Kind {
	case event.HostFailed:
		return fmt.Sprintf("%s: FAILED: %s", v.Host, withoutPrefix(v.Error, v.Host+": "))
	case event.HostLost:
		return v.Host + ": the connection was lost; connecting again"
	case event.LockWaiting, event.Note:
		if v.Host != "" {
			return v.Host + ": " + v.Message
		}
		return v.Message
	case event.StepStarted:
		return where
	case event.StepWaiting:
		return fmt.Sprintf("%s: waiting: %s", where, v.Message)
	case event.StepDone:
		return fmt.Sprintf("%s: done in %s", where, Seconds(v.Elapsed))
	case event.StepFailed:
		return fmt.Sprintf("%s: FAILED: %s", where, v.Error)
	case event.StepRetried:
		return fmt.Sprintf("%s: trying again: %s", where, v.Message)
	case event.StepSkipped:
		return fmt.Sprintf("%s: not begun: %s", where, v.Message)
	case event.RunInterrupted:
		return "interrupted: " + v.Message
	}
	return ""
}

func withoutPrefix(s, prefix string) string {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return s
}

// Seconds is a duration as people read it.
func Seconds(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
