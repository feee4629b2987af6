package run_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/run"
)

// lockable is a host whose lock can be taken.
type lockable struct {
	name  string
	asked *[]string // names, in the order in which they were asked
	err   error

	mu     sync.Mutex
	holder string // the run that has it
}

// held is the run that has it.
func (l *lockable) held() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

func (l *lockable) set(run string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = run
}

func (l *lockable) Lock(_ context.Context, h agent.Holder) (*agent.Holder, error) {
	*l.asked = append(*l.asked, l.name)
	if l.err != nil {
		return nil, l.err
	}
	if run := l.held(); run != "" && run != h.Run {
		return &agent.Holder{Run: run, Who: "anna", From: "desk", Doing: "apply prod"}, nil
	}
	l.set(h.Run)
	return nil, nil
}

func (l *lockable) Unlock(context.Context) error {
	*l.asked = append(*l.asked, "-"+l.name)
	l.set("")
	return nil
}

func TestLock(t *testing.T) {
	lost, broken := &agent.LostError{Host: "b", Err: errors.New("cut")}, errors.New("/run is read-only")
	for _, c := range []struct {
		name    string
		holders []string // of a, b and c before; "gone" does not answer
		err     error    // of b
		want    string
		asked   string
		waits   bool
	}{
		{name: "free", holders: []string{"", "", ""}, asked: "a b c"},
		{name: "one does not answer", holders: []string{"gone", "", ""}, asked: "b c"},
		{name: "one is lost", holders: []string{"", "", ""}, err: lost, asked: "a b c"},
		{name: "two do not answer", holders: []string{"gone", "", "gone"}, asked: "b -b",
			want: "the locks of most of the 3 control-plane and etcd hosts are needed, so that no two runs change the cluster at once, but only 1 could be had: a does not answer\nc does not answer"},
		{name: "one cannot be locked", holders: []string{"", "", ""}, err: broken, asked: "a b -a", want: "/run is read-only"},
		{name: "busy", holders: []string{"", "", "other"}, waits: true, asked: "a b c -a -b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				var keepers []run.Keeper
				hosts := map[string]*lockable{}
				for i, name := range []string{"a", "b", "c"} {
					k := run.Keeper{Name: name}
					if c.holders[i] != "gone" {
						hosts[name] = &lockable{name: name, asked: &asked, holder: c.holders[i]}
						k.Host = hosts[name]
					}
					keepers = append(keepers, k)
				}
				if c.err != nil {
					hosts["b"].err = c.err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				var waits []string
				err := run.Lock(ctx, keepers, agent.Holder{Run: "mine"}, func(busy *run.BusyError) { waits = append(waits, busy.Error()) })
				if c.waits {
					busy, ok := errors.AsType[*run.BusyError](err)
					if !ok || !errors.Is(err, context.DeadlineExceeded) || busy.Host != "c" || busy.Holder.Run != "other" {
						t.Errorf("%v", err)
					}
					if len(waits) != 1 || !strings.Contains(waits[0], "another run holds the lock of c: anna on desk") {
						t.Errorf("it is said that it waits: %q", waits)
					}
					if hosts["a"].holder != "" || hosts["b"].holder != "" {
						t.Error("while it waits, it keeps others from getting theirs")
					}
					asked = asked[:min(len(asked), 5)] // and so on
				} else if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
					t.Errorf("%v, want %q", err, c.want)
				}
				if got := strings.Join(asked, " "); got != c.asked {
					t.Errorf("it asks %q, want %q", got, c.asked)
				}
			})
		})
	}
}

// TestLockIsHadWhenTheOtherRunEnds waits, and goes on.
func TestLockIsHadWhenTheOtherRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		a := &lockable{name: "a", asked: &asked, holder: "other"}
		start := time.Now()
		time.AfterFunc(3500*time.Millisecond, func() { a.set("") })
		err := run.Lock(t.Context(), []run.Keeper{{Name: "a", Host: a}}, agent.Holder{Run: "mine"}, func(*run.BusyError) {})
		if err != nil || a.held() != "mine" || time.Since(start) != 4*time.Second {
			t.Errorf("after %v: %v, held by %q", time.Since(start), err, a.held())
		}
	})
}
