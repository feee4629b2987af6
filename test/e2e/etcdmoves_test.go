package e2e

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEtcdMoves changes where a cluster that lives has its etcd, while a client writes to its API by a worker's balancer: certificates get another name; events get an etcd of their own, and lose it again; members move from control
// planes to other hosts; two of three of those are lost for good, and the cluster is recovered from the third; members move back. No write that was acknowledged is missing, and the plan is empty after
// each.
func TestEtcdMoves(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "moves")
	f.machines(t, "up", "--count", "6")
	o := newOperator(t, f, "")
	cluster := func(roles map[string]string, more string) {
		t.Helper()
		o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileWith(t, roles)+more)
	}
	const events = "etcd: {events: {hosts: [m1, m2, m3]}}\n"
	stacked := map[string]string{"control-plane": "m1 m2 m3", "worker": "m6"}
	apart := map[string]string{"control-plane": "m1 m2", "control-plane, etcd": "m3", "etcd": "m4 m5", "worker": "m6"}
	cluster(stacked, "")
	o.must(t, "apply", "--yes")
	writer := o.writes(t, "m6")
	change := func(what string) {
		t.Helper()
		writer.begin()
		start := time.Now()
		o.must(t, "apply", "--yes")
		took := time.Since(start)
		t.Logf("%s: %.0f s; API: %s", what, took.Seconds(), writer.end())
		if _, failed := writer.counts(); failed > 0 {
			t.Errorf("%s: %d requests failed", what, failed)
		}
		o.planEmpty(t)
		if lost := writer.missing(t); len(lost) > 0 {
			t.Errorf("%s: %d of %d acknowledged writes are missing: %s", what, len(lost), writer.acknowledged, strings.Join(lost, " "))
		}
	}

	before := o.runs(t, "m1", "kube-apiserver")
	cluster(stacked, "apiServer: {extraSANs: [api.example.org]}\n")
	change("certificates get another name")
	if now := o.runs(t, "m1", "kube-apiserver"); now != before {
		t.Error("the API server of m1 was restarted for a name in its certificate")
	}
	conn, err := tls.Dial("tcp", o.tunnel(t, "m1", o.address(t, "m1")+":6443"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if names := conn.ConnectionState().PeerCertificates[0].DNSNames; !slices.Contains(names, "api.example.org") {
		t.Errorf("the API server of m1 shows a certificate for %q", names)
	}
	_ = conn.Close()
	cluster(stacked, events)
	change("events get an etcd of their own")
	o.event(t, "apart")
	if o.stored(t, "m1", "etcd", "/registry/events/default/apart") || !o.stored(t, "m1", "etcd-events", "/registry/events/default/apart") {
		t.Error("a new event is in the main etcd, or not in the one for events")
	}
	cluster(stacked, "")
	change("events are back in the main etcd")
	o.event(t, "back")
	if !o.stored(t, "m1", "etcd", "/registry/events/default/back") {
		t.Error("a new event is not in the main etcd")
	}
	if got := o.on(t, "m1", "ls -d /var/lib/etcd-events /etc/kubernetes/manifests/etcd-events.yaml 2>/dev/null; true"); got != "" {
		t.Errorf("of the etcd for events there is still: %s", got)
	}

	cluster(apart, "")
	change("members move to hosts of their own")
	if got := o.members(t, "m3"); !slices.Equal(got, []string{"m3", "m4", "m5"}) {
		t.Errorf("the members are %q", got)
	}
	if got := o.on(t, "m1", "ls -d /var/lib/etcd/member /etc/kubernetes/manifests/etcd.yaml 2>/dev/null; true"); got != "" {
		t.Errorf("m1 has still: %s", got)
	}

	// Two of three members are lost with their disks.
	writer.begin()
	for _, m := range []string{"m4", "m5"} {
		f.machines(t, "kill", m)
	}
	if said := o.run(t, "status"); said.code == 0 || !strings.Contains(said.stdout, "whether there is a quorum is not known: 0 of 3 members are well") || !strings.Contains(said.stdout, "etcd recover --from HOST") {
		t.Errorf("without a quorum, status exits with %d and says:\n%s", said.code, said.stdout)
	}
	o.must(t, "etcd", "recover", "--from", "m3", "--yes", "--cluster", "e2e")
	for _, m := range []string{"m4", "m5"} {
		f.machines(t, "start", m)
		f.machines(t, "reset", m)
	}
	o.trusts(t)
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	t.Logf("two of three members are lost, and the cluster is recovered from the third: API: %s", writer.end())
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("after the recovery, %d of %d acknowledged writes are missing: %s", len(lost), writer.acknowledged, strings.Join(lost, " "))
	}

	cluster(stacked, "")
	change("members move back to control planes")
	if got := o.members(t, "m1"); !slices.Equal(got, []string{"m1", "m2", "m3"}) {
		t.Errorf("the members are %q", got)
	}
	if got := o.must(t, "status"); !strings.Contains(got, "Nothing is wrong") {
		t.Errorf("status says:\n%s", got)
	}
}

// runs is which container of a static Pod runs.
func (o operator) runs(t *testing.T, machine, pod string) string {
	t.Helper()
	return o.on(t, machine, "crictl ps -q --no-trunc --name '^"+pod+"$'")
}

// etcdctl is what it says on a machine, in a member of the etcd of a name.
func (o operator) etcdctl(t *testing.T, machine, etcd, args string) string {
	t.Helper()
	port, client := "2379", "healthcheck-client"
	if etcd == "etcd-events" {
		port, client = "2382", "events-healthcheck-client"
	}
	const dir = "/etc/kubernetes/pki/etcd/"
	return o.on(t, machine, fmt.Sprintf("crictl exec $(crictl ps -q --name '^%s$') etcdctl --endpoints=https://127.0.0.1:%s --cacert=%sca.crt --cert=%[3]s%[4]s.crt --key=%[3]s%[4]s.key %[5]s", etcd, port, dir, client, args))
}

// event makes an event of a name.
func (o operator) event(t *testing.T, name string) {
	t.Helper()
	o.on(t, "m1", "cat <<'END' | "+kubectl+"create -f -\n{apiVersion: v1, kind: Event, metadata: {name: "+name+", namespace: default}, involvedObject: {kind: Namespace, name: default, namespace: default}, reason: Tried, type: Normal}\nEND")
}

// stored says whether an etcd has something of a name.
func (o operator) stored(t *testing.T, machine, etcd, name string) bool {
	t.Helper()
	return strings.Contains(o.etcdctl(t, machine, etcd, "get --keys-only "+name), name)
}

// members are the names of those of the main etcd, sorted, by what the one on a machine knows.
func (o operator) members(t *testing.T, machine string) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(o.etcdctl(t, machine, "etcd", "member list")) {
		if fields := strings.Split(line, ", "); len(fields) > 2 {
			names = append(names, fields[2])
		}
	}
	slices.Sort(names)
	return names
}
