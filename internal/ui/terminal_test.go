package ui

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
)

// live is a view on a screen, in a bubble of fake time.
type live struct {
	*terminal
	*screen
}

func newLive(t *testing.T, width, height int) *live {
	s := newScreen(t, width, height)
	return &live{newTerminal(s, true, s.size), s}
}

func (l *live) send(v event.Event) {
	v.Time = time.Now()
	l.Event(v)
}

// shows is what is there two frames later.
func (l *live) shows() string {
	time.Sleep(2 * frameTime)
	synctest.Wait()
	l.screen.mu.Lock()
	defer l.screen.mu.Unlock()
	return strings.Join(l.screen.text(), "\n")
}

func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newLive(t, 70, 10)
		has := func(when string, want ...string) {
			t.Helper()
			got := v.shows()
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("%s: want %q in\n%s", when, w, got)
				}
			}
		}
		v.send(event.Event{Kind: event.RunStarted, Message: "apply prod"})
		v.send(saying(of(event.HostConnecting, "m1", ""), "uploading"))
		has("while it connects", "apply prod, 0s: connecting to hosts", "m1      0s  connecting: uploading")
		v.send(of(event.HostConnected, "m1", ""))
		v.send(erring(of(event.HostFailed, "m2", ""), "m2: unreachable"))
		v.send(event.Event{Kind: event.RoundStarted, Total: 3})
		v.send(of(event.StepStarted, "m1", "runtime"))
		v.send(event.Event{Kind: event.ResourceStarted, Host: "m1", Step: "runtime", Resource: "program containerd"})
		v.send(event.Event{Kind: event.ResourceProgress, Host: "m1", Step: "runtime", Resource: "program containerd", Message: "40 %"})
		has("while it works", "m2: FAILED: unreachable\n", "apply prod, 0s: 0 of 3 steps done", "m1      0s  runtime: program containerd: 40 %", "m2      0s  no answer: unreachable")
		if !v.reds["m2: FAILED: unreachable"] {
			t.Errorf("what failed is not red, but %v", v.reds)
		}
		v.Waits([]run.Wait{{Step: plan.StepID{Host: "m3", Name: "kubelet"}, For: "m1 runtime", Of: []plan.StepID{{Host: "m1", Name: "runtime"}}}})
		has("while another waits", "m3      0s  kubelet: waits for m1 runtime: program containerd:")
		// Without an event, time passes.
		time.Sleep(3 * time.Second)
		has("later", "apply prod, 3s", "m1      2s")
		// What others said does not command the terminal.
		v.send(event.Event{Kind: event.Note, Host: "m1", Message: "\x1b[2Jhello\x07\nsecond"})
		has("with a note", "m1:  [2Jhello\nsecond\n\napply prod")
		// More hosts than rows.
		for i := range 500 {
			v.send(of(event.StepStarted, fmt.Sprintf("worker%03d", i), "runtime"))
		}
		has("with 500 hosts", "running         501  runtime 501", "not answering     1  m2")
		if n := strings.Count(v.shows(), "\n"); n >= 10 {
			t.Errorf("%d rows are drawn on a screen of 10", n)
		}
		v.Pause()
		if got := v.shows(); strings.Contains(got, "worker") {
			t.Errorf("paused:\n%s", got)
		}
		_, _ = v.Write([]byte("Apply it? [y/N] y\r\n"))
		v.send(erring(of(event.HostFailed, "m5", ""), "m5: unreachable"))
		v.Resume()
		has("again", "m5: FAILED: unreachable\n\napply prod")
		v.send(event.Event{Kind: event.RunDone})
		if got := strings.Join(v.screen.text(), "\n"); strings.Contains(got, "apply prod") {
			t.Errorf("of a run that is done there is\n%s", got)
		}
		v.Close()
		v.Close()
		v.send(of(event.StepStarted, "m1", "runtime"))
		var all string
		for _, l := range append(v.history, v.screen.text()...) {
			all += strings.TrimRight(l, " ") + "\n"
		}
		if want := "m2: FAILED: unreachable\nm1:  [2Jhello\nsecond\nApply it? [y/N] y\nm5: FAILED: unreachable\n"; all != want {
			t.Errorf("at the end there stays\n%s\nwant\n%s", all, want)
		}
	})
}

// TestInterruptedTerminal leaves what is in hand for who is interrupted a second time.
func TestInterruptedTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newLive(t, 70, 10)
		defer v.Close()
		v.send(event.Event{Kind: event.RunStarted, Message: "apply prod"})
		v.send(event.Event{Kind: event.RoundStarted, Total: 3})
		v.send(of(event.StepStarted, "m1", "runtime"))
		v.shows()
		v.send(event.Event{Kind: event.RunInterrupted, Message: run.InterruptedMessage})
		v.shows()
		_, _ = v.Write([]byte("^C\r\n$ "))
		want := "interrupted: " + run.InterruptedMessage + "\n\napply prod, 0s: interrupted, finishing 1 step in hand, 0 of 3 steps …\n  m1      0s  runtime\n^C\n$"
		if got := v.shows(); got != want {
			t.Errorf("there is\n%s\nwant\n%s", got, want)
		}
	})
}

// TestCalmTerminal has a thousand events, and then a second without one.
func TestCalmTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newLive(t, 80, 24)
		defer v.Close()
		v.send(event.Event{Kind: event.RunStarted, Message: "apply prod"})
		v.send(event.Event{Kind: event.RoundStarted, Total: 1000})
		before := v.frames()
		for i := range 1000 {
			v.send(event.Event{Kind: event.StepStarted, Host: "m1", Step: fmt.Sprint(i)})
			v.send(event.Event{Kind: event.StepDone, Host: "m1", Step: fmt.Sprint(i)})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := v.frames() - before; n < 5 || n > 11 {
			t.Errorf("%d frames are drawn in a second", n)
		}
		v.shows()
		before = v.frames()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := v.frames() - before; n != 1 {
			t.Errorf("%d frames are drawn in a second in which nothing happens", n)
		}
		// Of another size it is drawn at once.
		before = v.frames()
		v.resize(60, 20)
		if v.shows(); v.frames() == before {
			t.Error("nothing is drawn on a terminal of another size")
		}
	})
}

// stopped is a terminal whose user has pressed Ctrl-S.
type stopped struct{ again chan struct{} }

func (s stopped) Write(p []byte) (int, error) {
	<-s.again
	return len(p), nil
}

// TestStoppedTerminal does not stop who tells what happens; that would be found out as a deadlock.
func TestStoppedTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stopped{make(chan struct{})}
		v := newTerminal(s, true, func() (int, int) { return 80, 24 })
		v.Event(event.Event{Kind: event.RunStarted, Message: "apply prod"})
		time.Sleep(2 * frameTime)
		v.Event(of(event.StepStarted, "m1", "runtime"))
		v.Waits(nil)
		close(s.again)
		v.Close()
	})
}

// TestShow has something else shown than a run.
func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newLive(t, 70, 10)
		v.send(event.Event{Kind: event.RunStarted, Message: "status prod"})
		v.shows()
		since := time.Now()
		v.Show(func(now time.Time, width, height int) []Row {
			return []Row{{}, {Text: fmt.Sprintf("looked %s ago, %dx%d", Elapsed(now.Sub(since)), width, height)}}
		})
		time.Sleep(2 * time.Second)
		v.send(of(event.HostLost, "m1", ""))
		if got, want := v.shows(), "m1: the connection was lost; connecting again\n\nlooked 2s ago, 70x10"; got != want {
			t.Errorf("it shows\n%s\nwant\n%s", got, want)
		}
		v.Close()
		_, _ = v.Write([]byte("$ "))
		if got, want := v.shows(), "m1: the connection was lost; connecting again\n\nlooked 2s ago, 70x10\n$"; got != want {
			t.Errorf("at the end there is\n%s\nwant\n%s", got, want)
		}
	})
}
