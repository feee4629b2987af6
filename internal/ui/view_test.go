package ui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/event"
)

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
