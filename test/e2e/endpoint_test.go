package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/converge"
)

// TestEndpoint builds a cluster whose API has an address that wanders between two hosts with balancers (guide C), and has happen to it what such an address is for, while a client writes by it as
// workers do: its holder loses its power, the balancer there ends, the control plane whose member of etcd leads loses its power. With -long, one is cut off and comes back, and the cluster changes to
// balancers of its workers' own, and to an address that wanders between its control planes. What the client saw is printed; no write that was acknowledged is missing.
func TestEndpoint(t *testing.T) {
	f := newFixture(t, "endpoint")
	f.machines(t, "up", "--count", "6")
	o := newOperator(t, f, "")
	m1 := o.address(t, "m1")
	address := m1[:strings.LastIndex(m1, ".")] + ".100"
	cluster := func(balancers, endpoint string) {
		o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileWith(t, map[string]string{"control-plane": "m1 m2 m3", "loadbalancer": balancers, "worker": "m6"})+endpoint)
	}
	wanders := fmt.Sprintf("endpoint: {kind: keepalived, address: %s}\n", address)
	cluster("m4 m5", wanders)
	o.must(t, "apply", "--yes")
	o.readyWith(t, 4)
	o.planEmpty(t)
	if got := o.must(t, "kubeconfig"); !strings.Contains(got, "https://"+address+":6443") {
		t.Errorf("people are not led to %s:\n%s", address, got)
	}
	writer := o.writesTo(t, "m6", "api.e2e.internal:6443")
	change := func(what string, do func()) {
		t.Helper()
		writer.begin()
		start := time.Now()
		do()
		t.Logf("%s: %.0f s; API: %s", what, time.Since(start).Seconds(), writer.end())
	}

	first := o.holder(t, "m4", "m5")
	second := map[string]string{"m4": "m5", "m5": "m4"}[first]
	change(first+", which has the address, loses its power", func() {
		f.machines(t, "kill", first)
		o.holds(t, second)
		writer.more(t, 4)
	})
	change("it comes back", func() {
		f.machines(t, "start", first)
		o.planEmpty(t)
	})
	o.holds(t, second) // it does not wander without need
	change("the balancer of "+second+" is stopped", func() {
		o.on(t, second, "systemctl stop kubewright-endpoint")
		o.holds(t, first)
		writer.more(t, 4)
	})
	change("apply starts it again", func() {
		o.must(t, "apply", "--yes")
		o.planEmpty(t)
	})
	lead := o.leader(t, "m1", "m2", "m3")
	change(lead+", whose member leads, loses its power", func() {
		f.machines(t, "kill", lead)
		writer.more(t, 20)
	})
	f.machines(t, "start", lead)
	o.readyWith(t, 4)
	if *long {
		cut := map[string]string{"m1": "m2", "m2": "m3", "m3": "m1"}[lead]
		change(cut+" is cut off from everybody", func() {
			f.machines(t, "cut", cut)
			writer.more(t, 20)
		})
		change("it is cut off no more", func() {
			f.machines(t, "heal", cut)
			o.readyWith(t, 4)
			o.planEmpty(t)
		})
		change("workers get balancers of their own", func() {
			cluster("", "")
			o.must(t, "apply", "--yes")
			o.planEmpty(t)
		})
		change("the address wanders between control planes", func() {
			cluster("", wanders)
			o.must(t, "apply", "--yes")
			o.planEmpty(t)
		})
		third := o.holder(t, "m1", "m2", "m3")
		change(third+", which has the address, loses its power", func() {
			f.machines(t, "kill", third)
			writer.more(t, 20)
		})
		change("it comes back, and all is whole", func() {
			f.machines(t, "start", third)
			o.readyWith(t, 4)
			o.must(t, "apply", "--yes")
			o.planEmpty(t)
		})
	}
	writer.stop()
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are missing: %s", len(lost), writer.acknowledged, strings.Join(lost, " "))
	}
	o.must(t, "reset", "--all", "--yes")
	for _, m := range o.names(t) {
		if got := o.on(t, m, "ip -brief address; nft list ruleset; ls /etc/kubewright 2>&1; true"); strings.Contains(got, address) || strings.Contains(got, "endpoint") {
			t.Errorf("reset left on %s:\n%s", m, got)
		}
	}
}

// holder is the machine that has the address of the endpoint, by what status says.
func (o operator) holder(t *testing.T, may ...string) string {
	t.Helper()
	var s converge.Status
	if err := json.Unmarshal([]byte(o.run(t, "status", "--output", "json").stdout), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Endpoint.Holders) != 1 || !strings.Contains(" "+strings.Join(may, " ")+" ", " "+s.Endpoint.Holders[0]+" ") {
		t.Fatalf("%q have the address; want one of %q", s.Endpoint.Holders, may)
	}
	return s.Endpoint.Holders[0]
}

// holds waits until a machine has the address of the endpoint.
func (o operator) holds(t *testing.T, machine string) {
	t.Helper()
	o.eventuallyOn(t, machine, machine+" to have the address", "ip -brief address", ".100/32")
}
