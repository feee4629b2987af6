package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
)

// TestMembersComeAndGo changes which hosts a cluster of three control planes and two workers is made of, while a client writes to its API by a worker's balancer and another asks a Service of
// two replicas: a flag of API servers changes; the first control plane leaves and another comes, in one go; the one whose member leads loses its power and is replaced; the data of a member is lost; a worker loses its power. What the clients
// saw is printed. No write that was acknowledged is missing, and the plan is empty at the end. With -long, there are five control planes for a while, two hosts change roles, and in the end most
// members are lost for good and the cluster is recovered from the one that is left.
func TestMembersComeAndGo(t *testing.T) {
	f := newFixture(t, "members")
	f.machines(t, "up", "--count", "6")
	o := newOperator(t, f, "")
	flags := ""
	cluster := func(planes, workers string) {
		o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileOf(t, planes, workers)+flags)
	}
	cluster("m1 m2 m3", "m4 m5")
	o.must(t, "apply", "--yes")
	o.served(t, "m1")
	writer, asker := o.writes(t, "m4"), o.asks(t, "m4")
	change := func(what string, do func()) {
		t.Helper()
		writer.begin()
		asker.begin()
		start := time.Now()
		do()
		t.Logf("%s: %.0f s; API: %s; Service: %s", what, time.Since(start).Seconds(), writer.end(), asker.end())
	}
	apply := func() string { t.Helper(); return o.must(t, "apply", "--yes") }
	change("a flag of the API servers changes", func() {
		flags = "apiServer: {extraArgs: {event-ttl: 2h}}\n"
		cluster("m1 m2 m3", "m4 m5")
		o.oneAfterTheOther(t, "control plane", 3)
	})
	if _, failed := writer.counts(); failed > 0 {
		t.Errorf("%d requests failed while API servers were restarted one after the other", failed)
	}
	kube := func(on, args string) string { t.Helper(); return o.on(t, on, kubectl+args) }

	// All machines share the processors of this computer: what an API server does meanwhile that nothing happens to is what could be had at all.
	untouched := o.writesTo(t, "m3", o.address(t, "m3")+":6443")
	change("the first control plane leaves, another comes", func() {
		cluster("m2 m3 m6", "m4 m5")
		untouched.begin()
		if said := apply(); !strings.Contains(said, "m1: left the cluster file: its Pods move away, and it is put back as it was found") {
			t.Errorf("apply says nothing of m1:\n%s", said)
		}
		o.planEmpty(t)
		t.Logf("an API server that nothing happens to, asked directly: %s", untouched.end())
	})
	untouched.stop()
	if got := o.on(t, "m1", "ls /etc/kubernetes /var/lib/etcd /var/lib/kubewright 2>&1; systemctl is-active kubelet containerd; true"); strings.Contains(got, "manifests") || strings.Contains(got, "\nactive") {
		t.Errorf("m1 has still: %s", got)
	}
	if nodes := kube("m2", "get nodes -o name"); strings.Contains(nodes, "m1") || !strings.Contains(nodes, "m6") {
		t.Errorf("the nodes are %s", nodes)
	}

	var dead, spare = o.leader(t, "m2", "m3", "m6"), "m1"
	stay := slices.DeleteFunc([]string{"m2", "m3", "m6"}, func(m string) bool { return m == dead })
	change("the one that leads, "+dead+", loses its power, and "+spare+" takes its place", func() {
		f.machines(t, "kill", dead)
		cluster(strings.Join(append(slices.Clone(stay), spare), " "), "m4 m5")
		if said := apply(); !strings.Contains(said, dead+": left the cluster file and does not answer") {
			t.Errorf("apply says nothing of %s:\n%s", dead, said)
		}
		o.planEmpty(t)
	})
	// It comes back, and belongs to no cluster: nobody hears of it.
	f.machines(t, "start", dead)
	o.planEmpty(t)
	if nodes := kube(stay[0], "get nodes -o name"); strings.Contains(nodes, dead) {
		t.Errorf("%s is a node again: %s", dead, nodes)
	}
	o.must(t, "reset", dead, "--yes")

	fresh := stay[0]
	// Its data is gone, and the member is begun again and again with nothing: no second cluster comes of it, but another member of the one that lives.
	was, before := o.member(t, fresh)
	change("the data of the member on "+fresh+" is lost", func() {
		o.on(t, fresh, "mv /var/lib/etcd/member /root/member && crictl stop $(crictl ps -q --name '^etcd$')")
		apply()
		o.planEmpty(t)
	})
	if is, now := o.member(t, fresh); is != was || now == before {
		t.Errorf("the member on %s is %s of the cluster %s; it was %s of %s", fresh, now, is, before, was)
	}
	o.on(t, fresh, "rm -r /root/member")
	planes := append(slices.Clone(stay), spare)
	o.remembered(t, spare)
	change("a worker loses its power and leaves", func() {
		f.machines(t, "kill", "m5")
		cluster(strings.Join(planes, " "), "m4")
		apply()
		o.planEmpty(t)
	})
	// It comes back, too. Its credentials are good, and it reaches the API by its balancer; it is no node all the same.
	f.machines(t, "start", "m5")
	o.eventuallyOn(t, "m5", "the kubelet of m5 to be told that it left", "journalctl -u kubelet --since -10min --no-pager | grep -m1 'this host left the cluster'", "left the cluster")
	if nodes := kube(stay[0], "get nodes -o name"); strings.Contains(nodes, "m5") {
		t.Errorf("m5 is a node again: %s", nodes)
	}
	o.must(t, "reset", "m5", "--yes")
	cluster(strings.Join(planes, " "), "m4 m5")
	o.costsOthers(t, "m5", planes)
	cluster(strings.Join(planes, " "), "m4")
	if *long {
		change(fresh+" comes back with an empty disk", func() {
			f.machines(t, "reset", fresh)
			o.trusts(t)
			apply()
			o.planEmpty(t)
		})
		change("three become five", func() {
			f.machines(t, "up", "--count", "7")
			cluster(strings.Join(append(slices.Clone(planes), dead, "m7"), " "), "m4 m5")
			o.trusts(t)
			apply()
			o.planEmpty(t)
		})
		change("five become three", func() {
			cluster(strings.Join(planes, " "), "m4 m5")
			apply()
			o.planEmpty(t)
		})
		change("a control plane and a worker change roles", func() {
			swapped := append(slices.Clone(planes[:2]), "m5")
			cluster(strings.Join(swapped, " "), "m4 "+planes[2])
			planes = swapped
			apply()
			o.planEmpty(t)
		})
	}
	writer.stop()
	asker.stop()
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are missing: %s", len(lost), writer.acknowledged, strings.Join(lost, " "))
	}
	t.Logf("%d writes were acknowledged, and all are there", writer.acknowledged)
	if !*long {
		return
	}

	// Two of three members are lost with their disks: the third has all there was.
	for _, m := range planes[1:] {
		f.machines(t, "kill", m)
	}
	if said := o.run(t, "status"); !strings.Contains(said.stdout, "has no leader, so it is not with a quorum") {
		t.Errorf("without a quorum, status says:\n%s", said.stdout)
	}
	o.must(t, "etcd", "recover", "--from", planes[0], "--yes", "--cluster", "e2e")
	for _, m := range planes[1:] {
		f.machines(t, "start", m)
		f.machines(t, "reset", m)
	}
	o.trusts(t)
	apply()
	o.planEmpty(t)
	if lost := writer.missing(t); len(lost) > 0 {
		t.Errorf("after the recovery, %d of %d acknowledged writes are missing", len(lost), writer.acknowledged)
	}
}

// oneAfterTheOther applies, and looks that a step is done on so many hosts, and on none while it is being done on another.
func (o operator) oneAfterTheOther(t *testing.T, step string, hosts int) {
	t.Helper()
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	done, at := []string{}, ""
	for {
		v, more := s.until(func(v event.Event) bool {
			return v.Step == step && (v.Kind == event.StepStarted || v.Kind == event.StepDone)
		})
		if !more {
			break
		}
		switch v.Kind {
		case event.StepStarted:
			if at != "" {
				t.Errorf("%s begins on %s while it is being done on %s", step, v.Host, at)
			}
			at = v.Host
		case event.StepDone:
			done, at = append(done, v.Host), ""
		}
	}
	if code := s.end(); code != 0 {
		t.Fatalf("apply exits with %d:\n%s", code, s.stderr.String())
	}
	if len(done) != hosts {
		t.Errorf("%s was done on %q; want %d hosts", step, done, hosts)
	}
}

// costsOthers prints what a new host changes on the others, by the plan: a few things on control planes, and nothing elsewhere.
func (o operator) costsOthers(t *testing.T, newcomer string, planes []string) {
	t.Helper()
	var p plan.Plan
	if err := json.Unmarshal([]byte(o.must(t, "plan", "--output", "json")), &p); err != nil {
		t.Fatal(err)
	}
	changes := map[string]int{}
	for _, s := range p.Steps {
		changes[s.ID.Host] += len(s.Changes)
	}
	t.Logf("a new worker changes so many resources of each host: %v", changes)
	if changes[newcomer] == 0 {
		t.Errorf("%s is new, and nothing changes there", newcomer)
	}
	for host, n := range changes {
		if n > 0 && host != newcomer && !slices.Contains(planes, host) {
			t.Errorf("%d resources change on %s", n, host)
		}
	}
}

// remembered has the cluster file be lost, and given back by a control plane.
func (o operator) remembered(t *testing.T, plane string) {
	t.Helper()
	file := filepath.Join(o.dir, "cluster.yaml")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	o.must(t, "recover-config", "--from", "root@"+o.address(t, plane), "--key", filepath.Join(filepath.Dir(o.SSHConfig()), "id_ed25519"))
	if is, err := os.ReadFile(file); err != nil || string(is) != string(was) {
		t.Errorf("the cluster file that is given back is\n%s\nit was\n%s\n%v", is, was, err)
	}
	if r := o.run(t, "plan", "--detailed-exitcode"); r.code != 0 {
		t.Errorf("with it the plan exits with %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// member are the IDs of a machine's member of etcd, and of its cluster.
func (o operator) member(t *testing.T, machine string) (cluster, id string) {
	t.Helper()
	said := o.etcdctl(t, machine, "etcd", "endpoint status --write-out=json")
	var status []struct {
		Status struct {
			Header struct {
				Cluster json.Number `json:"cluster_id"`
				Member  json.Number `json:"member_id"`
			} `json:"header"`
		} `json:"Status"`
	}
	if err := json.Unmarshal([]byte(said), &status); err != nil || len(status) != 1 || status[0].Status.Header.Cluster == "" {
		t.Fatalf("%s's member says %s: %v", machine, said, err)
	}
	return status[0].Status.Header.Cluster.String(), status[0].Status.Header.Member.String()
}

// fileOf is a cluster file of some machines.
func (o operator) fileOf(t *testing.T, planes, workers string) string {
	t.Helper()
	return o.fileWith(t, map[string]string{"control-plane": planes, "worker": workers})
}

// fileWith is a cluster file of some machines, by role.
func (o operator) fileWith(t *testing.T, roles map[string]string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: e2e\nssh: {user: root, key: %s}\nhosts:\n", filepath.Join(filepath.Dir(o.SSHConfig()), "id_ed25519"))
	for role, names := range roles {
		for _, m := range strings.Fields(names) {
			fmt.Fprintf(&b, "- {name: %s, address: %s, roles: [%s]}\n", m, o.address(t, m), role)
		}
	}
	return b.String()
}

// leader is the machine whose member of etcd leads.
func (o operator) leader(t *testing.T, planes ...string) string {
	t.Helper()
	for _, m := range planes {
		said := o.etcdctl(t, m, "etcd", "endpoint status --write-out=fields")
		var member, leader string
		for line := range strings.Lines(said) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " : ")
			switch strings.Trim(name, `"`) {
			case "MemberID":
				member = value
			case "Leader":
				leader = value
			}
		}
		if member != "" && member == leader {
			return m
		}
	}
	t.Fatal("no member of etcd leads")
	return ""
}

// served puts a Service of two replicas on the workers, which end only when nobody is sent to them any more.
func (o operator) served(t *testing.T, on string) {
	t.Helper()
	image := o.agnhost(t, "m4", "m5")
	o.on(t, on, "cat <<'EOF' | "+kubectl+"apply -f -\n"+strings.ReplaceAll(served, "IMAGE", image)+"EOF\n"+kubectl+"rollout status deployment/served --timeout=120s")
}

const served = `apiVersion: apps/v1
kind: Deployment
metadata: {name: served, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: served}}
  template:
    metadata: {labels: {app: served}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: served}}}
      containers:
      - name: served
        image: IMAGE
        imagePullPolicy: Never
        args: [netexec, --http-port=8080]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: served, namespace: default}
spec:
  type: NodePort
  selector: {app: served}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
`

// client does something again and again, and notes how it went. It does not wait for what it did before: one that hangs is one that hangs, and says nothing of those who come after it.
type client struct {
	do     func(ctx context.Context, n int) error
	name   func(n int) string // of what it makes; nil if it makes nothing
	cancel context.CancelFunc
	owned  sync.WaitGroup

	mu           sync.Mutex
	acknowledged int
	names        []string // of what was acknowledged
	last         time.Time
	gap          time.Duration // the longest time in which nothing was acknowledged
	slowest      time.Duration // that was acknowledged
	done, failed int
	why          string
}

// run does it every so often until it is stopped. What fails is tried again with another number.
func (c *client) run(ctx context.Context, every, within time.Duration) {
	ctx, c.cancel = context.WithCancel(ctx)
	c.last = time.Now()
	c.owned.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			c.owned.Go(func() {
				start := time.Now()
				limited, cancel := context.WithTimeout(ctx, within)
				defer cancel()
				if err := c.do(limited, n); ctx.Err() == nil {
					c.note(n, time.Since(start), err)
				}
			})
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (c *client) note(n int, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed++
		c.why = err.Error()
		return
	}
	c.done++
	c.acknowledged++
	if c.name != nil {
		c.names = append(c.names, c.name(n))
	}
	c.gap, c.slowest = max(c.gap, time.Since(c.last)), max(c.slowest, took)
	c.last = time.Now()
}

func (c *client) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gap, c.slowest, c.done, c.failed, c.why, c.last = 0, 0, 0, 0, "", time.Now()
}

// counts are what went well and what failed since begin.
func (c *client) counts() (done, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.failed
}

// end says how it went since begin.
func (c *client) end() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := fmt.Sprintf("longest gap %.1f s, the slowest request %.1f s, %d of %d failed", max(c.gap, time.Since(c.last)).Seconds(), c.slowest.Seconds(), c.failed, c.done+c.failed)
	if c.why != "" {
		s += " (the last: " + c.why + ")"
	}
	return s
}

func (c *client) stop() {
	c.cancel()
	c.owned.Wait()
}

// writer writes ConfigMaps by the balancer of a worker, each one only once, and reads them.
type writer struct {
	client
	maps dynamic.ResourceInterface
}

func (o operator) writes(t *testing.T, by string) *writer {
	t.Helper()
	return o.writesTo(t, by, "127.0.0.1:6443")
}

// writesTo writes by what a machine knows the API as.
func (o operator) writesTo(t *testing.T, by, api string) *writer {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(o.must(t, "kubeconfig", "--user", "writer", "--ttl", "4h")))
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.ServerName = "https://"+o.tunnel(t, by, api), "kubernetes"
	config.QPS, config.Burst = -1, 0
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{maps: all.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("default")}
	w.name = func(n int) string { return fmt.Sprintf("write-%s-%06d", by, n) }
	w.do = func(ctx context.Context, n int) error {
		m := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": w.name(n), "labels": map[string]any{"written": "yes"}}}}
		if _, err := w.maps.Create(ctx, m, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		_, err := w.maps.Get(ctx, w.name(n), metav1.GetOptions{})
		return err
	}
	w.run(t.Context(), 500*time.Millisecond, 10*time.Second)
	t.Cleanup(w.stop)
	return w
}

// missing are the writes that were acknowledged and are not there.
func (w *writer) missing(t *testing.T) []string {
	t.Helper()
	w.mu.Lock()
	names := slices.Clone(w.names) // before it is asked what is there: the writer may go on
	w.mu.Unlock()
	list, err := w.maps.List(t.Context(), metav1.ListOptions{LabelSelector: "written=yes"})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.GetName()] = true
	}
	return slices.DeleteFunc(names, func(name string) bool { return there[name] })
}

// more waits until so many more writes were acknowledged.
func (w *writer) more(t *testing.T, n int) {
	t.Helper()
	before, _ := w.counts()
	wait(t, fmt.Sprintf("%d more writes", n), func(context.Context) error {
		if done, failed := w.counts(); done < before+n {
			return fmt.Errorf("%d of them, %d failed", done-before, failed)
		}
		return nil
	})
}

// asks asks the Service by a node, with a new connection each time.
func (o operator) asks(t *testing.T, by string) *client {
	t.Helper()
	at := "http://" + net.JoinHostPort(o.address(t, by), "30080") + "/hostname"
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c := &client{do: func(ctx context.Context, _ int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err != nil {
			return err
		}
		reply, err := plain.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = reply.Body.Close() }()
		if _, err := io.Copy(io.Discard, reply.Body); err != nil || reply.StatusCode == http.StatusOK {
			return err
		}
		return errors.New(reply.Status)
	}}
	c.run(t.Context(), 200*time.Millisecond, 5*time.Second)
	t.Cleanup(c.stop)
	return c
}

// tunnel is a port of this computer behind which an address is as a machine sees it.
func (o operator) tunnel(t *testing.T, machine, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ssh", "-F", o.SSHConfig(), "-N", "-o", "ExitOnForwardFailure=yes", "-L", at+":"+to, machine)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it forwards until then
		_ = cmd.Wait()
	})
	wait(t, "the tunnel to "+machine, func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return at
}
