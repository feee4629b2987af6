package ui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/run"
)

var update = flag.Bool("update", false, "write the golden files anew")

var begin = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// story tells a board what happens, second by second.
type story struct {
	*board
	now time.Time
}

func newStory() *story {
	s := &story{newBoard(), begin}
	s.say(event.Event{Kind: event.RunStarted, Message: "apply prod"})
	return s
}

func (s *story) after(seconds int) { s.now = s.now.Add(time.Duration(seconds) * time.Second) }

func (s *story) say(events ...event.Event) {
	for _, v := range events {
		v.Time = s.now
		s.event(v)
	}
}

func of(kind event.Kind, host, step string) event.Event {
	return event.Event{Kind: kind, Host: host, Step: step}
}

func saying(v event.Event, message string) event.Event {
	v.Message = message
	return v
}

func erring(v event.Event, err string) event.Event {
	v.Error = err
	return v
}

const refused = "http-answers kube-apiserver: kube-apiserver: dial tcp 10.0.0.11:6443: connect: connection refused; static-pod kube-apiserver: " +
	"the kubelet has not started kube-apiserver; \"journalctl -u kubelet\" says why"

// fiveHosts are in the middle of a first run.
func fiveHosts() *story {
	s := newStory()
	for _, h := range []string{"cp2", "w10", "w9", "cp1", "w8"} {
		s.say(saying(of(event.HostConnecting, h, ""), "connecting"))
	}
	s.after(1)
	s.say(erring(of(event.HostFailed, "w10", ""), "w10: dialling 10.0.0.30:22: connect: no route to host. Is it on, and is the address right?"))
	for _, h := range []string{"cp1", "cp2", "w9", "w8"} {
		s.say(of(event.HostConnected, h, ""))
	}
	s.after(2)
	s.say(event.Event{Kind: event.RoundStarted, Total: 40}, of(event.StepStarted, "w8", "host preparation"), of(event.StepStarted, "w9", "container runtime"))
	s.say(of(event.StepStarted, "cp2", "images"), of(event.StepStarted, "cp2", "kubelet"))
	s.after(30)
	s.say(of(event.StepDone, "w9", "container runtime"), of(event.StepStarted, "cp1", "control plane"))
	s.say(erring(of(event.StepFailed, "w8", "host preparation"), "packages apt: no room on /var: 12 MB are free, and 220 MB are needed"), of(event.StepSkipped, "w8", "images"))
	s.say(event.Event{Kind: event.ResourceStarted, Host: "cp2", Step: "images", Resource: "images containerd"})
	s.say(event.Event{Kind: event.ResourceProgress, Host: "cp2", Step: "images", Message: "映像 映像 映像 映像 映像 映像 映像 3 of 9"})
	s.after(12)
	s.say(saying(of(event.StepWaiting, "cp1", "control plane"), refused), saying(of(event.StepWaiting, "cp2", "kubelet"), "http-answers kubelet: connection refused"))
	s.waits([]run.Wait{{Step: plan.StepID{Host: "w9", Name: "kubelet"}, For: "cp1 cluster objects", Of: []plan.StepID{{Host: "cp1", Name: "cluster objects"}}}})
	s.after(3)
	return s
}

// manyHosts are in the middle of an upgrade of some kind.
func manyHosts() *story {
	s := newStory()
	name := func(i int) string {
		if i < 3 {
			return fmt.Sprintf("cp%d", i+1)
		}
		return fmt.Sprintf("worker%d", i-2)
	}
	for i := range 500 {
		s.say(saying(of(event.HostConnecting, name(i), ""), "connecting"))
	}
	s.after(3)
	for i := range 500 {
		if i == 77 || i == 78 {
			s.say(erring(of(event.HostFailed, name(i), ""), "it took the connection, but said nothing for 15s. Is it sshd that answers there, and is it well?"))
			continue
		}
		s.say(of(event.HostConnected, name(i), ""))
	}
	s.after(4)
	s.say(event.Event{Kind: event.RoundStarted, Total: 4000})
	var waits []run.Wait
	for i := range 500 {
		switch h := name(i); {
		case i == 77 || i == 78:
		case i == 0:
			s.say(of(event.StepStarted, h, "control plane"), saying(of(event.StepWaiting, h, "control plane"), refused))
		case i < 20: // nothing to do
		case i < 60:
			s.say(of(event.StepStarted, h, "images"), of(event.StepDone, h, "images"))
		case i < 64:
			s.say(of(event.StepStarted, h, "kubelet"), erring(of(event.StepFailed, h, "kubelet"), "file /var/lib/kubelet/config.yaml: read-only file system"))
		case i < 66:
			s.say(saying(of(event.StepSkipped, h, "node"), "cp3 control plane: cp3 control plane: no quorum"))
		case i < 190:
			if i%10 == 0 {
				s.after(1)
			}
			step := []string{"host preparation", "container runtime", "images"}[i%3]
			s.say(of(event.StepStarted, h, step), event.Event{Kind: event.ResourceStarted, Host: h, Step: step, Resource: "program containerd"})
			s.say(event.Event{Kind: event.ResourceProgress, Host: h, Step: step, Message: fmt.Sprintf("%d %%", i%100)})
		case i < 450:
			waits = append(waits, run.Wait{Step: plan.StepID{Host: h, Name: "kubelet"}, For: "cp1 cluster objects", Of: []plan.StepID{{Host: "cp1", Name: "cluster objects"}}})
		default:
			waits = append(waits, run.Wait{Step: plan.StepID{Host: h, Name: "container runtime"}, For: "a turn", Why: "49 of the workers may be disturbed at once"})
		}
	}
	s.waits(waits)
	s.after(100)
	return s
}

// TestRows shows 5 and 500 hosts on terminals of all sizes.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		name string
		s    *story
	}{{"5-hosts", fiveHosts()}, {"500-hosts", manyHosts()}} {
		for _, width := range []int{40, 80, 200} {
			for _, height := range []int{24, 50} {
				var b strings.Builder
				for _, r := range c.s.rows(c.s.now, width, height) {
					b.WriteString(r.Text)
					if r.Red {
						b.WriteString("\t(red)")
					}
					b.WriteString("\n")
				}
				golden := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.golden", c.name, width, height))
				if *update {
					if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatalf("%v; go test -update writes it", err)
				}
				if b.String() != string(want) {
					t.Errorf("%s differs; go test -update writes it anew:\n%s", golden, b.String())
				}
			}
		}
	}
}

// TestRowsFit tries sizes that make no sense, too, at all times of a run.
func TestRowsFit(t *testing.T) {
	connecting := newStory()
	for i := range 30 {
		connecting.say(saying(of(event.HostConnecting, fmt.Sprintf("m%d", i), ""), "uploading the agent: 2.6 MB of 23.5 MB"))
	}
	interrupted := manyHosts()
	interrupted.say(event.Event{Kind: event.RunInterrupted})
	for i, s := range []*story{newStory(), connecting, fiveHosts(), manyHosts(), interrupted} {
		for width := 1; width < 210; width += 1 + width/4 {
			for height := 1; height < 60; height++ {
				rows := s.rows(s.now, width, height)
				if len(rows) == 0 || len(rows) > max(1, height-1) {
					t.Errorf("story %d: %d rows on a terminal of %d", i, len(rows), height)
				}
				for _, r := range rows {
					if n := columns(r.Text); n > max(1, width-1) || strings.ContainsAny(r.Text, "\n\t") {
						t.Fatalf("story %d: a row of %d columns on a terminal of %d: %q", i, n, width, r.Text)
					}
				}
			}
		}
	}
}

// TestHosts says what one host is at.
func TestHosts(t *testing.T) {
	m, other := plan.StepID{Host: "m", Name: "kubelet"}, plan.StepID{Host: "cp", Name: "joining"}
	waits := run.Wait{Step: m, For: "cp joining", Of: []plan.StepID{other}}
	for _, c := range []struct {
		what string
		tell func(s *story)
		want string
	}{
		{"connecting", func(s *story) { s.say(saying(of(event.HostConnecting, "m", ""), "uploading")) }, "7s|connecting|uploading"},
		{"answered", func(s *story) { s.say(of(event.HostConnected, "m", "")) }, "|answered|"},
		{"silent", func(s *story) { s.say(erring(of(event.HostFailed, "m", ""), "m: no route")) }, "7s|no answer|no route"},
		{"tried in vain again", func(s *story) {
			s.say(erring(of(event.HostFailed, "m", ""), "m: no route"), saying(of(event.HostConnecting, "m", ""), "connecting"))
		}, "7s|no answer|no route"},
		{"back", func(s *story) {
			s.say(erring(of(event.HostFailed, "m", ""), "m: no route"), of(event.HostConnected, "m", ""), event.Event{Kind: event.RoundStarted, Total: 3})
		}, "|nothing to do|"},
		{"lost", func(s *story) { s.say(of(event.HostConnected, "m", ""), of(event.HostLost, "m", "")) }, "7s|connecting|connecting again"},
		{"in hand", func(s *story) { s.say(of(event.StepStarted, "m", "etcd"), of(event.StepStarted, "m", "images")) }, "7s|etcd|"},
		{"at a resource", func(s *story) {
			s.say(of(event.StepStarted, "m", "etcd"), event.Event{Kind: event.ResourceStarted, Host: "m", Step: "etcd", Resource: "file a"})
		}, "7s|etcd|file a"},
		{"not well yet", func(s *story) {
			s.say(of(event.StepStarted, "m", "etcd"), saying(of(event.StepWaiting, "m", "etcd"), "no"))
		}, "7s|etcd|waiting: no"},
		{"tried again", func(s *story) {
			s.say(of(event.StepStarted, "m", "etcd"), saying(of(event.StepRetried, "m", "etcd"), "locked"))
		}, "7s|etcd|trying again: locked"},
		{"goes on", func(s *story) {
			s.say(of(event.StepStarted, "m", "etcd"), saying(of(event.StepRetried, "m", "etcd"), "locked"), event.Event{Kind: event.ResourceStarted, Host: "m", Step: "etcd", Resource: "file a"})
		}, "7s|etcd|file a"},
		{"between two steps", func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 3}, of(event.StepStarted, "m", "etcd"))
			s.after(7)
			s.say(of(event.StepDone, "m", "etcd"))
			s.after(-7)
		}, "|etcd|done"},
		{"done", func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 3}, of(event.StepStarted, "m", "etcd"), of(event.StepDone, "m", "etcd"))
		}, "|done|"},
		{"failed", func(s *story) {
			s.say(of(event.StepStarted, "m", "a"), erring(of(event.StepFailed, "m", "a"), "m: no"), erring(of(event.StepFailed, "m", "b"), "no"))
		}, "|FAILED|a: no (and 1 more)"},
		{"tried in the next round", func(s *story) {
			s.say(of(event.StepStarted, "m", "a"), erring(of(event.StepFailed, "m", "a"), "no"), event.Event{Kind: event.RoundStarted, Total: 1})
		}, "|nothing to do|"},
		{"left out", func(s *story) { s.say(saying(of(event.StepSkipped, "m", "a"), "cp etcd: no")) }, "|not begun|cp etcd: no"},
		{"waits for what nobody has begun", func(s *story) { s.waits([]run.Wait{waits}) }, "7s|kubelet|waits for cp joining"},
		{"waits for a step", func(s *story) {
			s.say(of(event.HostConnected, "m", ""), of(event.StepStarted, "cp", "joining"))
			s.waits([]run.Wait{waits})
		}, "7s|kubelet|waits for cp joining: in hand"},
		{"waits for a step that waits", func(s *story) {
			s.say(of(event.HostConnected, "m", ""), of(event.StepStarted, "cp", "joining"), saying(of(event.StepWaiting, "cp", "joining"), "no"))
			s.waits([]run.Wait{waits})
		}, "7s|kubelet|waits for cp joining: waiting: no"},
		{"waits for what comes behind another step", func(s *story) {
			s.say(of(event.HostConnected, "m", ""), of(event.StepStarted, "cp", "etcd"))
			s.waits([]run.Wait{waits})
		}, "7s|kubelet|waits for cp joining: cp etcd: in hand"},
		{"waits for who waits", func(s *story) {
			s.say(of(event.HostConnected, "m", ""), of(event.StepStarted, "c2", "etcd"))
			s.waits([]run.Wait{waits, {Step: other, For: "most", Of: []plan.StepID{{Host: "c3", Name: "etcd"}, {Host: "c2", Name: "etcd"}}}})
		}, "7s|kubelet|waits for cp joining: c2 etcd: in hand"},
		{"waits for whose turn it is not", func(s *story) {
			s.say(of(event.HostConnected, "m", ""))
			s.waits([]run.Wait{waits, {Step: other, For: "a turn", Why: "one at once"}})
		}, "7s|kubelet|waits for cp joining: cp joining waits for a turn: one at once"},
		{"waits for who does not answer", func(s *story) {
			s.say(of(event.HostConnected, "m", ""), erring(of(event.HostFailed, "cp", ""), "no route"))
			s.waits([]run.Wait{waits})
		}, "7s|kubelet|waits for cp joining: cp does not answer: no route"},
		{"wait for each other", func(s *story) {
			s.say(of(event.HostConnected, "m", ""))
			s.waits([]run.Wait{waits, {Step: other, For: "m kubelet", Of: []plan.StepID{m}}})
		}, "7s|kubelet|waits for cp joining"},
		{"begins before it is known", func(s *story) {
			s.say(of(event.StepStarted, "m", "kubelet"))
			s.waits([]run.Wait{waits})
			s.say(of(event.StepDone, "m", "kubelet"))
		}, "|done|"},
		{"waits when it is interrupted", func(s *story) {
			s.waits([]run.Wait{waits})
			s.say(event.Event{Kind: event.RunInterrupted})
		}, "|kubelet|begins no more"},
	} {
		s := newStory()
		s.host("m").since = begin
		c.tell(s)
		s.after(7)
		l := s.line(s.hosts["m"], s.now)
		if got := l.elapsed + "|" + l.what + "|" + l.text; got != c.want {
			t.Errorf("%s: it is at %q, want %q", c.what, got, c.want)
		}
		if l.more != max(0, len(s.hosts["m"].inHand)-1) {
			t.Errorf("%s: %d more steps are in hand", c.what, l.more)
		}
		if l.red != strings.Contains("FAILED no answer", l.what) {
			t.Errorf("%s: red is %t", c.what, l.red)
		}
	}
}

func TestHead(t *testing.T) {
	for _, c := range []struct {
		tell func(s *story)
		want string
	}{
		{func(*story) {}, "apply prod, 7s: looking at hosts"},
		{func(s *story) { s.say(of(event.HostConnecting, "m", "")) }, "apply prod, 7s: looking at hosts"},
		{func(s *story) { s.say(saying(of(event.HostConnecting, "m", ""), "connecting")) }, "apply prod, 7s: connecting to hosts"},
		{func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 2}, of(event.StepStarted, "m", "a"))
		}, "apply prod, 7s: 0 of 2 steps done"},
		{func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 1}, of(event.StepStarted, "m", "a"), of(event.StepDone, "m", "a"))
		}, "apply prod, 7s: 1 of 1 step done, looking again"},
		{func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 1}, of(event.StepFailed, "m", "a"), event.Event{Kind: event.RoundStarted, Total: 5})
			s.say(of(event.StepFailed, "m", "a"), of(event.StepSkipped, "m", "b"), of(event.StepSkipped, "m", "c"))
		}, "apply prod, 7s: 0 of 5 steps done, 1 failed, 2 not begun, round 2"},
		{func(s *story) {
			s.say(event.Event{Kind: event.RoundStarted, Total: 4}, of(event.StepStarted, "m", "a"), event.Event{Kind: event.RunInterrupted})
		}, "apply prod, 7s: interrupted, finishing 1 step in hand, 0 of 4 steps done"},
		{func(s *story) { s.after(3600) }, "apply prod, 1h00m: looking at hosts"},
		{func(s *story) { s.after(118) }, "apply prod, 2m05s: looking at hosts"},
	} {
		s := newStory()
		c.tell(s)
		s.after(7)
		if got := s.head(s.now); got != c.want {
			t.Errorf("it says %q, want %q", got, c.want)
		}
	}
}

// BenchmarkBoard is what a frame of 500 hosts costs, with ten events before it.
func BenchmarkBoard(b *testing.B) {
	s := manyHosts()
	for b.Loop() {
		for i := range 10 {
			s.say(event.Event{Kind: event.ResourceProgress, Host: fmt.Sprintf("worker%d", 70+i), Step: "images", Message: "x"})
		}
		s.rows(s.now, 80, 24)
	}
}
