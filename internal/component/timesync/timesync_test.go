package timesync

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/plan/plantest"
)

const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
`

func load(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file+more))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster.Cluster{Cluster: spec}
}

var (
	server    = facts.Host{SetClock: true, Packages: "apt", Clocks: []string{"systemd-timesyncd.service"}}
	rpm       = facts.Host{SetClock: true, Packages: "dnf"}
	container = facts.Host{Packages: "apt"}
)

// fleet is what hosts are like, by the beginning of their names.
func fleet(c *cluster.Cluster, byRole map[string]facts.Host) map[string]facts.Host {
	hosts := map[string]facts.Host{}
	for _, h := range c.Hosts {
		if f, ok := byRole[h.Name]; ok {
			hosts[h.Name] = f
		} else if f, ok := byRole[strings.TrimRight(h.Name, "0123456789")]; ok {
			hosts[h.Name] = f
		}
	}
	return hosts
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		more  string
		hosts map[string]facts.Host
	}{
		{"alone", "", map[string]facts.Host{"cp": server, "w": rpm}},
		{"servers-outside", "timeSync: {servers: [ntp.example.com, 10.9.9.9]}\n", map[string]facts.Host{"w": server}},
		{"server-hosts", "timeSync: {servers: [ntp.example.com], serverHosts: [\"w[1-2]\"]}\n", map[string]facts.Host{"cp1": server, "w": server}},
		{"containers", "", map[string]facts.Host{"cp": container, "w": container}},
		{"some-containers", "", map[string]facts.Host{"cp": container, "w": server}},
		{"leave", "timeSync: {mode: leave}\n", map[string]facts.Host{"cp": server, "w": container}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.more)
			in := Input{Cluster: model, Hosts: fleet(model, c.hosts), After: func(host string) []plan.Condition { return []plan.Condition{{Name: host + " is prepared"}} }}
			steps, problems := Steps(in)
			if err := plan.Check(steps, nil); err != nil {
				t.Error(err)
			}
			plantest.Golden(t, c.name, steps, problems)
			for _, h := range model.Hosts {
				runs := false
				for _, s := range steps {
					runs = runs || s.Host == h.Name
				}
				if got := len(Packages(in)(h.Name)) > 0; got != runs {
					t.Errorf("%s has a step: %t; it has packages: %t", h.Name, runs, got)
				}
			}
		})
	}
}

func TestOneMoreWorkerTouchesNoOther(t *testing.T) {
	steps := func(more string) []plan.Step {
		c := load(t, more)
		s, _ := Steps(Input{Cluster: c, Hosts: fleet(c, map[string]facts.Host{"cp": server, "w": server})})
		return s
	}
	before, after := steps(""), steps("- {name: w3, address: 10.0.0.23, roles: [worker]}\n")
	if len(after) != 6 || !reflect.DeepEqual(before, after[:5]) {
		t.Errorf("before:\n%s\nafter:\n%s", plantest.Render(t, before, nil), plantest.Render(t, after, nil))
	}
}

func TestClocks(t *testing.T) {
	const leave = "timeSync: {mode: leave}\n"
	const outside = "timeSync: {servers: [10.9.9.9]}\n"
	for _, c := range []struct {
		name           string
		more           string
		cp1            facts.Host
		offset, answer time.Duration
		others         time.Duration // offset of the other hosts
		blocks         bool
		says           string // of cp1, or of the cluster; empty if there is no problem
	}{
		{name: "right", cp1: server, offset: time.Second},
		{name: "not certainly off", cp1: server, offset: 3 * time.Second, answer: 2 * time.Second},
		{name: "cured", cp1: server, offset: 3 * time.Second, says: "its clock is 3s ahead of this computer's; chrony will set it"},
		{name: "slow answer", cp1: server, offset: 3 * time.Second, answer: time.Second, says: "chrony will set it"},
		{name: "behind", cp1: server, offset: -time.Hour, says: "its clock is 1h0m0s behind this computer's; chrony will set it"},
		{name: "left", more: leave, cp1: server, offset: 3 * time.Second, blocks: true, says: "timeSync leaves it alone"},
		{name: "left and right", more: leave, cp1: server},
		{name: "left in a container", more: leave, cp1: container},
		{name: "container", cp1: container, says: "its clock belongs to the computer that it runs on"},
		{name: "container, off", cp1: container, offset: -3 * time.Second, blocks: true, says: "3s behind this computer's, and may not be set from inside"},
		{name: "container, servers outside", more: outside, cp1: container, says: "its clock belongs to the computer"},
		{name: "ours is off", cp1: server, offset: 61 * time.Second, others: time.Minute, says: "the clocks of all hosts agree, and are 1m0s ahead of this computer's"},
		{name: "ours is off, left", more: leave, cp1: server, offset: 61 * time.Second, others: time.Minute, says: "the clocks of all hosts agree"},
		{name: "all differ", more: leave, cp1: server, offset: -time.Minute, others: time.Minute, blocks: true, says: "timeSync leaves it alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.more)
			c.cp1.ClockOffset, c.cp1.ClockError = c.offset, c.answer
			other := server
			other.ClockOffset = c.others
			_, problems := Steps(Input{Cluster: model, Hosts: fleet(model, map[string]facts.Host{"cp1": c.cp1, "cp": other, "w": other})})
			var of []plan.Problem
			for _, p := range problems {
				if p.Host == "cp1" || p.Host == "" {
					of = append(of, p)
				}
			}
			switch {
			case c.says == "" && len(of) > 0:
				t.Errorf("problems are %v; want none", of)
			case c.says != "" && (len(of) != 1 || of[0].Blocks != c.blocks || !strings.Contains(of[0].Message, c.says)):
				t.Errorf("problems are %+v; want one that says %q, blocking: %t", of, c.says, c.blocks)
			}
		})
	}
}
