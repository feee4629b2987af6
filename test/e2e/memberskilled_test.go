package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// memberKills is at how many points of a change of members the operator's program is killed, at least; it is not killed more than three times as often.
const memberKills = 10

// TestMembersKilled kills the operator's program at points spread over changes of which hosts a cluster is made of, each run going on where the one before was killed, until one comes to its end:
// two control planes come, two leave, the first one among them, and the one whose member leads loses its power and is replaced. A client writes all along. In the end of each change the plan is empty and
// all nodes are ready, and no write that was acknowledged is missing.
func TestMembersKilled(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "memberskilled")
	f.machines(t, "up", "--count", "6")
	o := newOperator(t, f, "")
	cluster := func(planes string) {
		o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileOf(t, planes, "m6"))
	}
	cluster("m1 m2 m3")
	o.must(t, "apply", "--yes")
	writer := o.writes(t, "m6")
	change := func(what, planes string) {
		t.Helper()
		cluster(planes)
		writer.begin()
		start := time.Now()
		kills := o.killedOverAndOver(t)
		took := time.Since(start)
		if kills < memberKills {
			t.Errorf("%s: the run was over after %d kills; want %d", what, kills, memberKills)
		}
		o.planEmpty(t)
		names := append(strings.Fields(planes), "m6")
		slices.Sort(names)
		o.eventuallyOn(t, names[0], "all nodes to be ready", kubectl+`get nodes --no-headers | awk 'BEGIN {printf "nodes: "} {printf "%s is %s; ", $1, $2}'`,
			"nodes: "+strings.Join(names, " is Ready; ")+" is Ready; ")
		t.Logf("%s: %d kills, %.0f s; API: %s", what, kills, took.Seconds(), writer.end())
	}

	change("two control planes come", "m1 m2 m3 m4 m5")
	change("the first two control planes leave", "m3 m4 m5")
	stay := []string{"m3", "m4", "m5"}
	dead := o.leader(t, stay...)
	f.machines(t, "kill", dead)
	stay = slices.DeleteFunc(stay, func(m string) bool { return m == dead })
	change("the one that leads, "+dead+", loses its power, and m1 takes its place", "m1 "+strings.Join(stay, " "))

	writer.stop()
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are missing: %s", len(lost), writer.acknowledged, strings.Join(lost, " "))
	}
	t.Logf("%d writes were acknowledged", writer.acknowledged)
}

// killedOverAndOver applies until a run comes to its end, and kills each before, further on than those before: at an event that none of them came to. It says how often.
func (o operator) killedOverAndOver(t *testing.T) int {
	t.Helper()
	var s spread
	for kills := 0; ; kills++ {
		fresh := 0
		ended := o.killedAt(t, func(v event.Event) bool {
			if s.isNew(v) {
				fresh++
			}
			return kills < 3*memberKills && s.every > 0 && fresh == s.every
		})
		if ended == nil {
			continue
		}
		if ended.code != 0 {
			t.Fatalf("after %d kills, apply exits with %d:\n%s", kills, ended.code, ended.stderr)
		}
		return kills
	}
}

// spread finds points of a change that lie apart, over several runs of it.
type spread struct {
	// every how many points something is to be killed. A step has two or more, and a kill loses those of what is in hand: so there are enough of them.
	every int
	seen  map[string]bool
	done  map[string]int // resources, by step
}

// isNew says whether an event is a point that no run came to yet. Steps begin and end, and of their resources the first, second, fourth, eighth … count: to put a host back as it was found has dozens.
func (s *spread) isNew(v event.Event) bool {
	if s.seen == nil {
		s.seen, s.done = map[string]bool{}, map[string]int{}
	}
	point := fmt.Sprint(v.Kind, "|", v.Host, "|", v.Step, "|", v.Resource)
	switch {
	case v.Kind == event.RoundStarted && s.every == 0:
		s.every = max(1, v.Total/memberKills)
		return false
	case v.Kind != event.StepStarted && v.Kind != event.ResourceDone && v.Kind != event.StepDone, s.seen[point]:
		return false
	}
	s.seen[point] = true
	if v.Kind != event.ResourceDone {
		return true
	}
	step := v.Host + "|" + v.Step
	s.done[step]++
	return s.done[step]&(s.done[step]-1) == 0
}
