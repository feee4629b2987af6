package converge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// simHost is a machine of a simulation: what is on it outlives its agents and the connections to them.
type simHost struct {
	fleet   *simFleet
	name    string
	machine *fake.Machine

	mu          sync.Mutex
	up          bool
	changed     time.Time // when it went up or down last
	agents      map[*simAgent]bool
	locked      *simAgent // whose agent holds the machine's lock
	lockedAt    time.Time
	holder      agent.Holder
	operations  int // that changed something, or were about to
	connections int
	restarting  bool      // its service is stopped at the moment
	warm        time.Time // when the service answers after its last start
	unwell      time.Time // since when it does not, if it does not
	read        string    // what the service read when it was started last
	disturbedBy string    // the run that touched the service last
}

// chance is a source of randomness that depends on the seed and on what it is for, not on the order in which goroutines run.
func chance(seed uint64, what ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, what...) // a hash takes everything
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

const (
	service     = "service.service"
	serviceUnit = "/etc/systemd/system/" + service
	bootFile    = "/proc/sys/kernel/random/boot_id"
)

func newSimHost(f *simFleet, name string) *simHost {
	h := &simHost{fleet: f, name: name, machine: fake.New(name, f.contents), up: true, agents: map[*simAgent]bool{}}
	h.machine.DeclareSysctl("net.ipv4.ip_forward", "0", "")
	h.machine.DeclareSysctl("net.bridge.bridge-nf-call-iptables", "0", "br_netfilter")
	h.machine.DeclareModule("br_netfilter", resource.ModuleAvailable)
	h.machine.DeclareUnit("swapper.service", true, true)
	h.machine.SetProgram("service-health", func(context.Context, resource.Command) (resource.Output, error) {
		if h.answers() {
			return resource.Output{}, nil
		}
		return resource.Output{Code: 1, Stderr: "not yet\n"}, nil
	})
	files := h.machine.Env(nil).Files
	h.must(files.Write("/etc/found.conf", resource.Attributes{Mode: 0o640, Owner: "u", Group: "g"}, strings.NewReader("as it was\n")))
	h.must(files.Write(bootFile, resource.Attributes{}, strings.NewReader("boot 0\n")))
	return h
}

func (h *simHost) must(err error) {
	if err != nil {
		h.fleet.violated("%s: %v", h.name, err)
	}
}

// serviceRuns asks systemd.
func (h *simHost) serviceRuns() bool {
	u, err := h.machine.Env(nil).Systemd.Unit(context.Background(), service)
	h.must(err)
	return u.Active == "active"
}

// config is what the service reads when it is started.
func (h *simHost) config() string {
	r, err := h.machine.Env(nil).Files.Open("/etc/service.conf")
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(r)
	h.must(err)
	return string(b)
}

// answers says whether the service is well.
func (h *simHost) answers() bool {
	runs := h.serviceRuns()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.up && runs && !h.restarting && !time.Now().Before(h.warm)
}

// state of the machine, without what is not Kubewright's to put back.
func (h *simHost) state() map[string]string {
	s := h.machine.State()
	for key := range s {
		if strings.HasPrefix(key, "path /proc") {
			delete(s, key)
		}
	}
	return s
}

// die takes the machine away, with its agents. It may come back.
func (h *simHost) die() {
	h.mu.Lock()
	h.up, h.changed, h.unwell = false, time.Now(), time.Now()
	var agents []*simAgent
	for a := range h.agents {
		agents = append(agents, a)
	}
	h.mu.Unlock()
	for _, a := range agents {
		a.kill()
	}
}

// rise brings it back, after a start or as if only its network had been gone.
func (h *simHost) rise(start bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.up {
		return
	}
	if start {
		h.machine.Reboot()
		h.read = h.config()
		h.must(h.machine.Env(nil).Files.Write(bootFile, resource.Attributes{}, strings.NewReader(fmt.Sprintf("boot %d\n", h.operations))))
	}
	h.up, h.changed = true, time.Now()
}

// connect starts an agent, for whoever may be reached by the wire.
func (h *simHost) connect(o *simOperator) (io.ReadWriteCloser, error) {
	h.mu.Lock()
	h.connections++
	n := h.connections
	up := h.up
	h.mu.Unlock()
	random := chance(h.fleet.seed, h.name, "connection", n)
	if !up {
		time.Sleep(10 * time.Second)
		return nil, fmt.Errorf("%s: no route to host", h.name)
	}
	slow := h.fleet.faults() && random.IntN(4) == 0
	delay := func(direction string) func() time.Duration {
		random := chance(h.fleet.seed, h.name, "connection", n, direction)
		return func() time.Duration {
			if slow {
				return time.Duration(random.IntN(1000)) * time.Millisecond
			}
			return time.Duration(200+random.IntN(1000)) * time.Microsecond
		}
	}
	there, here := newWire(delay("there"), delay("back"))
	ctx, cancel := context.WithCancel(context.Background())
	a := &simAgent{host: h, operator: o, end: there, cancel: cancel}
	h.mu.Lock()
	h.agents[a] = true
	h.mu.Unlock()
	o.add(here)
	h.fleet.running.Go(func() {
		env := h.machine.Env(nil)
		// What it ends with is told to whoever it works for, if they can hear it.
		_ = agent.Serve(ctx, there, agent.ServeOptions{
			Env:   resource.Env{Files: agentFiles{env.Files, a}, Systemd: agentSystemd{env.Systemd, a}, Kernel: agentKernel{env.Kernel, a}, Exec: env.Exec, CRI: env.CRI, Measure: env.Measure},
			Facts: h.facts, Lock: a,
		})
		cancel()
		h.mu.Lock()
		delete(h.agents, a)
		h.mu.Unlock()
	})
	return here, nil
}

// facts are what the simulation's components need.
func (h *simHost) facts(_ context.Context, env *resource.Env) (facts.Host, error) {
	f := facts.Host{Hostname: h.name, Clock: env.Kernel.Now()}
	f.Inventory = new(facts.Inventory)
	for file, v := range map[string]any{resource.IdentityPath: &f.Identity, agent.InventoryFile: f.Inventory} {
		r, err := env.Files.Open(file)
		if err != nil {
			continue // there is none yet
		}
		b, err := io.ReadAll(r)
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			return f, err
		}
	}
	f.Identity.Machine = "machine of " + h.name
	_, err := env.Files.Stat(facts.UnitDir + "/" + facts.BalancerUnit)
	f.Ways.Balancer = err == nil
	return f, nil
}

// simAgent is an agent as the machine sees it: it may be killed at any moment, and does nothing after that.
type simAgent struct {
	host     *simHost
	operator *simOperator
	end      *wireEnd
	cancel   context.CancelFunc

	mu   sync.Mutex
	dead bool
}

var errKilled = errors.New("the agent was killed")

func (a *simAgent) kill() {
	a.mu.Lock()
	a.dead = true
	a.mu.Unlock()
	h := a.host
	h.mu.Lock()
	if h.locked == a {
		h.locked = nil
	}
	delete(h.agents, a)
	h.mu.Unlock()
	a.end.cut()
	a.cancel()
}

func (a *simAgent) killed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dead
}

// TryLock is flock(2): it ends with the process.
func (a *simAgent) TryLock(holder agent.Holder) (func(), *agent.Holder, error) {
	h := a.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.killed() {
		return nil, nil, errKilled
	}
	if h.locked != nil {
		return nil, new(h.holder), nil
	}
	h.locked, h.holder, h.lockedAt = a, holder, time.Now()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.locked == a {
			h.locked = nil
		}
	}, nil, nil
}

// fault is what happens to a machine at an operation.
type fault int

const (
	none fault = iota
	agentKilledBefore
	agentKilledAfter
	hostDiesBefore
	hostDiesAfter
	connectionCut
	connectionSilent
	clockJumps
	lastFault
)

// faultEvery is how many operations there are on average from one fault on a machine to the next.
const faultEvery = 60

// do is everything that an agent changes on its machine.
func (a *simAgent) do(id resource.ID, what string, change func() error) error {
	h := a.host
	h.mu.Lock()
	h.operations++
	n := h.operations
	locked := h.locked == a
	h.mu.Unlock()
	if a.killed() {
		return errKilled
	}
	h.fleet.wrote(what, h)
	random := chance(h.fleet.seed, h.name, "operation", n)
	if !locked {
		h.fleet.violated("%s: %s, but the agent of %s has not the lock", h.name, what, a.operator.id)
	}
	if own := strings.HasPrefix(id.Name, agent.Dir); !own && id.Kind != "" {
		if id.Kind != "directory" && !h.owns(id) {
			h.fleet.violated("%s: %s, but it is not in the list of what was put there", h.name, what)
		}
		pause := time.Duration(random.IntN(200)) * time.Millisecond
		if id.Name == "/usr/local/slow" {
			pause = time.Duration(random.IntN(40)) * time.Second
		}
		time.Sleep(pause)
	}
	f := none
	if h.fleet.faults() && random.IntN(faultEvery) == 0 {
		f = fault(1 + random.IntN(int(lastFault)-1))
	}
	switch f {
	case agentKilledBefore:
		a.kill()
	case hostDiesBefore:
		h.die()
		h.fleet.risesAfter(h, random)
	case connectionCut:
		a.end.cut()
	case connectionSilent:
		a.end.silence()
	case clockJumps:
		h.machine.SetClock(time.Duration(random.IntN(7200)-3600) * time.Second)
	}
	if a.killed() {
		return errKilled
	}
	err := change()
	switch f {
	case agentKilledAfter:
		a.kill()
		return errKilled
	case hostDiesAfter:
		h.die()
		h.fleet.risesAfter(h, random)
		return errKilled
	}
	return err
}

// owns says whether the machine remembers that Kubewright put a resource there.
func (h *simHost) owns(id resource.ID) bool {
	r, err := h.machine.Env(nil).Files.Open(agent.Dir + "/owned.json")
	if err != nil {
		return false
	}
	b, err := io.ReadAll(r)
	h.must(err)
	// It is looked at so often that it is not worth being understood.
	for _, id := range []resource.ID{id, fileID("/etc/systemd/system/" + id.Name)} { // a unit goes before its file
		if bytes.Contains(b, []byte(`{"id":{"kind":"`+id.Kind+`","name":"`+id.Name+`"}`)) {
			return true
		}
	}
	return false
}

// disturb is a change of the service, which takes a while, and must be allowed.
func (a *simAgent) disturb(what string, change func() error) error {
	h := a.host
	return a.do(resource.ID{Kind: "unit", Name: service}, what, func() error {
		h.fleet.disturb(h, a.operator)
		h.mu.Lock()
		random := chance(h.fleet.seed, h.name, "disturbance", h.operations)
		h.mu.Unlock()
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		var err error
		if a.killed() {
			err = errKilled // systemd goes on by itself, or the machine is gone
		}
		if err == nil {
			err = change()
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil {
			h.read = h.config()
		}
		h.restarting, h.warm = false, time.Now().Add(time.Duration(random.IntN(3000))*time.Millisecond)
		return err
	})
}

type agentFiles struct {
	resource.Files
	a *simAgent
}

func fileID(name string) resource.ID { return resource.ID{Kind: "file", Name: name} }

func (f agentFiles) Write(name string, at resource.Attributes, content io.Reader) error {
	return f.a.do(fileID(name), "write "+name, func() error { return f.Files.Write(name, at, content) })
}

func (f agentFiles) SetAttributes(name string, at resource.Attributes) error {
	return f.a.do(fileID(name), "attributes "+name, func() error { return f.Files.SetAttributes(name, at) })
}

func (f agentFiles) Mkdir(name string, at resource.Attributes) error {
	return f.a.do(resource.ID{Kind: "directory", Name: name}, "mkdir "+name, func() error { return f.Files.Mkdir(name, at) })
}

func (f agentFiles) Link(target, name string) error {
	return f.a.do(fileID(name), "link "+name, func() error { return f.Files.Link(target, name) })
}

func (f agentFiles) Remove(name string) error {
	id := fileID(name)
	if i, err := f.Stat(name); err == nil && i.Type != 0 {
		id.Kind = "directory" // one that was not there before
	}
	return f.a.do(id, "remove "+name, func() error { return f.Files.Remove(name) })
}

func (f agentFiles) RemoveAll(name string) error {
	return f.a.do(resource.ID{Kind: "directory", Name: name}, "remove all of "+name, func() error { return f.Files.RemoveAll(name) })
}

type agentSystemd struct {
	resource.Systemd
	a *simAgent
}

func (s agentSystemd) change(op, name string, change func(context.Context, string) error) error {
	return s.a.do(resource.ID{Kind: "unit", Name: name}, op+" "+name, func() error { return change(context.Background(), name) })
}

func (s agentSystemd) disturb(op, name string, change func(context.Context, string) error) error {
	if name != service {
		return s.change(op, name, change)
	}
	return s.a.disturb(op+" "+name, func() error { return change(context.Background(), name) })
}

func (s agentSystemd) DaemonReload(ctx context.Context) error {
	return s.a.do(resource.ID{}, "daemon-reload", func() error { return s.Systemd.DaemonReload(ctx) })
}

func (s agentSystemd) Start(_ context.Context, name string) error {
	return s.disturb("start", name, s.Systemd.Start)
}

func (s agentSystemd) Stop(_ context.Context, name string) error {
	return s.disturb("stop", name, s.Systemd.Stop)
}

func (s agentSystemd) Restart(_ context.Context, name string) error {
	return s.disturb("restart", name, s.Systemd.Restart)
}

func (s agentSystemd) Reload(_ context.Context, name string) error {
	return s.change("reload", name, s.Systemd.Reload)
}

func (s agentSystemd) Enable(_ context.Context, name string) error {
	return s.change("enable", name, s.Systemd.Enable)
}

func (s agentSystemd) Disable(_ context.Context, name string) error {
	return s.change("disable", name, s.Systemd.Disable)
}

func (s agentSystemd) Mask(_ context.Context, name string) error {
	return s.change("mask", name, s.Systemd.Mask)
}

func (s agentSystemd) Unmask(_ context.Context, name string) error {
	return s.change("unmask", name, s.Systemd.Unmask)
}

type agentKernel struct {
	resource.Kernel
	a *simAgent
}

func (k agentKernel) SetSysctl(name, value string) error {
	return k.a.do(resource.ID{Kind: "sysctl", Name: name}, "sysctl "+name, func() error { return k.Kernel.SetSysctl(name, value) })
}

func (k agentKernel) LoadModule(ctx context.Context, name string) error {
	return k.a.do(resource.ID{Kind: "module", Name: name}, "load "+name, func() error { return k.Kernel.LoadModule(ctx, name) })
}

func (k agentKernel) UnloadModule(ctx context.Context, name string) error {
	return k.a.do(resource.ID{Kind: "module", Name: name}, "unload "+name, func() error { return k.Kernel.UnloadModule(ctx, name) })
}
