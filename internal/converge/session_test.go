package converge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/run"
)

// calm is a fleet of a simulation to which nothing happens but what a test does.
func calm(t *testing.T, do func(f *simFleet)) {
	synctest.Test(t, func(t *testing.T) {
		f := newSimFleet(t, 5, resource.NewFile("/usr/local/slow", "x")) // a seed with three control planes
		f.faulty = false
		do(f)
		f.running.Wait()
	})
}

func (f *simFleet) operator(id string) *simOperator { return &simOperator{fleet: f, id: id} }

// with has a session with some components.
func (o *simOperator) with(components converge.Components) converge.Options {
	p := o.options(1)
	p.Components = components
	return p
}

func apply(p converge.Options) error {
	s, err := converge.Open(context.Background(), p)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Apply(context.Background(), func(*plan.Plan) error { return nil })
}

// TestRounds has a component that goes further in each round, by what hosts are by then.
func TestRounds(t *testing.T) {
	calm(t, func(f *simFleet) {
		rounds := 0
		stage := func(c *cluster.Cluster, hosts map[string]facts.Host, after func(string) []plan.Condition) ([]plan.Step, []plan.Problem) {
			rounds++
			s := plan.Step{StepID: plan.StepID{Host: "c0", Name: "stage"}, Requires: after("c0")}
			for i := range min(rounds, 4) {
				s.Resources = append(s.Resources, resource.NewFile(fmt.Sprintf("/etc/stage%d", i), "x"))
			}
			return []plan.Step{s}, nil
		}
		if err := apply(f.operator("a").with(stage)); err != nil || rounds != 5 { // four of them do something
			t.Errorf("after %d rounds: %v", rounds, err)
		}
	})
}

// TestNoProgress ends when a round comes to nothing, and says what stands in the way.
func TestNoProgress(t *testing.T) {
	calm(t, func(f *simFleet) {
		broken := func(_ *cluster.Cluster, _ map[string]facts.Host, after func(string) []plan.Condition) ([]plan.Step, []plan.Problem) {
			s := plan.Step{StepID: plan.StepID{Host: "c0", Name: "broken"}, Requires: after("c0"), Resources: []resource.Resource{resource.Sysctl{Name: "none", Value: "1"}}}
			next := plan.Step{StepID: plan.StepID{Host: "c1", Name: "next"}, Requires: []plan.Condition{plan.After(s.StepID)},
				Resources: []resource.Resource{resource.NewFile("/etc/next", "x")}}
			return []plan.Step{s, next}, []plan.Problem{{Host: "c2", Message: "its disk is old", Remedy: "Buy one", Blocks: true}}
		}
		err := apply(f.operator("a").with(broken))
		incomplete, ok := errors.AsType[*converge.IncompleteError](err)
		if !ok || len(incomplete.Result.Failed) != 1 || len(incomplete.Result.Skipped) != 1 {
			t.Fatal(err)
		}
		for _, want := range []string{"c2: its disk is old. Buy one", "c0: broken: sysctl none: this kernel has no none", "c1: next: not begun: c0 broken: c0 broken: sysctl none"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\nwant %q in it", err, want)
			}
		}
	})
}

func TestDeclined(t *testing.T) {
	calm(t, func(f *simFleet) {
		before := f.hosts["c0"].state()
		s, err := converge.Open(context.Background(), f.operator("a").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Apply(context.Background(), func(p *plan.Plan) error {
			if p.Empty() {
				t.Error("a new cluster has an empty plan")
			}
			return converge.ErrDeclined
		})
		n, _ := f.written()
		if !errors.Is(err, converge.ErrDeclined) || n > 0 || len(before) != len(f.hosts["c0"].state()) {
			t.Errorf("%v after %d writes", err, n)
		}
	})
}

// TestPlanTakesNoLock looks while another run has them.
func TestPlanTakesNoLock(t *testing.T) {
	calm(t, func(f *simFleet) {
		holder, err := converge.Open(context.Background(), f.operator("holder").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close()
		if err := holder.Lock(context.Background()); err != nil {
			t.Fatal(err)
		}
		s, err := converge.Open(context.Background(), f.operator("looks").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || p.Counts().Hosts != len(f.names) {
			t.Errorf("%+v, %v", p, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Lock(ctx); err == nil || !strings.Contains(err.Error(), "another run holds the lock of c0: somebody on somewhere") {
			t.Errorf("%v", err)
		} else if busy, ok := errors.AsType[*run.BusyError](err); !ok || busy.Holder.Run != "holder" {
			t.Errorf("%v", err)
		}
	})
}

// TestWaitingRunSeesWhatTheOtherDid looks before another run begins a new cluster, and works after it.
func TestWaitingRunSeesWhatTheOtherDid(t *testing.T) {
	calm(t, func(f *simFleet) {
		waits, err := converge.Open(context.Background(), f.operator("waits").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer waits.Close()
		if err := f.operator("first").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		n, _ := f.written()
		if err := waits.Apply(context.Background(), func(p *plan.Plan) error {
			if !p.Empty() {
				t.Errorf("it plans %+v", p.Counts())
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if m, last := f.written(); m != n {
			t.Errorf("it changed %d things, last: %s", m-n, last)
		}
	})
}

// TestLeftHost takes a host out of the file: it is remembered, and put back when that is asked for.
func TestLeftHost(t *testing.T) {
	calm(t, func(f *simFleet) {
		left := f.names[len(f.names)-1]
		before := f.hosts[left].state()
		if err := f.operator("a").apply(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		f.spec.Hosts = slices.DeleteFunc(slices.Clone(f.spec.Hosts), func(h v1alpha1.Host) bool { return h.Name == left })
		s, err := converge.Open(context.Background(), f.operator("b").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		p, err := s.Plan(context.Background())
		if err != nil || !p.Empty() || !slices.ContainsFunc(p.Problems, func(q plan.Problem) bool {
			return strings.Contains(q.Message, left+" is not in the cluster file any more")
		}) {
			t.Errorf("%+v, %v", p, err)
		}
		if !slices.Contains(s.Known(), left) {
			t.Errorf("%s is not among %q", left, s.Known())
		}
		if err := s.Reset(context.Background(), []string{"nobody"}); err == nil || !strings.Contains(err.Error(), "there is no host nobody") {
			t.Errorf("%v", err)
		}
		if err := s.Reset(context.Background(), []string{left}); err != nil {
			t.Error(err)
		}
		after := f.hosts[left].state()
		for key := range after {
			if after[key] != before[key] {
				t.Errorf("%s is %q, was %q", key, after[key], before[key])
			}
		}
		s, err = converge.Open(context.Background(), f.operator("c").options(1))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := s.Plan(context.Background()); err != nil || !p.Empty() || len(p.Problems) > 0 || slices.Contains(s.Known(), left) {
			t.Errorf("once it is reset: %+v, %v", p, err)
		}
	})
}

// TestForeignHostIsNotReset leaves alone what belongs to another cluster.
func TestForeignHostIsNotReset(t *testing.T) {
	calm(t, func(f *simFleet) {
		w := f.names[len(f.names)-1]
		foreign := `{"machine": "m", "cluster": "other", "clusterName": "theirs"}`
		f.hosts[w].must(f.hosts[w].machine.Env(nil).Files.Write(resource.IdentityPath, resource.Attributes{}, strings.NewReader(foreign)))
		err := f.operator("a").apply(context.Background(), 1)
		if err == nil || !strings.Contains(err.Error(), w+": it belongs to another cluster, theirs (other)") {
			t.Errorf("%v", err)
		}
		before := f.hosts[w].state()
		err = f.operator("b").reset(context.Background())
		if err == nil || !strings.Contains(err.Error(), w+" belongs to another cluster, theirs (other), and is left as it is") || len(before) != len(f.hosts[w].state()) {
			t.Errorf("%v", err)
		}
	})
}
