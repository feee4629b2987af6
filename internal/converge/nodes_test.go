package converge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/kube"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// alone is a cluster of one control plane, c1, whose machine and API are in memory. Its node and that of w1, which is in no file, are there.
type alone struct {
	api     *kubefake.API
	machine *fake.Machine
	*converge.Session
	authority string
	tell      func(event.Event) // may be nil

	mu     sync.Mutex
	events []event.Event
	locked bool
}

// TryLock is the machine's lock.
func (c *alone) TryLock(agent.Holder) (func(), *agent.Holder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.locked = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.locked = false
	}, nil, nil
}

func newAlone(t *testing.T) *alone {
	t.Helper()
	c := &alone{api: kubefake.New(), machine: fake.New("c1", nil)}
	t.Cleanup(c.api.Close)
	ca, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.authority = string(ca.Certificate)
	host, port, err := net.SplitHostPort(c.api.Address)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := v1alpha1.Parse("cluster.yaml", []byte("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\napiServer: {port: "+port+
		"}\nhosts:\n- {name: c1, address: c1.example.com, internalAddresses: ["+host+"], roles: [control-plane]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	env := c.machine.Env(nil)
	for path, content := range map[string]string{"/etc/kubernetes/admin.conf": string(c.api.Kubeconfig), bootFile: "boot 1\n"} {
		if err := env.Files.Write(path, resource.Attributes{Mode: 0o600}, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"c1", "w1"} {
		c.api.Put(`{apiVersion: v1, kind: Node, metadata: {name: ` + name + `}, status: {conditions: [{type: Ready, status: "True"}]}}`)
	}
	var serving sync.WaitGroup
	c.Session, err = converge.Open(t.Context(), converge.Options{
		Cluster: model, Holder: agent.Holder{Run: "run 1"},
		Events: func(v event.Event) {
			if c.tell != nil {
				c.tell(v)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.events = append(c.events, v)
		},
		Connect: func(context.Context, v1alpha1.Host, func(string)) (io.ReadWriteCloser, error) {
			here, there := net.Pipe()
			serving.Go(func() {
				_ = agent.Serve(context.Background(), there, agent.ServeOptions{Env: *env, Lock: c, Facts: c.facts}) // the test sees what comes of it
			})
			return here, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	return c
}

func (c *alone) facts(_ context.Context, env *resource.Env) (facts.Host, error) {
	return facts.Host{
		Hostname: "c1", Clock: env.Kernel.Now(), Identity: facts.Identity{Machine: "machine of c1"},
		Kubernetes: facts.Kubernetes{API: true, Authorities: map[string]facts.Authority{pki.Kubernetes: {Certificate: c.authority}}},
	}, nil
}

func (c *alone) node(name string) *unstructured.Unstructured {
	return c.api.Object(kube.Ref{APIVersion: "v1", Kind: "Node", Name: name})
}

// said are events of some kind, with what they say.
func (c *alone) said(kind event.Kind) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, v := range c.events {
		if v.Kind == kind {
			all = append(all, strings.TrimSpace(v.Host+" "+v.Step+" "+v.Resource+" "+v.Message))
		}
	}
	return all
}

func agree(*plan.Plan) error { return nil }

func TestDrainANode(t *testing.T) {
	c := newAlone(t)
	// What else is on the machine is none of its business.
	if err := c.Apply(t.Context(), agree); err != nil {
		t.Fatal(err)
	}
	before := c.machine.State()
	if before["path "+resource.IdentityPath] == "" {
		t.Fatalf("it owns nothing: %v", before)
	}
	c.api.Put(`{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: a, ownerReferences: [{controller: true, apiVersion: apps/v1, kind: ReplicaSet, name: x, uid: x}]},
		spec: {nodeName: w1}, status: {phase: Running}}`)
	var words []string
	ask := func(p *plan.Plan) error {
		words = nil
		for _, s := range p.Steps {
			for _, r := range s.Changes {
				for _, change := range r.Changes {
					words = append(words, s.Host+" "+r.Resource.String()+": "+change.String())
				}
			}
		}
		return nil
	}
	if err := c.Drain(t.Context(), "w1", time.Minute, ask); err != nil {
		t.Fatal(err)
	}
	want := []string{"c1 cordon w1: cordoned: no → yes", "c1 drain w1: cordoned: no → yes", "c1 drain w1: Pods: 1 (default/a) → moved to other nodes"}
	if !slices.Equal(words, want) {
		t.Errorf("it asks about %q", words)
	}
	if n := c.node("w1"); len(n.GetAnnotations()) > 0 || c.api.Object(kube.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "a"}) != nil {
		t.Errorf("drained, it is %v", n)
	}
	if cordoned, _, _ := unstructured.NestedBool(c.node("w1").Object, "spec", "unschedulable"); !cordoned {
		t.Error("it is not cordoned")
	}
	if got := c.said(event.StepDone); len(got) == 0 || got[len(got)-1] != "c1 drain w1" {
		t.Errorf("of it is told %q", got)
	}
	for name, state := range before {
		if now := c.machine.State()[name]; now != state {
			t.Errorf("%s was %s and is %s", name, state, now)
		}
	}
	// Again there is nothing to do.
	if err := c.Drain(t.Context(), "w1", time.Minute, ask); err != nil || len(words) > 0 {
		t.Errorf("again it asks about %q, %v", words, err)
	}
	if err := c.Cordon(t.Context(), "w1", false, ask); err != nil || !slices.Equal(words, []string{"c1 cordon w1: cordoned: yes → no"}) {
		t.Errorf("it asks about %q, %v", words, err)
	}
	if cordoned, _, _ := unstructured.NestedBool(c.node("w1").Object, "spec", "unschedulable"); cordoned {
		t.Error("it is cordoned")
	}
}

func TestDrainThatFails(t *testing.T) {
	c := newAlone(t)
	c.api.Put("{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: a}, spec: {nodeName: w1, terminationGracePeriodSeconds: 600}, status: {phase: Running}}")
	if err := c.Drain(t.Context(), "w1", time.Minute, func(*plan.Plan) error { return converge.ErrDeclined }); !errors.Is(err, converge.ErrDeclined) {
		t.Errorf("who does not want it is told %v", err)
	}
	if cordoned, _, _ := unstructured.NestedBool(c.node("w1").Object, "spec", "unschedulable"); cordoned {
		t.Error("it was cordoned without being wanted")
	}
	err := c.Drain(t.Context(), "w1", time.Second, agree)
	if err == nil || !strings.HasPrefix(err.Error(), "c1: drain w1: after 1s 1 Pod is still on w1:\n    default/a: may take 10m0s to end") {
		t.Errorf("it fails with %v", err)
	}
	err = c.Drain(t.Context(), "w9", time.Minute, agree)
	if unknown, ok := errors.AsType[*converge.UnknownNodeError](err); !ok || unknown.Name != "w9" || !slices.Equal(unknown.Known, []string{"c1", "w1"}) {
		t.Errorf("of a node that is not there: %v", err)
	}
}

// Who interrupts it does not wait for Pods.
func TestDrainThatIsInterrupted(t *testing.T) {
	c := newAlone(t)
	c.api.Put("{apiVersion: v1, kind: Pod, metadata: {namespace: default, name: a}, spec: {nodeName: w1, terminationGracePeriodSeconds: 600}, status: {phase: Running}}")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c.tell = func(v event.Event) {
		if v.Kind == event.ResourceProgress {
			interrupt()
		}
	}
	if err := c.Drain(ctx, "w1", 0, agree); !errors.Is(err, converge.ErrInterrupted) {
		t.Errorf("it ends with %v", err)
	}
}

func TestNodes(t *testing.T) {
	c := newAlone(t)
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 2 || nodes[0].Name != "c1" || !nodes[1].Ready || c.locked {
		t.Errorf("%+v, %v, locked: %t", nodes, err, c.locked)
	}
	c.api.SetReady("[-]etcd failed")
	c.api.Close()
	if _, err := c.Nodes(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "c1: ") {
		t.Errorf("without an API: %v", err)
	}
}

func TestJoin(t *testing.T) {
	c := newAlone(t)
	j, err := c.Join(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pins, err := pki.Pins([]byte(c.authority))
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(c.api.Address)
	form := regexp.MustCompile(fmt.Sprintf(`^kubeadm join api\.prod\.internal:%s --token ([a-z0-9]{6})\.([a-z0-9]{16}) --discovery-token-ca-cert-hash %s$`, port, pins[0]))
	parts := form.FindStringSubmatch(j.Command)
	if parts == nil || j.Hosts != "127.0.0.1 api.prod.internal" || time.Until(j.Until) > time.Hour {
		t.Fatalf("it says %+v", j)
	}
	if c.api.Object(kube.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "kube-system", Name: "bootstrap-token-" + parts[1]}) == nil {
		t.Error("the API does not know the token")
	}
	for _, v := range c.events {
		if strings.Contains(fmt.Sprint(v), parts[2]) {
			t.Errorf("an event tells it: %v", v)
		}
	}
	if c.locked {
		t.Error("it takes a lock")
	}
}
