package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// kills is at how many points spread over a run something is killed.
const kills = 20

// TestUnlucky has everything die that can, over and over, while a cluster is made on five hosts, twice: the operator's program, agents, connections, a worker, a
// control plane. What is said is true, and in the end all is as it shall be.
func TestUnlucky(t *testing.T) {
	f := newFixture(t, "unlucky")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "")
	f.machines(t, "stop", "m5")

	// The operator's program dies at 20 points spread over the run, each further on than the one before. A worker is dead from the start.
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

	// Agents and connections die at 20 points each, which the run mends by itself; and a control plane loses its power while its member of etcd is made: the
	// other two make the cluster without it.
	f.machines(t, "reset", "--all")
	o.disturbed(t, "m3", "etcd")
	o.eventually(t, "the API without m3", kubectl+"get --raw /readyz", "ok")
	f.machines(t, "start", "m3")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after m3 died while the cluster was made")
	o.ready(t)
}

// killedAfter begins an apply and kills it when some resources are done; false if it ended before.
func (o operator) killedAfter(t *testing.T, resources int) bool {
	t.Helper()
	return o.killedAt(t, func(v event.Event) bool {
		if v.Kind == event.ResourceDone {
			resources--
		}
		return resources <= 0
	}) == nil
}

// killedAt begins an apply and kills it at the first event that is wanted. If it ended before, it says how.
func (o operator) killedAt(t *testing.T, wanted func(event.Event) bool) (ended *output) {
	t.Helper()
	s := o.start(t, "apply", "--yes", "--output", "json")
	v, more := s.until(wanted)
	if !more {
		code := s.end()
		t.Logf("the run ended by itself with exit code %d", code)
		return &output{stderr: s.stderr.String(), code: code}
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // it was killed
	t.Logf("killed at %s: %s: %s: %s", v.Kind, v.Host, v.Step, v.Resource)
	return nil
}

// killAgent and killConnection are commands that kill an agent, or the sshd that it was started by. What has ended in between has no parent, and is not
// looked for further.
const (
	findAgent      = `p=$(pgrep -f '^/[^ ]* agent [0-9a-f]+$' | head -n 1); [ -n "$p" ] || exit 3; `
	killAgent      = findAgent + `kill -9 $p`
	killConnection = findAgent + `while [ -n "$p" ] && [ "$(cat /proc/$p/comm)" != sshd ]; do p=$(awk '{print $4}' /proc/$p/stat); done; [ -n "$p" ] && kill -9 $p`
)

// disturbed runs an apply to its end while agents and connections are killed, by turns, after resources that are done, 20 of each: at most three times a step,
// since a step that never gets anywhere is given up. One host loses its power when a step begins there; apply says so.
func (o operator) disturbed(t *testing.T, dying, step string) {
	t.Helper()
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	start := time.Now()
	agents, connections, dead := 0, 0, false
	done, tries := map[string]int{}, map[string]int{}
	for {
		v, more := s.until(func(v event.Event) bool {
			return v.Kind == event.ResourceDone || v.Kind == event.StepStarted && v.Host == dying && v.Step == step
		})
		if !more {
			break
		}
		if v.Kind == event.StepStarted {
			if !dead {
				o.machines(t, "kill", dying)
				dead = true
			}
			continue
		}
		where := v.Host + " " + v.Step
		if done[where]++; done[where]%3 != 2 || tries[where] == 3 || v.Host == dying && dead {
			continue
		}
		command, n := killAgent, &agents
		if connections < agents {
			command, n = killConnection, &connections
		}
		if r := o.try(t, v.Host, command); r.ExitCode == 0 {
			*n++
			tries[where]++
		}
	}
	code := s.end()
	t.Logf("%d agents and %d connections were killed in a run of %.0f s", agents, connections, time.Since(start).Seconds())
	if agents < kills || connections < kills {
		t.Errorf("%d agents and %d connections were killed; want %d of each", agents, connections, kills)
	}
	if !dead {
		t.Fatalf("%s never came to %s:\n%s", dying, step, s.stderr.String())
	}
	_, left, _ := strings.Cut(s.stderr.String(), "Error: ")
	if code != 1 || !strings.Contains(left, dying+" (") {
		t.Errorf("with agents and connections killed and %s dead, apply exits with %d and says:\n%s", dying, code, s.stderr.String())
	}
	for _, m := range o.names(t) {
		if m != dying && strings.Contains(left, "  "+m+" (") {
			t.Errorf("%s is said not to be well, though it lives:\n%s", m, left)
		}
	}
}
