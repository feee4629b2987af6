package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// TestChaos has one thing after the other go wrong on a cluster of three control planes and two workers, for as long as -chaos says: power cuts, networks that are cut, in one direction, too, lost
// data, changes by hand, and an operator's program that is killed. After each all is healed, and an apply makes the cluster what it shall be, before the next comes; a client writes all along, by a
// worker that nothing happens to. What happened is printed. In the end no write that was acknowledged is missing, and the plan is empty.
func TestChaos(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; the same again: go test -count=1 -timeout 0 ./test/e2e -v -run TestChaos -long -chaos %s -seed %d", from, *chaos, from)
	f := newFixture(t, "chaos")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "")
	o.must(t, "apply", "--yes")
	o.ready(t)
	writer := o.writes(t, "m5")

	d := deck{random: rand.New(rand.NewPCG(from, 0)), faults: o.faults(t)}
	start, turns := time.Now(), 0
	for well := true; well && time.Since(start) < *chaos; turns++ {
		next := d.draw()
		at := time.Since(start)
		writer.begin()
		var said string
		said, well = o.befallen(t, next)
		t.Logf("history: %5.0f s: %s; API: %s", at.Seconds(), said, writer.end())
	}
	o.must(t, "apply", "--yes")
	o.ready(t)
	writer.stop()
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are missing: %s", len(lost), writer.acknowledged, strings.Join(lost, " "))
	}
	t.Logf("%d faults in %.0f s, seed %d; %d writes were acknowledged", turns, time.Since(start).Seconds(), from, writer.acknowledged)
}

// fault is something that goes wrong on one machine.
type fault struct {
	name  string
	hosts []string // that it may befall
	do    func(host string)
	heal  func(host string) // nil where that is apply's to do
}

// faults are all there are, but for kills of the operator's program. The last machine is spared: what writes does so by it.
func (o operator) faults(t *testing.T) []fault {
	planes, worker := []string{"m1", "m2", "m3"}, []string{"m4"}
	all := slices.Concat(planes, worker)
	machines := func(verb string) func(string) { return func(host string) { o.machines(t, verb, host) } }
	hand := func(command string) func(string) { return func(host string) { o.on(t, host, command) } }
	// What the switch drops in one direction only: to or from other machines, and the computer outside.
	drop := func(way, hook string) func(string) {
		return func(host string) {
			port := fmt.Sprintf("%s \"m%d\" drop", way, slices.Index(o.names(t), host))
			o.switched(t, fmt.Sprintf("table bridge chaos {\n\tchain through {\n\t\ttype filter hook forward priority filter;\n\t\t%[1]s\n\t}\n"+
				"\tchain outside {\n\t\ttype filter hook %[2]s priority filter;\n\t\t%[1]s\n\t}\n}\n", port, hook))
		}
	}
	pass := func(string) { o.switched(t, "delete table bridge chaos\n") }
	return []fault{
		{"no power", planes, machines("kill"), machines("start")},
		{"no power", worker, machines("kill"), machines("start")},
		{"cut off from everybody", all, machines("cut"), machines("heal")},
		{"nothing reaches it", all, drop("oifname", "output"), pass},
		{"nothing comes from it", all, drop("iifname", "input"), pass},
		// Moved first, at once: etcd would write again to what is being removed.
		{"the data of its member of etcd is lost", planes, hand("mv /var/lib/etcd/member /root/lost && { crictl ps -q --name '^etcd$' | xargs -r crictl stop; rm -r /root/lost; }"), nil},
		{"a kubeconfig is removed", planes, hand("rm /etc/kubernetes/scheduler.conf"), nil},
		{"a manifest is changed", planes, hand("sed -i 's/--audit-log-maxage=30/--no-such-flag=1/' /etc/kubernetes/manifests/kube-apiserver.yaml"), nil},
		{"a manifest is removed", planes, hand("rm /etc/kubernetes/manifests/kube-controller-manager.yaml"), nil},
		{"a program is removed", all, hand("rm /usr/local/bin/runc"), nil},
		{"containerd is stopped", all, hand("systemctl stop containerd"), nil},
		{"the kubelet is stopped", all, hand("systemctl stop kubelet"), nil},
		{"the balancer is stopped", worker, hand("systemctl stop kubewright-endpoint"), nil},
		{"packets are not forwarded", all, hand("sysctl -qw net.ipv4.ip_forward=0"), nil},
		{"the Deployment of CoreDNS is deleted", planes, hand(kubectl + "-n kube-system delete deployment coredns --wait=false"), nil},
		{"the ConfigMap of kube-proxy is changed", planes, hand(kubectl + `-n kube-system patch configmap kube-proxy --type merge -p '{"data":{"config.conf":"broken"}}'`), nil},
	}
}

// switched gives rules to the switch that the machines are plugged into.
func (o operator) switched(t *testing.T, rules string) {
	t.Helper()
	if r := runWith(t, rules, "nsenter", "--net="+o.network(), "nft", "-f", "-"); r.code != 0 {
		t.Fatalf("the switch does not take\n%s\n%s", rules, r.stderr)
	}
}

// turn is a fault that befalls a machine.
type turn struct {
	fault
	host  string
	lasts time.Duration
	// apply says that there is an apply before all is healed: while the fault lasts or, of what apply heals, one that is killed after some events.
	apply  bool
	events int
}

// deck gives faults in random order, each once before any comes again. What it gives depends on the seed alone, not on what became of it.
type deck struct {
	random *rand.Rand
	faults []fault
	left   []int
}

func (d *deck) draw() turn {
	if len(d.left) == 0 {
		d.left = d.random.Perm(len(d.faults))
	}
	next := turn{fault: d.faults[d.left[0]]}
	d.left = d.left[1:]
	next.host = next.hosts[d.random.IntN(len(next.hosts))]
	next.lasts = time.Duration(5+d.random.IntN(56)) * time.Second
	next.apply = d.random.IntN(2) == 0
	next.events = 1 + d.random.IntN(60)
	return next
}

// befallen has a fault befall a machine, heals it, and applies. It says what happened, and whether all is well again.
func (o operator) befallen(t *testing.T, x turn) (said string, well bool) {
	t.Helper()
	x.do(x.host)
	said = fmt.Sprintf("%s: %s, left alone for %.0f s", x.host, x.name, x.lasts.Seconds())
	time.Sleep(x.lasts) // nothing is waited for: that is how long it lasts
	start := time.Now()
	switch {
	case !x.apply:
	case x.heal == nil:
		events := x.events
		if ended := o.killedAt(t, func(event.Event) bool { events--; return events <= 0 }); ended == nil {
			said += fmt.Sprintf("; an apply killed after %d events, %.0f s", x.events, time.Since(start).Seconds())
		} else {
			said += fmt.Sprintf("; an apply that ended before %d events, with %d, %.0f s", x.events, ended.code, time.Since(start).Seconds())
		}
	default:
		r := o.run(t, "apply", "--yes")
		said += fmt.Sprintf("; apply meanwhile: exit code %d, %.0f s", r.code, time.Since(start).Seconds())
		if _, left, _ := strings.Cut(r.stderr, "Error: "); r.code != 1 || !strings.Contains(left, x.host) {
			t.Errorf("%s: %s; apply exits with %d and says:\n%s", x.host, x.name, r.code, r.stderr)
		}
	}
	if x.heal != nil {
		x.heal(x.host)
	}
	start = time.Now()
	r := o.run(t, "apply", "--yes")
	said += fmt.Sprintf("; apply: exit code %d, %.0f s", r.code, time.Since(start).Seconds())
	if r.code != 0 {
		t.Errorf("%s\n%s%s", said, r.stdout, r.stderr)
	}
	return said, r.code == 0
}
