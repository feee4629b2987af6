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

// mode has control planes serve time.
const mode = "timeSync: {mode: chrony}\n"

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
		{"alone", mode, map[string]facts.Host{"cp": server, "w": rpm}},
		{"servers-outside", "timeSync: {servers: [ntp.example.com, 10.9.9.9]}\n", map[string]facts.Host{"w": server}},
		{"server-hosts", "timeSync: {servers: [ntp.example.com], serverHosts: [\"w[1-2]\"]}\n", map[string]facts.Host{"cp1": server, "w": server}},
		{"containers", mode, map[string]facts.Host{"cp": container, "w": container}},
		{"some-containers", mode, map[string]facts.Host{"cp": container, "w": server}},
		{"leave", "", map[string]facts.Host{"cp": server, "w": container}},
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
	before, after := steps(mode), steps("- {name: w3, address: 10.0.0.23, roles: [worker]}\n"+mode)
	if len(after) != 6 || !reflect.DeepEqual(before, after[:5]) {
		t.Errorf("before:\n%s\nafter:\n%s", plantest.Render(t, before, nil), plantest.Render(t, after, nil))
	}
}

func TestClocks(t *testing.T) {
	const outside = "timeSync: {servers: [10.9.9.9]}\n"
	const worker = "timeSync: {mode: chrony, serverHosts: [w1]}\n" // cp1 follows it
	unkept, installed := server, server
	unkept.Clocks, installed.Chrony = nil, true
	for _, c := range []struct {
		name           string
		more           string
		cp1            facts.Host
		offset, answer time.Duration
		others         time.Duration // offset of the other hosts
		w1             time.Duration // and of w1, if it is another
		lacks          bool          // the bundle has no packages for the hosts
		blocks         bool
		says           string // of cp1, or of the cluster; empty if there is no problem
	}{
		{name: "right", more: mode, cp1: server, offset: time.Second},
		{name: "not certainly off", more: mode, cp1: server, offset: 3 * time.Second, answer: 2 * time.Second},
		{name: "serves", more: mode, cp1: server, offset: 3 * time.Second, blocks: true, says: "its clock is 3s ahead of this computer's, and it would serve time"},
		{name: "slow answer", more: mode, cp1: server, offset: 3 * time.Second, answer: time.Second, blocks: true, says: "it would serve time"},
		{name: "behind", more: mode, cp1: server, offset: -time.Hour, blocks: true, says: "its clock is 1h0m0s behind this computer's, and it would serve time"},
		{name: "servers outside", more: outside, cp1: server, offset: -time.Hour, says: "its clock is 1h0m0s behind this computer's; chrony will set it"},
		{name: "follows", more: worker, cp1: server, offset: time.Hour, says: "its clock is 1h0m0s ahead of this computer's; chrony will set it"},
		{name: "follows one that is wrong", more: worker, cp1: server, offset: time.Hour, w1: time.Minute, blocks: true, says: "no host that serves time is known to be right"},
		{name: "left", cp1: server, offset: 3 * time.Second, blocks: true, says: "timeSync leaves it alone"},
		{name: "left and right", cp1: server},
		{name: "left in a container", cp1: container},
		{name: "left to nobody", cp1: unkept, says: "nothing keeps its clock"},
		{name: "kept from now on", more: outside, cp1: unkept},
		{name: "container", more: mode, cp1: container, says: "its clock belongs to the computer that it runs on"},
		{name: "container, off", more: mode, cp1: container, offset: -3 * time.Second, blocks: true, says: "3s behind this computer's, and may not be set from inside"},
		{name: "container, servers outside", more: outside, cp1: container, says: "its clock belongs to the computer"},
		{name: "ours is off", more: mode, cp1: server, offset: 61 * time.Second, others: time.Minute, says: "the clocks of all hosts agree, and are 1m0s ahead of this computer's"},
		{name: "ours is off, left", cp1: server, offset: 61 * time.Second, others: time.Minute, says: "the clocks of all hosts agree"},
		{name: "all differ", cp1: server, offset: -time.Minute, others: time.Minute, blocks: true, says: "timeSync leaves it alone"},
		{name: "no chrony", more: outside, cp1: server, lacks: true, blocks: true, says: "it shall have chrony, which is not there"},
		{name: "no chrony, which is not wanted", cp1: server, lacks: true},
		{name: "chrony by its own means", more: outside, cp1: installed, lacks: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := load(t, c.more)
			c.cp1.ClockOffset, c.cp1.ClockError = c.offset, c.answer
			other := server
			other.ClockOffset = c.others
			w1 := other
			w1.ClockOffset += c.w1
			in := Input{Cluster: model, Hosts: fleet(model, map[string]facts.Host{"cp1": c.cp1, "cp": other, "w1": w1, "w": other})}
			if c.lacks {
				in.Provided = func(string) bool { return false }
			}
			_, problems := Steps(in)
			var of []plan.Problem
			for _, p := range problems {
				if p.Host == "cp1" || p.Host == "" {
					of = append(of, p)
				}
			}
			kind := plan.KindClock
			if c.lacks {
				kind = "" // of packages
			}
			switch {
			case c.says == "" && len(of) > 0:
				t.Errorf("problems are %v; want none", of)
			case c.says != "" && len(of) == 1 && of[0].Kind != kind:
				t.Errorf("%q is of the kind %q; want %q", of[0].Message, of[0].Kind, kind)
			case c.says != "" && (len(of) != 1 || of[0].Blocks != c.blocks || !strings.Contains(of[0].Message, c.says)):
				t.Errorf("problems are %+v; want one that says %q, blocking: %t", of, c.says, c.blocks)
			}
		})
	}
}
