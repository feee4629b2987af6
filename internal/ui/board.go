package ui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/run"
)

// board is what is known of a run: who does what and since when, who waits for what and why, what failed. Events go in, rows come out (boardrows.go); it does nothing
// else.
type board struct {
	what        string    // "apply prod"
	start       time.Time // of the run
	round       int       // 0 before anything is done
	total       int       // steps of the round
	done        int
	failed      int
	skipped     int
	interrupted bool
	over        bool
	hosts       map[string]*boardHost
	names       []string // of the hosts, in the order in which they are shown
	widestName  int      // in columns
	widestStep  int      // of those that have begun, so that columns stay where they are
}

// boardHost is what is known of a host.
type boardHost struct {
	name       string
	since      time.Time  // when what it does with nothing in hand began
	connecting string     // what is being done to connect to it; empty if nothing is
	silent     string     // why it does not answer
	inHand     []handStep // longest first
	last       string     // the step that ended last
	done       int        // steps of this round
	failures   []string   // "etcd: no room"
	skipped    string     // why a step was not begun
	wait       *run.Wait  // nil if it has something in hand or nothing left
}

// handStep is a step in hand.
type handStep struct {
	name     string
	since    time.Time
	resource string
	message  string
	waits    bool // the message says why it does not go on
}

func newBoard() *board { return &board{hosts: map[string]*boardHost{}} }

// host is what is known of one, which may be nothing so far.
func (b *board) host(name string) *boardHost {
	h := b.hosts[name]
	if h == nil {
		h = &boardHost{name: name, since: b.start}
		b.hosts[name] = h
		i, _ := slices.BinarySearchFunc(b.names, name, natural)
		b.names = slices.Insert(b.names, i, name)
		b.widestName = max(b.widestName, columns(name))
	}
	return h
}

// step in hand by its name; nil if it is not.
func (h *boardHost) step(name string) *handStep {
	for i := range h.inHand {
		if h.inHand[i].name == name {
			return &h.inHand[i]
		}
	}
	return nil
}

// event takes what happened.
func (b *board) event(v event.Event) {
	switch v.Kind {
	case event.RunStarted:
		b.what, b.start = v.Message, v.Time
	case event.RoundStarted:
		b.round++
		b.total, b.done, b.failed, b.skipped = v.Total, 0, 0, 0
		for _, h := range b.hosts {
			h.done, h.failures, h.skipped, h.wait, h.since = 0, nil, "", nil, v.Time
		}
	case event.RunInterrupted:
		b.interrupted = true
	case event.RunDone:
		b.over = true
	}
	if v.Host == "" {
		return
	}
	switch v.Kind {
	case event.HostConnecting, event.HostConnected, event.HostFailed, event.HostLost:
		b.connection(b.host(v.Host), v)
	case event.StepStarted, event.StepWaiting, event.StepRetried, event.StepDone, event.StepFailed, event.StepSkipped, event.ResourceStarted, event.ResourceProgress:
		b.work(b.host(v.Host), v)
	}
}

// connection takes what happened to the connection to a host.
func (b *board) connection(h *boardHost, v event.Event) {
	switch v.Kind {
	case event.HostConnecting:
		if h.connecting == "" {
			h.since = v.Time
		}
		h.connecting = v.Message
	case event.HostLost:
		h.connecting, h.since = "connecting again", v.Time
	case event.HostConnected:
		h.connecting, h.silent, h.since = "", "", v.Time
	case event.HostFailed:
		h.connecting, h.since = "", v.Time
		h.silent = cmp.Or(withoutPrefix(v.Error, v.Host+": "), "why is not known")
	}
}

// work takes what happened to a step of a host.
func (b *board) work(h *boardHost, v event.Event) {
	s := h.step(v.Step)
	ended := func() {
		h.inHand = slices.DeleteFunc(h.inHand, func(s handStep) bool { return s.name == v.Step })
		h.last, h.since = v.Step, v.Time
	}
	switch v.Kind {
	case event.StepStarted:
		h.inHand = append(h.inHand, handStep{name: v.Step, since: v.Time})
		h.wait = nil
		b.widestStep = max(b.widestStep, columns(v.Step))
	case event.StepDone:
		ended()
		b.done++
		h.done++
	case event.StepFailed:
		ended()
		b.failed++
		h.failures = append(h.failures, v.Step+": "+withoutPrefix(v.Error, v.Host+": "))
	case event.StepSkipped:
		b.skipped++
		h.skipped = cmp.Or(h.skipped, v.Message, "why is not known")
	}
	if s == nil {
		return
	}
	switch v.Kind {
	case event.ResourceStarted:
		s.resource, s.message, s.waits = v.Resource, "", false
	case event.ResourceProgress:
		s.message = v.Message
	case event.StepWaiting:
		s.resource, s.message, s.waits = "", "waiting: "+v.Message, true
	case event.StepRetried:
		s.resource, s.message, s.waits = "", "trying again: "+v.Message, true
	}
}

// waits takes who waits for what by now.
func (b *board) waits(list []run.Wait) {
	for _, h := range b.hosts {
		h.wait = nil
	}
	for i := range list {
		if h := b.host(list[i].Step.Host); len(h.inHand) == 0 {
			h.wait = &list[i]
		}
	}
}

// staying are the lines of an event that stay on a terminal: what failed, and what is to be known. What passes by itself is shown while it lasts, and what was not
// begun, of which there may be thousands, is counted; the end says what it goes back to.
func staying(v event.Event) []Row {
	switch v.Kind {
	case event.HostFailed, event.StepFailed:
		return []Row{{plainText(Line(v), true), true}}
	case event.RunInterrupted, event.HostLost, event.LockWaiting, event.Note:
		return []Row{{plainText(Line(v), true), false}}
	}
	return nil
}

// count is a number of things: "1 step", "2 steps".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
