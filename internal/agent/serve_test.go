package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/facts"
	kubefake "github.com/kubewright/kubewright/internal/kube/fake"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// host is a machine, with agents on it one after the other or several at once.
type host struct {
	*fake.Machine
	env   *resource.Env
	locks memoryLock
	blobs contents
	// locker is the lock instead, if it is not nil.
	locker agent.Locker
	// broken are the blobs instead, if it is not nil.
	broken agent.Blobs
	keys   agent.Keys // may be nil

	endSession func() // of the one that session made last
}

// contents are blobs by digest.
type contents map[string][]byte

func (c contents) Open(digest string) (io.ReadCloser, error) {
	b, ok := c[digest]
	if !ok {
		return nil, errors.New("the store has no " + digest)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// memoryLock is the lock of a machine whose processes are goroutines.
type memoryLock struct {
	mu     sync.Mutex
	held   bool
	holder agent.Holder
}

func (l *memoryLock) TryLock(h agent.Holder) (func(), *agent.Holder, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return nil, new(l.holder), nil
	}
	l.held, l.holder = true, h
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held = false
	}, nil, nil
}

func (l *memoryLock) isHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

const bootFile = "/proc/sys/kernel/random/boot_id"

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{Machine: fake.New("m1", nil), blobs: contents{}, endSession: func() {}}
	h.env = h.Env(nil)
	h.write(t, bootFile, "boot 1\n")
	return h
}

func (h *host) write(t *testing.T, name, content string) {
	t.Helper()
	if err := h.env.Files.Write(name, resource.Attributes{Mode: 0o640, Owner: "u", Group: "g"}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

// text of a file; empty if it is not there.
func (h *host) text(name string) string {
	r, err := h.env.Files.Open(name)
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// file is one whose content the client has.
func (h *host) file(path, content string) resource.File {
	f := resource.NewFile(path, content)
	h.blobs[f.Digest] = []byte(content)
	return f
}

// connect starts an agent. ended is closed when it has; what runs to it can be changed by wrap.
func (h *host) connect(t *testing.T, wrap ...func(net.Conn) net.Conn) (c *agent.Client, ended <-chan struct{}) {
	t.Helper()
	here, there := net.Pipe()
	for _, w := range wrap {
		here = w(here)
	}
	var locker agent.Locker = &h.locks
	if h.locker != nil {
		locker = h.locker
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := agent.Serve(context.WithoutCancel(t.Context()), there, agent.ServeOptions{
			Env: *h.env,
			Facts: func(context.Context, *resource.Env) (facts.Host, error) {
				return facts.Host{Hostname: "m1", Clock: time.Now()}, nil
			},
			Lock: locker,
		})
		if err != nil {
			t.Errorf("the agent ends with %v", err)
		}
	}()
	var blobs agent.Blobs = h.blobs
	if h.broken != nil {
		blobs = h.broken
	}
	c, err := agent.Connect(t.Context(), "m1", here, blobs, h.keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c, done
}

// session is one with the lock; the one before is over.
func (h *host) session(t *testing.T) *agent.Client {
	t.Helper()
	h.endSession()
	c, ended := h.connect(t)
	h.endSession = func() {
		c.Close()
		<-ended
	}
	lock(t, c, "run 1")
	return c
}

func lock(t *testing.T, c *agent.Client, run string) {
	t.Helper()
	if busy, err := c.Lock(t.Context(), agent.Holder{Run: run}); err != nil || busy != nil {
		t.Fatalf("taking the lock: %v, %v", busy, err)
	}
}

func step(resources ...resource.Resource) plan.Step {
	return plan.Step{StepID: plan.StepID{Host: "m1", Name: "a step"}, Resources: resources}
}

// applied applies a step and says what was begun and what was changed.
func applied(t *testing.T, c *agent.Client, s plan.Step) (begun, changed []string, err error) {
	t.Helper()
	err = c.Apply(t.Context(), s, func(p agent.Progress) {
		switch {
		case p.Phase == agent.Begin:
			begun = append(begun, p.Resource.String())
		case p.Phase == agent.End && p.Changed:
			changed = append(changed, p.Resource.String())
		}
	})
	return begun, changed, err
}

func mustApply(t *testing.T, c *agent.Client, s plan.Step) (changed []string) {
	t.Helper()
	_, changed, err := applied(t, c, s)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func observe(t *testing.T, c *agent.Client, steps ...plan.Step) plan.Observation {
	t.Helper()
	o, err := c.Observe(t.Context(), steps)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func reset(t *testing.T, c *agent.Client) (gone []string) {
	t.Helper()
	if err := c.Reset(t.Context(), func(p agent.Progress) {
		if p.Phase == agent.End {
			gone = append(gone, p.Resource.String())
		}
	}); err != nil {
		t.Fatal(err)
	}
	return gone
}

// differences of two states of a machine.
func differences(before, after map[string]string) (d []string) {
	for key := range maps.Keys(after) {
		if before[key] != after[key] {
			d = append(d, fmt.Sprintf("%s is %q, was %q", key, after[key], before[key]))
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			d = append(d, key+" has gone")
		}
	}
	slices.Sort(d)
	return d
}

const unitText = "[Service]\nExecStart=/x\n"

// service is a unit with what it reads.
func (h *host) service(config string) plan.Step {
	c, u := h.file("/etc/a/a.conf", config), h.file("/etc/systemd/system/a.service", unitText)
	return step(c, u, resource.Unit{Name: "a.service", Active: true, Enabled: true, RestartOn: []resource.ID{c.ID(), u.ID()}})
}

// Steps are looked at at once, and what a step's probes ask is asked at once: each of these answers when all were asked.
func TestStepsAreObservedAtOnce(t *testing.T) {
	h := newHost(t)
	var asked sync.WaitGroup
	asked.Add(4)
	ask := func(name string) resource.Probe {
		h.SetProgram(name, func(context.Context, resource.Command) (resource.Output, error) {
			asked.Done()
			asked.Wait()
			return resource.Output{Code: 1, Stderr: "not well\n"}, nil
		})
		return resource.Answers{Name: name, Command: []string{name}}
	}
	first, second := step(h.file("/a", "a")), step(h.file("/b", "b"))
	first.Ensures = []resource.Probe{ask("one"), ask("two")}
	second.Ensures = []resource.Probe{ask("three"), ask("four")}
	o := observe(t, h.session(t), first, second)
	if len(o.Resources) != 2 || len(o.Unwell) != 4 || o.Unwell["answers four"] != "four: not well" {
		t.Errorf("it found %v, %v", o.Resources, o.Unwell)
	}
}

func TestThereAndBack(t *testing.T) {
	h := newHost(t)
	h.write(t, "/etc/found", "as it was\n")
	h.DeclareSysctl("a.b", "0", "")
	before := h.State()
	// What is remembered is remembered first.
	h.Before = func(op string) error {
		if what, path, _ := strings.Cut(op, " "); what == "write" && !strings.HasPrefix(path, agent.Dir) {
			if !strings.Contains(h.text(agent.Dir+"/owned.json"), `"name":"`+path+`"`) {
				t.Errorf("%s, and nobody remembers it", op)
			}
		}
		return nil
	}
	s := h.service("one\n")
	s.Resources = append([]resource.Resource{h.file("/etc/found", "as it shall be\n"), resource.Sysctl{Name: "a.b", Value: "1"}}, s.Resources...)
	all := []string{"file /etc/found", "sysctl a.b", "file /etc/a/a.conf", "file /etc/systemd/system/a.service", "unit a.service"}
	c := h.session(t)
	o := observe(t, c, s)
	if got := slices.Sorted(maps.Keys(o.Resources)); len(got) != len(all) || len(o.Removals) > 0 {
		t.Errorf("at first %q differ, and %v shall go", got, o.Removals)
	}
	begun, changed, err := applied(t, c, s)
	if err != nil || !slices.Equal(begun, all) || !slices.Equal(changed, all) {
		t.Errorf("begun are %q, changed are %q, %v", begun, changed, err)
	}
	after := h.State()
	begun, changed, err = applied(t, c, s)
	if err != nil || !slices.Equal(begun, all) || len(changed) > 0 || len(differences(after, h.State())) > 0 || h.Restarts("a.service") > 0 {
		t.Errorf("again, begun are %q, changed are %q, %v: %q", begun, changed, err, differences(after, h.State()))
	}
	o = observe(t, c, s)
	if len(o.Resources) != 1 || len(o.Resources["unit a.service"].Pending) > 0 { // a unit may be triggered, which is for the plan to see
		t.Errorf("all is as it shall be, but seen as %+v", o)
	}
	slices.Reverse(all)
	if got := reset(t, c); !slices.Equal(got, all) {
		t.Errorf("taken back in the order %q", got)
	}
	if d := differences(before, h.State()); len(d) > 0 {
		t.Errorf("after a reset: %q", d)
	}
}

// TestPreviousIsTheFirst changes a file twice: what it was before the first time comes back.
func TestPreviousIsTheFirst(t *testing.T) {
	h := newHost(t)
	h.write(t, "/etc/a", "as it was\n")
	before := h.State()
	for _, content := range []string{"one\n", "two\n", "three\n"} {
		mustApply(t, h.session(t), step(h.file("/etc/a", content)))
	}
	h.write(t, "/etc/a", "by hand\n") // is nothing that was found
	c := h.session(t)
	mustApply(t, c, step(h.file("/etc/a", "three\n")))
	reset(t, c)
	if d := differences(before, h.State()); len(d) > 0 {
		t.Errorf("after a reset: %q", d)
	}
}

func TestNoLongerWanted(t *testing.T) {
	h := newHost(t)
	h.write(t, "/etc/b", "as it was\n")
	a, b, keep := h.file("/etc/a", "a\n"), h.file("/etc/b", "b\n"), h.file("/etc/keep", "k\n")
	c := h.session(t)
	mustApply(t, c, step(a, b, keep))
	removals := observe(t, c, step(keep)).Removals
	if fmt.Sprint(removals) != "[file /etc/b file /etc/a]" {
		t.Fatalf("%v shall go", removals)
	}
	if err := c.Remove(t.Context(), removals, func(agent.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if h.text("/etc/a") != "" || h.text("/etc/b") != "as it was\n" || h.text("/etc/keep") != "k\n" {
		t.Errorf("there are %q, %q and %q", h.text("/etc/a"), h.text("/etc/b"), h.text("/etc/keep"))
	}
	if got := observe(t, c, step(keep)).Removals; len(got) > 0 {
		t.Errorf("and still %v shall go", got)
	}
}

// TestWhatReadsAFileThatGoesIsRestarted has a unit that stays be restarted when a file goes that it reads.
func TestWhatReadsAFileThatGoesIsRestarted(t *testing.T) {
	h := newHost(t)
	c := h.session(t)
	unit := h.file("/etc/systemd/system/a.service", "[Service]\n")
	more := h.file("/etc/a.d/more.conf", "more\n")
	reads := resource.Unit{Name: "a.service", Active: true, Enabled: true, RestartOn: []resource.ID{unit.ID(), more.ID()}}
	mustApply(t, c, step(unit, more, reads))
	reads.RestartOn = reads.RestartOn[:1]
	without := step(unit, reads)
	if err := c.Remove(t.Context(), observe(t, c, without).Removals, func(agent.Progress) {}); err != nil {
		t.Fatal(err)
	}
	restarts := h.Restarts("a.service")
	if got := observe(t, c, without).Resources[reads.ID().String()].Pending; fmt.Sprint(got) != "[file /etc/a.d/more.conf]" {
		t.Errorf("what it has to be restarted for is %v", got)
	}
	mustApply(t, c, without)
	if got := h.Restarts("a.service"); got != restarts+1 {
		t.Errorf("it was restarted %d times, not once", got-restarts)
	}
	if got := observe(t, c, without).Resources[reads.ID().String()].Pending; len(got) > 0 {
		t.Errorf("and still has to be, for %v", got)
	}
}

// TestDirectoriesGoWithTheLast has a directory go that several files share, whichever goes last.
func TestDirectoriesGoWithTheLast(t *testing.T) {
	h := newHost(t)
	a, b := h.file("/opt/own/below/a", "a\n"), h.file("/opt/own/below/b", "b\n")
	c := h.session(t)
	mustApply(t, c, step(a, b))
	if err := c.Remove(t.Context(), observe(t, c, step(b)).Removals, func(agent.Progress) {}); err != nil {
		t.Fatal(err)
	}
	if h.text("/opt/own/below/b") != "b\n" {
		t.Fatal("b went with a")
	}
	if err := c.Remove(t.Context(), observe(t, c).Removals, func(agent.Progress) {}); err != nil {
		t.Fatal(err)
	}
	for name := range h.State() {
		if strings.Contains(name, "/opt/own") {
			t.Errorf("there is left %s", name)
		}
	}
}

// TestPodsGoFirst has what runs go before what it runs by, although that came later.
func TestPodsGoFirst(t *testing.T) {
	h := newHost(t)
	pods := resource.Pods{Kubelet: "k.service", Runtime: "r.service", Remove: []string{"rm-pods"}, Tasks: "/run/tasks", Mounts: []string{"/var/lib/k"}, Namespaces: "/run/netns/cni-", Slice: "k.slice"}
	unit := h.file("/etc/systemd/system/k.service", "[Service]\n")
	c := h.session(t)
	mustApply(t, c, plan.Step{StepID: plan.StepID{Host: "m", Name: "runtime"}, Resources: []resource.Resource{h.file("/etc/r", "r\n"), resource.PodNetwork{Links: []string{"cni0"}}, pods}})
	mustApply(t, c, plan.Step{StepID: plan.StepID{Host: "m", Name: "kubelet"}, Resources: []resource.Resource{
		resource.Directory{Path: "/var/lib/k", Purge: true}, unit, resource.Unit{Name: "k.service", Active: true, Enabled: true}}})
	h.write(t, "/run/tasks/a/pid", "1")
	h.write(t, "/var/lib/k/pods/a/etc-hosts", "a\n")
	h.SetLinks("lo", "cni0")
	h.SetMounts("/", "/var/lib/k/pods/a/volume")
	h.DeclareUnit("r.service", true, true)
	h.SetProgram("rm-pods", func(context.Context, resource.Command) (resource.Output, error) {
		return resource.Output{}, h.env.Files.RemoveAll("/run/tasks/a")
	})
	cut := errors.New("cut off")
	h.Before = func(op string) error {
		if op == "remove /etc/r" {
			return cut
		}
		return nil
	}
	var order []string
	began := func(p agent.Progress) {
		if p.Phase == agent.Begin {
			order = append(order, p.Resource.String())
		}
	}
	if err := c.Reset(t.Context(), began); err == nil || !strings.Contains(err.Error(), cut.Error()) {
		t.Fatal(err)
	}
	want := []string{"pods kubelet", "pod-network kubelet", "unit k.service", "file /etc/systemd/system/k.service", "directory /var/lib/k", "file /etc/r"}
	if !slices.Equal(order, want) {
		t.Errorf("gone are %q, want %q", order, want)
	}
	// It is not forgotten that they are to go, in case they run again.
	h.Before, order = nil, nil
	h.SetLinks("lo", "cni0")
	if err := c.Reset(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	want = []string{"pods kubelet", "pod-network kubelet", "file /etc/r"}
	if !slices.Equal(order, want) {
		t.Errorf("gone are %q, want %q", order, want)
	}
	for name := range h.State() {
		if strings.Contains(name, "/var/lib/k") || strings.HasPrefix(name, "link cni0") || strings.Contains(name, "k.service") {
			t.Errorf("there is left %s", name)
		}
	}
}

// TestLostList has a machine forget: nothing is taken away that may be somebody's.
func TestLostList(t *testing.T) {
	h := newHost(t)
	a, b := h.file("/etc/a", "a\n"), h.file("/etc/b", "b\n")
	mustApply(t, h.session(t), step(a, b))
	if err := h.env.Files.RemoveAll(agent.Dir); err != nil {
		t.Fatal(err)
	}
	c := h.session(t)
	if o := observe(t, c, step(a)); len(o.Removals)+len(o.Resources) > 0 {
		t.Errorf("with the list lost: %+v", o)
	}
	if changed := mustApply(t, c, step(a)); len(changed) > 0 {
		t.Errorf("with the list lost, %q are applied", changed)
	}
	if !strings.Contains(h.text(agent.Dir+"/owned.json"), `"found":true`) {
		t.Errorf("what is as it shall be is not adopted: %s", h.text(agent.Dir+"/owned.json"))
	}
	reset(t, c)
	if h.text("/etc/a") != "a\n" || h.text("/etc/b") != "b\n" {
		t.Errorf("a reset with the list lost leaves %q and %q", h.text("/etc/a"), h.text("/etc/b"))
	}
}

func TestDamagedListIsLeftAlone(t *testing.T) {
	h := newHost(t)
	h.write(t, agent.Dir+"/owned.json", "{")
	before := h.State()
	_, _, err := applied(t, h.session(t), step(h.file("/etc/a", "a\n")))
	if err == nil || !strings.Contains(err.Error(), "owned.json cannot be understood") || len(differences(before, h.State())) > 0 {
		t.Errorf("%v: %q", err, differences(before, h.State()))
	}
}

// TestRestartIsNotForgotten cuts an agent off between a change and the restart that it needs.
func TestRestartIsNotForgotten(t *testing.T) {
	killed := errors.New("killed")
	cut := func(t *testing.T) *host {
		h := newHost(t)
		mustApply(t, h.session(t), h.service("one\n"))
		h.Before = func(op string) error {
			if strings.HasPrefix(op, "restart") {
				return killed
			}
			return nil
		}
		if _, _, err := applied(t, h.session(t), h.service("two\n")); err == nil || !strings.Contains(err.Error(), killed.Error()) {
			t.Fatal(err)
		}
		h.Before = nil
		return h
	}
	t.Run("it is done later", func(t *testing.T) {
		h := cut(t)
		c := h.session(t)
		if got := observe(t, c, h.service("two\n")).Resources["unit a.service"].Pending; fmt.Sprint(got) != "[file /etc/a/a.conf]" {
			t.Errorf("pending is %v", got)
		}
		if changed := mustApply(t, c, h.service("two\n")); !slices.Equal(changed, []string{"unit a.service"}) || h.Restarts("a.service") != 1 {
			t.Errorf("changed are %q, restarts %d", changed, h.Restarts("a.service"))
		}
		if got := observe(t, c, h.service("two\n")).Resources["unit a.service"].Pending; len(got) > 0 {
			t.Errorf("still pending is %v", got)
		}
		if changed := mustApply(t, c, h.service("two\n")); len(changed) > 0 || h.Restarts("a.service") != 1 {
			t.Errorf("again changed are %q, restarts %d", changed, h.Restarts("a.service"))
		}
	})
	t.Run("a boot does it", func(t *testing.T) {
		h := cut(t)
		h.Reboot()
		h.write(t, bootFile, "boot 2\n")
		c := h.session(t)
		if got := observe(t, c, h.service("two\n")).Resources["unit a.service"].Pending; len(got) > 0 {
			t.Errorf("pending is %v", got)
		}
		if changed := mustApply(t, c, h.service("two\n")); len(changed) > 0 || h.Restarts("a.service") != 0 {
			t.Errorf("changed are %q, restarts %d", changed, h.Restarts("a.service"))
		}
	})
}

// TestPodsReadWhatTheyStartWith has a static Pod started anew when what it reads changes, once, also if that was cut off.
func TestPodsReadWhatTheyStartWith(t *testing.T) {
	h := newHost(t)
	var stopped []string
	fail := true
	const socket = "unix:///run/runtime.sock"
	h.SetRuntime(socket, &fake.Runtime{
		Pods: []*cri.PodSandbox{{Id: "p1", Metadata: &cri.PodSandboxMetadata{Name: "x-m1"}, Labels: map[string]string{"io.kubernetes.pod.namespace": "kube-system"},
			Annotations: map[string]string{"kubernetes.io/config.source": "file"}}},
		Containers: []*cri.Container{{Id: "c1", PodSandboxId: "p1", State: cri.ContainerState_CONTAINER_RUNNING}},
	})
	h.Before = func(op string) error {
		id, stops := strings.CutPrefix(op, "stop container ")
		switch {
		case stops && fail:
			return errors.New("not now")
		case stops:
			stopped = append(stopped, id)
		}
		return nil
	}
	steps := func(conf string) plan.Step {
		f, m := h.file("/etc/kubernetes/x.conf", conf), h.file("/etc/kubernetes/manifests/x.yaml", "the manifest\n")
		return step(f, resource.PodRestart{Name: "x", Manifest: m.Path, Socket: socket, RestartOn: []resource.ID{f.ID()}}, m)
	}
	c := h.session(t)
	if changed := mustApply(t, c, steps("one\n")); len(changed) == 0 || len(stopped) > 0 {
		t.Errorf("at first %q changes, and %q is done", changed, stopped)
	}
	if o := observe(t, c, steps("two\n")); len(o.Resources["pod-restart x"].Pending) > 0 {
		t.Errorf("before anything changed, it is %+v", o.Resources)
	}
	if _, _, err := applied(t, c, steps("two\n")); err == nil {
		t.Error("it cannot be started anew, and that is well")
	}
	fail = false
	if o := observe(t, c, steps("two\n")); len(o.Resources["pod-restart x"].Pending) != 1 {
		t.Errorf("it is forgotten that it reads what it did when it started: %+v", o.Resources)
	}
	if mustApply(t, c, steps("two\n")); !slices.Equal(stopped, []string{"c1"}) {
		t.Errorf("%q is done", stopped)
	}
	if again := mustApply(t, c, steps("two\n")); len(again) > 0 || len(stopped) != 1 {
		t.Errorf("again %q changes, and %q is done", again, stopped)
	}
	reset(t, c)
	if len(stopped) != 1 {
		t.Errorf("at the end %q is done", stopped)
	}
}

func TestNothingIsWrittenWithoutTheLock(t *testing.T) {
	h := newHost(t)
	before := h.State()
	c, _ := h.connect(t)
	want := "nothing is written without the machine's lock"
	none := func(agent.Progress) {}
	check := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) || len(differences(before, h.State())) > 0 {
			t.Errorf("%s without the lock: %v, %q", what, err, differences(before, h.State()))
		}
	}
	check("apply", c.Apply(t.Context(), step(h.file("/etc/a", "a\n")), none))
	check("remove", c.Remove(t.Context(), []resource.ID{{Kind: "file", Name: "/etc/a"}}, none))
	check("reset", c.Reset(t.Context(), none))
	lock(t, c, "run 1")
	if err := c.Unlock(t.Context()); err != nil || h.locks.isHeld() {
		t.Errorf("giving it back: %v", err)
	}
	check("apply once it is given back", c.Apply(t.Context(), step(h.file("/etc/a", "a\n")), none))
}

// slowLock is held by another run when it is asked for first, and takes its time to say so.
type slowLock struct {
	asked chan struct{} // one thing each time that it is asked for
	gate  chan struct{} // closed when it may answer
	times atomic.Int64
}

func (l *slowLock) TryLock(agent.Holder) (func(), *agent.Holder, error) {
	first := l.times.Add(1) == 1
	l.asked <- struct{}{}
	<-l.gate
	if first {
		return nil, &agent.Holder{Run: "other"}, nil
	}
	return func() {}, nil, nil
}

// TestLateAnswer has an answer come that nobody waits for any more: it is not taken for that to the next question.
func TestLateAnswer(t *testing.T) {
	h := newHost(t)
	slow := &slowLock{asked: make(chan struct{}, 2), gate: make(chan struct{})}
	h.locker = slow
	c, _ := h.connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-slow.asked
		cancel()
	}()
	if _, err := c.Lock(ctx, agent.Holder{Run: "mine"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first question ends with %v", err)
	}
	close(slow.gate)
	if busy, err := c.Lock(t.Context(), agent.Holder{Run: "mine"}); busy != nil || err != nil {
		t.Errorf("the second is answered by %v, %v", busy, err)
	}
}

// TestTwoRuns has two agents on a machine.
func TestTwoRuns(t *testing.T) {
	h := newHost(t)
	first, ended := h.connect(t)
	second, _ := h.connect(t)
	lock(t, first, "run 1")
	lock(t, first, "run 1") // it has it already
	busy, err := second.Lock(t.Context(), agent.Holder{Run: "run 2"})
	if err != nil || busy == nil || busy.Run != "run 1" {
		t.Errorf("the second is told %v, %v", busy, err)
	}
	first.Close()
	<-ended
	lock(t, second, "run 2")
}

func TestBlobs(t *testing.T) {
	h := newHost(t)
	c := h.session(t)
	wrong := h.file("/etc/a", "a\n")
	h.blobs[wrong.Digest] = []byte("b\n")
	short := h.file("/etc/a", strings.Repeat("x", 200_000))
	h.blobs[short.Digest] = h.blobs[short.Digest][:150_000]
	for what, f := range map[string]resource.File{
		"is that of sha256:":                wrong,
		"the content of " + short.Digest:    short,
		"the store has no sha256:012345678": {Path: "/etc/a", Digest: "sha256:0123456789"},
	} {
		if _, _, err := applied(t, c, step(f)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
		if got := h.text("/etc/a"); got != "" {
			t.Errorf("%d bytes of it are there", len(got))
		}
	}
	large := h.file("/etc/a", strings.Repeat("0123456789", 300_000))
	mustApply(t, c, step(large))
	if h.text("/etc/a") != string(large.Content) {
		t.Error("a large one arrives as another")
	}
}

// TestWhyABlobFails has what goes wrong here be said there, whatever is in its words, and wherever it goes wrong.
func TestWhyABlobFails(t *testing.T) {
	h := newHost(t)
	why := errors.New("öffnen von /home/jürgen/…:\nno such file")
	for what, blobs := range map[string]agent.Blobs{"at first": failing{opens: why}, "midway": failing{reads: why}} {
		h.broken = blobs
		c, ended := h.connect(t)
		lock(t, c, "run")
		if _, _, err := applied(t, c, step(resource.NewFile("/etc/a", "a"))); err == nil || !strings.Contains(err.Error(), why.Error()) {
			t.Errorf("%s: %v", what, err)
		}
		c.Close()
		<-ended
	}
}

// failing are blobs that cannot be had.
type failing struct{ opens, reads error }

func (f failing) Open(string) (io.ReadCloser, error) {
	if f.opens != nil {
		return nil, f.opens
	}
	return io.NopCloser(io.MultiReader(strings.NewReader("some of it"), iotest.ErrReader(f.reads))), nil
}

// line is a connection that can be cut, or lose what is written to it.
type line struct {
	net.Conn
	lost atomic.Bool
	sent atomic.Int64
	cut  int64 // after how many bytes it ends; 0 is never
}

func (l *line) Write(p []byte) (int, error) {
	if l.lost.Load() {
		return len(p), nil
	}
	if n := l.sent.Add(int64(len(p))); l.cut > 0 && n > l.cut {
		return 0, errors.Join(errors.New("cut"), l.Close())
	}
	return l.Conn.Write(p)
}

// TestCutInTheMiddleOfABlob ends the connection while content is on its way: it is there as a whole or not at all, and the next session brings it.
func TestCutInTheMiddleOfABlob(t *testing.T) {
	h := newHost(t)
	large := h.file("/etc/a", strings.Repeat("0123456789", 100_000))
	c, ended := h.connect(t, func(n net.Conn) net.Conn { return &line{Conn: n, cut: 300_000} })
	lock(t, c, "run 1")
	_, _, err := applied(t, c, step(large))
	if _, lost := errors.AsType[*agent.LostError](err); !lost {
		t.Errorf("the client is told %v", err)
	}
	<-ended
	if got := h.text("/etc/a"); got != "" {
		t.Errorf("%d bytes of it are there", len(got))
	}
	mustApply(t, h.session(t), step(large))
	if h.text("/etc/a") != string(large.Content) {
		t.Error("it is not there")
	}
}

// TestSilence has a client that is not heard any more: the agent finishes what it has in hand, and ends.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		h.DeclareSysctl("a.a", "0", "")
		h.DeclareSysctl("a.b", "0", "")
		l := new(line)
		c, ended := h.connect(t, func(n net.Conn) net.Conn { l.Conn = n; return l })
		lock(t, c, "run 1")
		time.Sleep(time.Hour) // a client that says nothing else is heard
		h.Before = func(op string) error {
			if op == "sysctl a.a" {
				l.lost.Store(true)
				time.Sleep(agent.BeatTimeout + time.Minute)
				if !h.locks.isHeld() {
					t.Error("something is in hand without the lock")
				}
			}
			return nil
		}
		start := time.Now()
		failed := make(chan error)
		go func() {
			_, _, err := applied(t, c, step(resource.Sysctl{Name: "a.a", Value: "1"}, resource.Sysctl{Name: "a.b", Value: "1"}))
			failed <- err
		}()
		<-ended
		if took := time.Since(start); took != agent.BeatTimeout+time.Minute {
			t.Errorf("it ends after %v", took)
		}
		if _, lost := errors.AsType[*agent.LostError](<-failed); !lost {
			t.Error("the client is not told that the agent is lost")
		}
		if s := h.State(); s["sysctl a.a"] != "1" || s["sysctl a.b"] != "0" || h.locks.isHeld() {
			t.Errorf("what was in hand is %s, what came after it %s; the lock is held: %t", s["sysctl a.a"], s["sysctl a.b"], h.locks.isHeld())
		}
	})
}

// TestSilentAgentThatDoesNothing ends in time.
func TestSilentAgentThatDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		l := new(line)
		c, ended := h.connect(t, func(n net.Conn) net.Conn { l.Conn = n; return l })
		lock(t, c, "run 1")
		time.Sleep(7 * time.Second) // it was heard 2 s ago
		l.lost.Store(true)
		start := time.Now()
		<-ended
		if took := time.Since(start); took != agent.BeatTimeout-2*time.Second || h.locks.isHeld() {
			t.Errorf("it ends after %v, the lock is held: %t", took, h.locks.isHeld())
		}
	})
}

func TestFinish(t *testing.T) {
	h := newHost(t)
	h.DeclareSysctl("a.a", "0", "")
	h.DeclareSysctl("a.b", "0", "")
	c := h.session(t)
	h.Before = func(op string) error {
		if op == "sysctl a.a" {
			c.Finish()
			// That it was heard shows in an answer to what is asked after it.
			if err := c.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	begun, changed, err := applied(t, c, step(resource.Sysctl{Name: "a.a", Value: "1"}, resource.Sysctl{Name: "a.b", Value: "1"}))
	if !errors.Is(err, context.Canceled) || len(begun) != 1 || len(changed) != 1 {
		t.Errorf("%v, begun are %q, changed are %q", err, begun, changed)
	}
	if s := h.State(); s["sysctl a.a"] != "1" || s["sysctl a.b"] != "0" {
		t.Errorf("what was in hand is %s, what came after it %s", s["sysctl a.a"], s["sysctl a.b"])
	}
}

// What waits for others is not waited for: it ends where it is.
func TestFinishWhatWaits(t *testing.T) {
	h := newHost(t)
	a := kubefake.New()
	t.Cleanup(a.Close)
	h.write(t, "/etc/kubernetes/admin.conf", string(a.Kubeconfig))
	a.Put("{apiVersion: v1, kind: Node, metadata: {name: m4}}")
	a.Put("{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: b}, spec: {nodeName: m4, terminationGracePeriodSeconds: 600}, status: {phase: Running}}")
	c := h.session(t)
	d := resource.Drain{API: resource.API{Servers: []string{a.Address}}, Node: "m4"}
	waits := false
	err := c.Apply(t.Context(), step(d), func(p agent.Progress) {
		if p.Phase == agent.At && !waits {
			waits = true
			c.Finish()
		}
	})
	if !errors.Is(err, context.Canceled) || !waits {
		t.Errorf("it waits: %t, %v", waits, err)
	}
}

// TestErrorsTravel has resources fail: the client can tell how.
func TestErrorsTravel(t *testing.T) {
	h := newHost(t)
	h.DeclareSysctl("a.b", "0", "")
	h.LockSysctl("a.b", "mounted read-only", nil)
	h.DeclareSysctl("a.c", "0", "")
	c := h.session(t)
	h.Before = func(op string) error {
		if op == "sysctl a.c" {
			return resource.TransientError{Err: errors.New("try later")}
		}
		return nil
	}
	_, _, err := applied(t, c, step(resource.Sysctl{Name: "a.b", Value: "1"}))
	if _, ok := errors.AsType[resource.BlockedError](err); !ok || !strings.Contains(err.Error(), "sysctl a.b: it is 0 and cannot be set to 1: mounted read-only") {
		t.Errorf("blocked: %v", err)
	}
	_, _, err = applied(t, c, step(resource.Sysctl{Name: "a.c", Value: "1"}))
	if _, ok := errors.AsType[resource.TransientError](err); !ok || !strings.Contains(err.Error(), "try later") {
		t.Errorf("transient: %v", err)
	}
}

func TestWhatCannotBeFoundOutIsUnknown(t *testing.T) {
	h := newHost(t)
	if err := h.env.Files.Link("loop", "/etc/loop"); err != nil {
		t.Fatal(err)
	}
	c, _ := h.connect(t)
	o := observe(t, c, step(resource.Block{Path: "/etc/loop", Name: "x", Text: "x\n"}, h.file("/etc/a", "a\n")))
	if got := o.Resources["block /etc/loop x"]; len(o.Resources) != 2 || o.Resources["file /etc/a"].State != resource.Absent {
		t.Errorf("%+v: %+v", got, o)
	}
	unknown := 0
	for _, seen := range o.Resources {
		if seen.State == resource.Unknown && seen.Reason != "" {
			unknown++
		}
	}
	if unknown != 1 {
		t.Errorf("%+v", o.Resources)
	}
}

func TestCheck(t *testing.T) {
	h := newHost(t)
	h.DeclareUnit("on.service", true, true)
	h.DeclareUnit("off.service", false, true)
	c, _ := h.connect(t)
	unwell, err := c.Check(t.Context(), []resource.Probe{resource.UnitActive{Name: "on.service"}, resource.UnitActive{Name: "off.service"}})
	if err != nil || len(unwell) != 1 || unwell["unit-active off.service"] != "off.service is inactive" {
		t.Errorf("%q, %v", unwell, err)
	}
	if _, err := c.Check(t.Context(), []resource.Probe{resource.UnitActive{Name: "none.service"}}); err == nil || !strings.Contains(err.Error(), "systemd knows no unit none.service") {
		t.Errorf("what never comes true by waiting: %v", err)
	}
}

// TestHello measures how far the machine's clock is off.
func TestHello(t *testing.T) {
	h := newHost(t)
	c, _ := h.connect(t)
	f, err := c.Hello(t.Context())
	if err != nil || f.Hostname != "m1" || f.ClockOffset.Abs() > f.ClockError || f.ClockError <= 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFileLock(t *testing.T) {
	l := agent.FileLock{Path: filepath.Join(t.TempDir(), "run", "lock")}
	release, busy, err := l.TryLock(agent.Holder{Run: "run 1 with a long name", Who: "anna"})
	if err != nil || busy != nil {
		t.Fatal(busy, err)
	}
	if _, busy, err = l.TryLock(agent.Holder{Run: "run 2"}); err != nil || busy == nil || busy.Run != "run 1 with a long name" || busy.Who != "anna" {
		t.Errorf("another is told %v, %v", busy, err)
	}
	release()
	if release, busy, err = l.TryLock(agent.Holder{Run: "run 2"}); err != nil || busy != nil {
		t.Fatal(busy, err)
	}
	defer func() { release() }()
	// A reset takes the file away while it is held; whoever takes it then has one that others see.
	if err := os.Remove(l.Path); err != nil {
		t.Fatal(err)
	}
	old := release
	if release, busy, err = l.TryLock(agent.Holder{Run: "run 2"}); err != nil || busy != nil {
		t.Fatal(busy, err)
	}
	old()
	if _, busy, err = l.TryLock(agent.Holder{}); err != nil || busy == nil || busy.Run != "run 2" || busy.Who != "" {
		t.Errorf("what the one before wrote shows: %v, %v", busy, err)
	}
}
