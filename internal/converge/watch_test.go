package converge_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
)

// silent are the hosts that do not answer, by a status.
func silent(s converge.Status) []string {
	var names []string
	for _, f := range s.Findings {
		if f.Host != "" && (strings.HasPrefix(f.Message, "the host does not answer") || strings.HasPrefix(f.Message, "the host answers no more")) {
			names = append(names, f.Host)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestWatch looks again and again while hosts come, go and come back.
func TestWatch(t *testing.T) {
	const every = 4 * time.Second // dialling a dead host takes 10
	calm(t, func(f *simFleet) {
		if err := apply(f.operator("a").options(1)); err != nil {
			t.Fatal(err)
		}
		f.hosts["c1"].die()
		states := f.states()
		var h listener
		s := h.open(t, f.operator("b"))
		before := f.hosts["w3"].connections
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var shown [][]string // who was silent at each look
		begun, last := 0, time.Now()
		err := s.Watch(ctx, every, func() { begun++ }, func(status converge.Status) error {
			shown = append(shown, silent(status))
			if took := time.Since(last); took > every+time.Second {
				t.Errorf("look %d came %s after the one before", len(shown), took)
			}
			last = time.Now()
			switch len(shown) {
			case 3:
				f.hosts["c1"].rise(false) // who dials by now finds it dead
			case 5:
				time.AfterFunc(time.Second, f.killAgents)
			case 7:
				time.AfterFunc(time.Second, f.hosts["c2"].die)
			case 8:
				f.hosts["c2"].rise(false)
			case 9:
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || begun != len(shown) {
			t.Errorf("after %d looks, of which %d had begun: %v", len(shown), begun, err)
		}
		c1, c2, all := []string{"c1"}, []string{"c2"}, []string{"c0", "c1", "c2"}
		if want := [][]string{c1, c1, c1, c1, nil, all, nil, c2, nil}; !slices.EqualFunc(shown, want, slices.Equal) {
			t.Errorf("these did not answer: %q, want %q", shown, want)
		}
		if f.hosts["w3"].connections != before {
			t.Errorf("a host that answered all along was connected to %d times", f.hosts["w3"].connections-before+1)
		}
		if n := h.count(event.HostFailed, "c1"); n != 1 {
			t.Errorf("it was told %d times that c1 does not answer", n)
		}
		if n := h.count(event.HostLost, "c2"); n != 2 {
			t.Errorf("it was told %d times that c2 was lost", n)
		}
		s.Close()
		for name, is := range f.states() {
			if name[0] == 'w' && !maps.Equal(is, states[name]) {
				t.Errorf("%s is not as it was", name)
			}
		}
	})
}

// TestWatchEndsWithItsContext also while hosts are being connected to.
func TestWatchEndsWithItsContext(t *testing.T) {
	calm(t, func(f *simFleet) {
		f.hosts["c1"].die()
		var h listener
		s := h.open(t, f.operator("a"))
		defer s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Watch(ctx, time.Hour, func() {}, func(converge.Status) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		broken := errors.New("nobody reads")
		if err := s.Watch(context.Background(), time.Hour, func() {}, func(converge.Status) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}
