package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// screen is what a terminal shows of what was written to it: enough of ECMA-48 for what is used here.
func screen(written string) []string {
	lines := []string{""}
	row := 0
	for rest := written; rest != ""; {
		var n int
		switch {
		case strings.HasPrefix(rest, clearBelow):
			lines = lines[:row+1]
			lines[row] = ""
			rest = rest[len(clearBelow):]
		case strings.HasPrefix(rest, redColor), strings.HasPrefix(rest, noColor):
			rest = rest[strings.Index(rest, "m")+1:]
		case rest[0] == '\r':
			rest = rest[1:] // only ever before what is cleared
		case rest[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			rest = rest[1:]
		default:
			if k, err := fmt.Sscanf(rest, upLines, &n); k == 1 && err == nil {
				row -= n
				rest = rest[len(fmt.Sprintf(upLines, n)):]
				continue
			}
			r := []rune(rest)[0]
			lines[row] += string(r)
			rest = rest[len(string(r)):]
		}
	}
	return lines
}

func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		width, height := 60, 10
		v := newTerminal(&b, func() (int, int) { return width, height })
		send := func(e event.Event) {
			e.Time = time.Now()
			v.Event(e)
		}
		shows := func() string {
			time.Sleep(2 * frame)
			synctest.Wait()
			return strings.Join(screen(b.String()), "\n")
		}
		send(event.Event{Kind: event.RunStarted, Message: "apply prod"})
		send(event.Event{Kind: event.HostConnecting, Host: "m1", Message: "connecting"})
		if got := shows(); !strings.Contains(got, "m1           connecting  connecting") {
			t.Errorf("while it connects:\n%s", got)
		}
		send(event.Event{Kind: event.HostConnected, Host: "m1"})
		send(event.Event{Kind: event.HostFailed, Host: "m2", Error: "m2: unreachable"})
		send(event.Event{Kind: event.RoundStarted, Total: 3})
		send(event.Event{Kind: event.StepStarted, Host: "m1", Step: "runtime"})
		send(event.Event{Kind: event.ResourceStarted, Host: "m1", Step: "runtime", Resource: "program containerd"})
		send(event.Event{Kind: event.ResourceProgress, Host: "m1", Step: "runtime", Resource: "program containerd", Message: "40 %"})
		got := shows()
		for _, want := range []string{"m2: FAILED: unreachable\n", "apply prod  0 of 3 steps, 1 in work", "m1           runtime  program containerd  40 %"} {
			if !strings.Contains(got, want) {
				t.Errorf("want %q in\n%s", want, got)
			}
		}
		for line := range strings.Lines(got) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n >= width {
				t.Errorf("a line of %d columns on a terminal of %d: %s", n, width, line)
			}
		}
		send(event.Event{Kind: event.StepStarted, Host: "m1", Step: "clock"})
		send(event.Event{Kind: event.StepDone, Host: "m1", Step: "clock"})
		if got := shows(); !strings.Contains(got, "m1           runtime  program containerd  40 %") {
			t.Errorf("when another step of a host is done:\n%s", got)
		}
		send(event.Event{Kind: event.StepDone, Host: "m1", Step: "runtime"})
		if got := shows(); strings.Contains(got, "runtime") || !strings.Contains(got, "2 of 3 steps, 0 in work") {
			t.Errorf("when a step is done:\n%s", got)
		}
		// More hosts than lines.
		for i := range 500 {
			send(event.Event{Kind: event.StepStarted, Host: fmt.Sprintf("worker%03d", i), Step: "runtime"})
		}
		if got := strings.Count(shows(), "worker"); got != height-3 {
			t.Errorf("%d hosts are shown on %d lines", got, height)
		}
		if got := shows(); !strings.Contains(got, "and 493 more") {
			t.Errorf("of 500 hosts:\n%s", got)
		}
		v.Pause()
		if got := shows(); strings.Contains(got, "worker") {
			t.Errorf("paused:\n%s", got)
		}
		v.Resume()
		send(event.Event{Kind: event.RunDone})
		v.Close()
		if got := strings.Join(screen(b.String()), "\n"); strings.TrimSpace(got) != "m2: FAILED: unreachable" {
			t.Errorf("at the end there stays:\n%s", got)
		}
	})
}

func TestPlainAndJSON(t *testing.T) {
	events := []event.Event{
		{Kind: event.StepStarted, Host: "m1", Step: "runtime"},
		{Kind: event.ResourceProgress, Host: "m1", Step: "runtime", Resource: "program runc", Message: "10 %"},
		{Kind: event.StepFailed, Host: "m1", Step: "runtime", Error: "no room"},
		{Kind: event.StepSkipped, Host: "m1", Step: "images", Message: "m1 runtime: no room"},
	}
	var plain, lines bytes.Buffer
	p, j := New(&plain, false), New(&lines, true)
	for _, e := range events {
		p.Event(e)
		j.Event(e)
	}
	p.Close()
	j.Close()
	var said []string
	for line := range strings.Lines(plain.String()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
		said = append(said, text)
	}
	want := "m1: runtime|m1: runtime: FAILED: no room|m1: images: not begun: m1 runtime: no room"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("plain lines are %q, not %q", got, want)
	}
	d := json.NewDecoder(&lines)
	for _, e := range events {
		var got event.Event
		if err := d.Decode(&got); err != nil || got != e {
			t.Errorf("JSON says %+v, %v, not %+v", got, err, e)
		}
	}
}
