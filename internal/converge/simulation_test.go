package converge_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
	"github.com/kubewright/kubewright/internal/run"
)

var (
	fleets = flag.Int("fleets", 1000, "how many fleets TestSimulation has")
	seed   = flag.Uint64("seed", 0, "have TestSimulation replay this fleet alone, and say what happens; 0 is all of them")
)

// TestSimulation has thousands of fleets live through what happens to fleets, with the real engine: sessions, runs, agents and what they speak. Only machines, the
// network between them and time are made up. A fleet is a seed: -seed N replays one.
//
// Hosts die and come back, connections are cut or fall silent, agents are killed before and after whatever they do, operators are killed, interrupted, and
// come several at once, answers are slow, clocks jump. All along, no agent writes without its machine's lock, no member of a group is disturbed that
// may not be, and what is put on a machine is remembered there first. When the faults cease, it converges, then does nothing more, and can all be taken back.
func TestSimulation(t *testing.T) {
	first, n := uint64(1), uint64(*fleets)
	if *seed != 0 {
		first, n = *seed, 1
	}
	slow := resource.NewFile("/usr/local/slow", strings.Repeat("x", 70_000)) // more than one piece of what travels
	// Garbage of many short lives: it is cheap to let it lie for a while.
	percent := debug.SetGCPercent(800)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	for s := first; s < first+n; s++ {
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newSimFleet(t, s, slow)
				f.live()
			})
		})
	}
}

// simFleet is a cluster and all that happens to it.
type simFleet struct {
	t        *testing.T
	seed     uint64
	random   *rand.Rand
	spec     *v1alpha1.Cluster
	hosts    map[string]*simHost
	names    []string
	contents *fake.Contents
	slow     resource.File  // what takes long to write
	running  sync.WaitGroup // agents

	mu      sync.Mutex
	faulty  bool
	writes  int
	last    string // what was written last
	started time.Time
}

func newSimFleet(t *testing.T, seed uint64, slow resource.File) *simFleet {
	f := &simFleet{t: t, seed: seed, random: chance(seed, "fleet"), hosts: map[string]*simHost{}, contents: new(fake.Contents), slow: slow, faulty: true, started: time.Now()}
	n := 3 + f.random.IntN(7)
	controlPlanes := 1
	if f.random.IntN(4) > 0 {
		controlPlanes = 3
	}
	var file strings.Builder
	file.WriteString("apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: sim\nhosts:\n")
	for i := range n {
		name, role := fmt.Sprintf("w%d", i), "worker"
		if i < controlPlanes {
			name, role = fmt.Sprintf("c%d", i), "control-plane"
		}
		fmt.Fprintf(&file, "- {name: %s, address: 10.0.0.%d, roles: [%s]}\n", name, i+1, role)
		f.names = append(f.names, name)
		f.hosts[name] = newSimHost(f, name)
	}
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	f.spec = spec
	return f
}

func (f *simFleet) faults() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faulty
}

// violated says that something happened that never may.
func (f *simFleet) violated(format string, args ...any) {
	f.t.Errorf("%v: "+format, append([]any{time.Since(f.started).Round(time.Millisecond)}, args...)...)
}

func (f *simFleet) say(format string, args ...any) {
	if *seed != 0 {
		f.t.Logf("%v: "+format, append([]any{time.Since(f.started).Round(time.Millisecond)}, args...)...)
	}
}

func (f *simFleet) wrote(what string, h *simHost) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	f.last = h.name + ": " + what
}

func (f *simFleet) written() (int, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes, f.last
}

// risesAfter brings a host back after a while, or when the faults cease.
func (f *simFleet) risesAfter(h *simHost, random *rand.Rand) {
	start := random.IntN(2) == 0
	f.say("%s dies", h.name)
	if random.IntN(3) == 0 {
		return
	}
	time.AfterFunc(time.Duration(1+random.IntN(120))*time.Second, func() {
		f.say("%s is back", h.name)
		h.rise(start)
	})
}

// members of the group that a host belongs to, and how many of them may be disturbed at once, and have to be well meanwhile: what internal/converge/session.go says, in
// other words.
func (f *simFleet) members(h *simHost) (others []*simHost, minWell int) {
	group := h.name[:1]
	for _, name := range f.names {
		if name != h.name && name[:1] == group {
			others = append(others, f.hosts[name])
		}
	}
	if group == "c" && len(others) > 0 {
		minWell = 2 // of three
	}
	return others, minWell
}

// disturb notes that an operator's agent touches the service of a host, and sees whether that is allowed. What became well after the plan was made
// counts as what the plan saw.
func (f *simFleet) disturb(h *simHost, o *simOperator) {
	f.mu.Lock()
	defer f.mu.Unlock()
	by := "" // what was not well before is not disturbed
	h.mu.Lock()
	known := !h.warm.After(o.planned()) && !h.changed.After(o.planned())
	h.mu.Unlock()
	if h.answers() && known && !strings.HasPrefix(o.id, "reset") {
		by = o.id
		others, minWell := f.members(h)
		well, disturbed := 0, 0
		for _, m := range others {
			answers := m.answers()
			m.mu.Lock()
			by, since := m.disturbedBy, m.unwell
			up := m.up
			m.mu.Unlock()
			switch {
			case answers:
				well++
			case by == o.id && up:
				disturbed++
			case since.After(o.planned()):
				well++ // as far as anybody can know
			}
		}
		if disturbed > 0 {
			f.violated("%s: the run %s disturbs it and %d others at once", h.name, o.id, disturbed)
		}
		if well < minWell {
			f.violated("%s: the run %s disturbs it while %d others are well, and %d have to be", h.name, o.id, well, minWell)
		}
		h.mu.Lock()
		h.unwell = time.Now()
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.restarting, h.disturbedBy = true, by
}

// simOperator is a run of the program.
type simOperator struct {
	fleet *simFleet
	id    string
	begun sync.Map // steps of which no resource was begun yet

	mu     sync.Mutex
	dead   bool
	ends   []*wireEnd
	looked time.Time
}

func (o *simOperator) add(e *wireEnd) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, e)
}

func (o *simOperator) planned() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.looked
}

// kill ends the program: nothing that it still does reaches a host. The hosts may notice, or hear nothing any more.
func (o *simOperator) kill(silently bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead = true
	for _, e := range o.ends {
		if silently {
			e.silence()
		} else {
			e.cut()
		}
	}
}

func (o *simOperator) killed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead
}

func (o *simOperator) connect(_ context.Context, h v1alpha1.Host, _ func(string)) (io.ReadWriteCloser, error) {
	if o.killed() {
		return nil, errKilled
	}
	return o.fleet.hosts[h.Name].connect(o)
}

// heard sees that nothing begins while another run may work.
func (o *simOperator) heard(v event.Event) {
	if v.Kind != event.ResourceProgress {
		o.fleet.say("%s: %s %s %s %s %s %s", o.id, v.Kind, v.Host, v.Step, v.Resource, v.Message, v.Error)
	}
	if v.Kind == event.StepStarted {
		o.begun.Store(v.Host+" "+v.Step, true)
	}
	if _, first := o.begun.LoadAndDelete(v.Host + " " + v.Step); v.Kind != event.ResourceStarted || !first || o.killed() {
		return
	}
	const onItsWay = 3 * time.Second // what a slow connection may hold back of what is heard here
	others, keepers := map[string]int{}, 0
	for _, name := range o.fleet.names {
		if h := o.fleet.hosts[name]; name[0] == 'c' {
			keepers++
			h.mu.Lock()
			if h.locked != nil && h.holder.Run != o.id && time.Since(h.lockedAt) > onItsWay {
				others[h.holder.Run]++
			}
			h.mu.Unlock()
		}
	}
	for other, n := range others {
		if 2*n > keepers {
			o.fleet.violated("%s begins %q on %s although %s holds the locks of most keepers", o.id, v.Step, v.Host, other)
		}
	}
}

// noBlobs are for programs and packages, which the simulation has none of.
type noBlobs struct{}

func (noBlobs) Open(digest string) (io.ReadCloser, error) {
	return nil, errors.New("there is no " + digest)
}

func (o *simOperator) options(version int) converge.Options {
	return converge.Options{
		Cluster: &cluster.Cluster{Cluster: o.fleet.spec}, Components: o.components(version), Connect: o.connect, Blobs: noBlobs{}, Events: o.heard,
		Holder: agent.Holder{Run: o.id, Who: "somebody", From: "somewhere", Since: time.Now(), Doing: "apply sim"},
		Run:    run.Options{WellWithin: 30 * time.Second},
	}
}

func (o *simOperator) apply(ctx context.Context, version int) error {
	p := o.options(version)
	p.LockFirst = true
	s, err := converge.Open(ctx, p)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Apply(ctx, func(*plan.Plan) error { return nil })
}

func (o *simOperator) reset(ctx context.Context) error {
	s, err := converge.Open(ctx, o.options(1))
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Reset(ctx, o.fleet.names)
}

// components are made up, of what real ones are made of: preparation, something slow, a service that is disturbed by what it reads, which on workers waits for that of
// any one control plane, and something after it. Versions differ.
func (o *simOperator) components(version int) converge.Components {
	return func(w converge.Wish) ([]plan.Step, []plan.Problem) {
		o.mu.Lock()
		o.looked = time.Now()
		o.mu.Unlock()
		any := plan.Condition{Name: "a control plane answers", AtLeast: 1}
		for _, h := range w.Cluster.With(v1alpha1.ControlPlane) {
			any.Of = append(any.Of, plan.StepID{Host: h.Name, Name: "service"})
		}
		var steps []plan.Step
		for _, h := range w.Cluster.Hosts {
			if _, ok := w.Hosts[h.Name]; !ok {
				continue
			}
			id := func(name string) plan.StepID { return plan.StepID{Host: h.Name, Name: name} }
			prepare := plan.Step{StepID: id("prepare"), Requires: w.After(h.Name), Resources: []resource.Resource{
				resource.NewFile("/etc/found.conf", "as it shall be\n"),
				resource.KernelModule{Name: "br_netfilter"},
				resource.NewFile("/etc/modules-load.d/sim.conf", "br_netfilter\n"), // after it: a reset that a boot cuts off must not have it loaded again
				resource.Sysctl{Name: "net.ipv4.ip_forward", Value: "1"},
				resource.Sysctl{Name: "net.bridge.bridge-nf-call-iptables", Value: "1", Module: "br_netfilter"},
				resource.NewFile("/etc/sysctl.d/sim.conf", "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n"),
				resource.Unit{Name: "swapper.service"},
			}}
			if version == 1 {
				prepare.Resources = append(prepare.Resources, resource.NewFile("/etc/only/in/version1.conf", "1\n"))
			}
			slow := plan.Step{StepID: id("packages"), Requires: []plan.Condition{plan.After(prepare.StepID)}, Resources: []resource.Resource{
				o.fleet.slow,
			}}
			config := resource.NewFile("/etc/service.conf", fmt.Sprintf("version %d of %s\n", version, h.Name))
			unit := resource.NewFile(serviceUnit, fmt.Sprintf("[Service]\nExecStart=/bin/service%d\n", (version+1)/2))
			works := plan.Step{StepID: id("service"), Group: cluster.GroupOf(h), Requires: []plan.Condition{plan.After(slow.StepID)},
				Resources: []resource.Resource{config, unit, resource.Unit{Name: service, Active: true, Enabled: true, RestartOn: []resource.ID{config.ID(), unit.ID()}}},
				Ensures:   []resource.Probe{resource.UnitActive{Name: service}, resource.Answers{Name: "service", Command: []string{"service-health"}}},
			}
			if !slices.Contains(h.Roles, v1alpha1.ControlPlane) {
				works.Requires = append(works.Requires, any)
			}
			last := plan.Step{StepID: id("labels"), Requires: []plan.Condition{plan.After(works.StepID)}, Resources: []resource.Resource{
				resource.NewFile("/etc/labels", fmt.Sprintf("version=%d\n", version)),
			}}
			steps = append(steps, prepare, slow, works, last)
		}
		return steps, nil
	}
}

// live is the life of a fleet.
func (f *simFleet) live() {
	defer f.running.Wait()
	before := map[string]map[string]string{}
	for name, h := range f.hosts {
		before[name] = h.state()
	}
	for _, name := range f.names {
		if random := chance(f.seed, name, "dead from the start"); random.IntN(8) == 0 {
			f.hosts[name].die()
			f.risesAfter(f.hosts[name], random)
		}
	}
	var operators sync.WaitGroup
	version := 1
	for i := range 2 + f.random.IntN(3) {
		version = max(version, 1+f.random.IntN(3))
		wants := version
		operators.Go(func() { f.operate(i, wants) })
		if f.random.IntN(4) > 0 {
			operators.Wait()
			f.drift(i)
		}
	}
	operators.Wait()
	f.mu.Lock()
	f.faulty = false
	f.mu.Unlock()
	f.say("the faults cease")
	for _, name := range f.names {
		f.hosts[name].rise(f.random.IntN(2) == 0)
	}
	f.converges(version)
	if f.t.Failed() {
		return
	}
	if f.random.IntN(2) == 0 {
		f.mu.Lock()
		f.faulty = true
		f.mu.Unlock()
		o := &simOperator{fleet: f, id: "reset-1"}
		f.say("%s: %v", o.id, o.reset(context.Background()))
		f.mu.Lock()
		f.faulty = false
		f.mu.Unlock()
		for _, name := range f.names {
			f.hosts[name].rise(f.random.IntN(2) == 0)
		}
	}
	o := &simOperator{fleet: f, id: "reset-2"}
	if err := o.reset(context.Background()); err != nil {
		f.violated("nothing goes wrong any more, but reset says: %v", err)
	}
	for _, name := range f.names {
		after := f.hosts[name].state()
		for _, key := range slices.Sorted(maps.Keys(before[name])) {
			if after[key] != before[name][key] {
				f.violated("%s is not as it was: %s is %q, was %q", name, key, after[key], before[name][key])
			}
			delete(after, key)
		}
		for key := range after {
			f.violated("%s is not as it was: there is still %s", name, key)
		}
	}
}

// operate is a run, which may be killed or interrupted.
func (f *simFleet) operate(i, version int) {
	random := chance(f.seed, "operator", i)
	time.Sleep(time.Duration(random.IntN(20)) * time.Second)
	o := &simOperator{fleet: f, id: fmt.Sprintf("run-%d", i)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	after := time.Duration(1+random.IntN(120_000)) * time.Millisecond
	var end *time.Timer
	switch random.IntN(4) {
	case 0:
		end = time.AfterFunc(after, func() { f.say("%s is killed", o.id); o.kill(false) })
	case 1:
		end = time.AfterFunc(after, func() { f.say("%s is killed silently", o.id); o.kill(true) })
	case 2:
		end = time.AfterFunc(after, func() { f.say("%s is interrupted", o.id); cancel() })
	default:
		// Whoever waits for another run gives up at last.
		end = time.AfterFunc(30*time.Minute, cancel)
	}
	defer end.Stop()
	err := o.apply(ctx, version)
	f.say("%s ends: %v", o.id, err)
}

// drift is what others do to machines between runs.
func (f *simFleet) drift(i int) {
	for _, name := range f.names {
		h, random := f.hosts[name], chance(f.seed, name, "drift", i)
		if !h.owns(fileID("/etc/labels")) || random.IntN(3) > 0 {
			continue
		}
		f.say("%s drifts", name)
		switch random.IntN(4) {
		case 0:
			h.must(h.machine.Env(nil).Files.Write("/etc/service.conf", resource.Attributes{Mode: 0o600}, strings.NewReader("by hand\n")))
		case 1:
			h.machine.SetUnit(service, "failed", "it fell over")
			h.mu.Lock()
			h.unwell = time.Now()
			h.mu.Unlock()
		case 2:
			h.machine.SetSysctl("net.ipv4.ip_forward", "0")
		case 3:
			h.must(h.machine.Env(nil).Files.Remove("/etc/labels"))
		}
	}
}

// converges says whether runs come to an end at which nothing is left to do.
func (f *simFleet) converges(version int) {
	for i := 1; ; i++ {
		o := &simOperator{fleet: f, id: fmt.Sprintf("calm-%d", i)}
		err := o.apply(context.Background(), version)
		if err == nil {
			break
		}
		f.say("%s: %v", o.id, err)
		if i == 3 {
			f.violated("nothing goes wrong any more, but after %d runs it has not converged: %v", i, err)
			return
		}
	}
	n, _ := f.written()
	o := &simOperator{fleet: f, id: "idle"}
	if err := o.apply(context.Background(), version); err != nil {
		f.violated("all is as it shall be, but apply says: %v", err)
	}
	if m, last := f.written(); m != n {
		f.violated("all was as it shall be, but apply changed %d things, last: %s", m-n, last)
	}
	for _, name := range f.names {
		if !f.hosts[name].answers() {
			f.violated("apply is content, but %s of %s does not answer", service, name)
		}
		if h := f.hosts[name]; h.read != h.config() {
			f.violated("apply is content, but %s of %s works by %q, and its file says %q", service, name, h.read, h.config())
		}
	}
}
