package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// kills is at how many points spread over a run something is killed.
const kills = 20

// TestUnluckyApply has everything die that can, over and over, in one life of five hosts: the operator's program, agents, connections, hosts. What is said is
// true, and in the end all is as it shall be.
func TestUnluckyApply(t *testing.T) {
	f := newFixture(t, "unlucky")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "").hostsOnly(t)
	f.machines(t, "stop", "m5")

	// The operator's program dies at 20 points spread over the run, each further on than the one before. One host is dead from the start.
	killed := 0
	for ; killed < kills; killed++ {
		if !o.killedAfter(t, 4) {
			break
		}
	}
	if killed < kills {
		t.Errorf("the run was over after %d kills; want %d", killed, kills)
	}
	r := o.run(t, "apply", "--yes")
	_, left, _ := strings.Cut(r.stderr, "Error: ")
	if r.code != 1 || !strings.Contains(left, "m5 (") || !strings.Contains(left, "unreachable") || strings.Contains(left, "m4") {
		t.Errorf("with m5 dead, apply exits with %d and says:\n%s", r.code, r.stderr)
	}
	if r := o.run(t, "plan"); r.code != 1 || !strings.Contains(r.stdout, "m5 is missing: ") || strings.Contains(r.stdout, "to create") && !strings.Contains(r.stdout, "Plan: 0 to create, 0 to change, 0 to remove") {
		t.Errorf("with m5 dead, and all others done, plan exits with %d and says:\n%s", r.code, r.stdout)
	}
	f.machines(t, "start", "m5")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after kills of the operator's program")

	// Agents and connections die at 20 points each. The run mends that by itself.
	agents, connections := 0, 0
	for agents < kills || connections < kills {
		f.machines(t, "reset", "--all")
		a, c := o.disturbed(t)
		if a+c == 0 {
			t.Fatal("nothing was killed in a whole run")
		}
		agents, connections = agents+a, connections+c
		o.nothing(t, "after kills of agents and connections")
	}
	t.Logf("%d agents and %d connections were killed", agents, connections)

	// A host loses its power in the middle of a run: the others go on, and it is back with the next.
	f.machines(t, "reset", "m4", "m5")
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	if _, ok := s.until(func(v event.Event) bool {
		return v.Kind == event.ResourceStarted && v.Host == "m4" && v.Resource == "packages apt"
	}); !ok {
		t.Fatalf("m4 got no packages:\n%s", s.stderr.String())
	}
	f.machines(t, "kill", "m4")
	if code := s.end(); code != 1 || !strings.Contains(s.stderr.String(), "m4") || strings.Contains(s.stderr.String(), "m5") {
		t.Errorf("when m4 dies, apply exits with %d and says:\n%s", code, s.stderr.String())
	}
	f.machines(t, "start", "m4")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after m4 died in the middle of a run")
}

// TestUnluckyCluster has everything die that can, over and over, while a cluster is made on five hosts: the operator's program, agents, connections, hosts. What is said is
// true, and in the end all is as it shall be.
func TestUnluckyCluster(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "unlucky-cluster")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "")
	f.machines(t, "stop", "m5")

	// The operator's program dies at 20 points spread over the run, each further on than the one before. One host is dead from the start.
	killed := 0
	for ; killed < kills; killed++ {
		if !o.killedAfter(t, 12) {
			break
		}
	}
	if killed < kills {
		t.Errorf("the run was over after %d kills; want %d", killed, kills)
	}
	r := o.run(t, "apply", "--yes")
	_, left, _ := strings.Cut(r.stderr, "Error: ")
	if r.code != 1 || !strings.Contains(left, "m5 (") || !strings.Contains(left, "unreachable") || strings.Contains(left, "m4") {
		t.Errorf("with m5 dead, apply exits with %d and says:\n%s", r.code, r.stderr)
	}
	if r := o.run(t, "plan"); r.code != 1 || !strings.Contains(r.stdout, "m5 is missing: ") || strings.Contains(r.stdout, "to create") && !strings.Contains(r.stdout, "Plan: 0 to create, 0 to change, 0 to remove") {
		t.Errorf("with m5 dead, and all others done, plan exits with %d and says:\n%s", r.code, r.stdout)
	}
	f.machines(t, "start", "m5")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after kills of the operator's program")
	o.ready(t)

	// Agents and connections die at 20 points each. The run mends that by itself.
	agents, connections := 0, 0
	for agents < kills || connections < kills {
		f.machines(t, "reset", "--all")
		a, c := o.disturbed(t)
		if a+c == 0 {
			t.Fatal("nothing was killed in a whole run")
		}
		agents, connections = agents+a, connections+c
		o.nothing(t, "after kills of agents and connections")
	}
	t.Logf("%d agents and %d connections were killed", agents, connections)

	// A control plane loses its power while the cluster is made: the other two make it without it, and it is back with the next run.
	f.machines(t, "reset", "--all")
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	if _, ok := s.until(func(v event.Event) bool { return v.Kind == event.StepStarted && v.Host == "m3" && v.Step == "etcd" }); !ok {
		t.Fatalf("m3 was to carry no etcd:\n%s", s.stderr.String())
	}
	f.machines(t, "kill", "m3")
	if code := s.end(); code != 1 || !strings.Contains(s.stderr.String(), "m3") {
		t.Errorf("when m3 dies, apply exits with %d and says:\n%s", code, s.stderr.String())
	}
	o.eventually(t, "the API without m3", kubectl+"get --raw /readyz", "ok")
	f.machines(t, "start", "m3")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after m3 died while the cluster was made")
	o.ready(t)

	// A host loses its power in the middle of a run: the others go on, and it is back with the next.
	f.machines(t, "reset", "m4", "m5")
	s = o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	if _, ok := s.until(func(v event.Event) bool {
		return v.Kind == event.ResourceStarted && v.Host == "m4" && v.Resource == "packages apt"
	}); !ok {
		t.Fatalf("m4 got no packages:\n%s", s.stderr.String())
	}
	f.machines(t, "kill", "m4")
	if code := s.end(); code != 1 || !strings.Contains(s.stderr.String(), "m4") || strings.Contains(s.stderr.String(), "m5") {
		t.Errorf("when m4 dies, apply exits with %d and says:\n%s", code, s.stderr.String())
	}
	f.machines(t, "start", "m4")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after m4 died in the middle of a run")
}

// killedAfter begins an apply and kills it when some resources are done; false if it ended before.
func (o operator) killedAfter(t *testing.T, resources int) bool {
	t.Helper()
	s := o.start(t, "apply", "--yes", "--output", "json")
	v, more := s.until(func(v event.Event) bool {
		if v.Kind == event.ResourceDone {
			resources--
		}
		return resources <= 0
	})
	if !more {
		code := s.end()
		t.Logf("the run ended by itself with exit code %d", code)
		return false
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // it was killed
	t.Logf("killed at %s: %s: %s", v.Host, v.Step, v.Resource)
	return true
}

// killAgent and killConnection are commands that kill an agent, or the sshd that it was started by.
const (
	findAgent      = `p=$(pgrep -f '^/[^ ]* agent [0-9a-f]+$' | head -n 1); [ -n "$p" ] || exit 3; `
	killAgent      = findAgent + `kill -9 $p`
	killConnection = findAgent + `while [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(awk '{print $4}' /proc/$p/stat); done; kill -9 $p`
)

// disturbed runs an apply to its end while agents and connections are killed, by turns, after resources that are done: at most three times a step, since
// a step that never gets anywhere is given up.
func (o operator) disturbed(t *testing.T) (agents, connections int) {
	t.Helper()
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	start := time.Now()
	done, tries := map[string]int{}, map[string]int{}
	for {
		v, more := s.until(func(v event.Event) bool { return v.Kind == event.ResourceDone })
		if !more {
			break
		}
		step := v.Host + " " + v.Step
		if done[step]++; done[step]%4 != 2 || tries[step] == 3 {
			continue
		}
		command, n := killAgent, &agents
		if connections < agents {
			command, n = killConnection, &connections
		}
		if r := o.try(t, v.Host, command); r.ExitCode == 0 {
			*n++
			tries[step]++
		}
	}
	if code := s.end(); code != 0 {
		t.Errorf("with %d agents and %d connections killed, apply exits with %d and says:\n%s", agents, connections, code, s.stderr.String())
	}
	t.Logf("%d agents and %d connections were killed in a run of %.0f s", agents, connections, time.Since(start).Seconds())
	return agents, connections
}
