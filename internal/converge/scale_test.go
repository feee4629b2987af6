package converge_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

var (
	hosts = flag.Int("hosts", 0, "have TestScale measure this many hosts; for BenchmarkScale")
	serve = flag.String("serve", "", "have TestScale be these hosts, at this socket; for BenchmarkScale")
)

// maxMemory is what the controlling process of 5,000 hosts may take, in bytes.
const maxMemory = 1 << 30

// BenchmarkScale measures runs with 1,000 and 5,000 hosts, and how it grows from one to the other: linear is 5. All hosts are in the memory of a process beside the
// controlling one. They get the standard components but for packages and images, which need programs of a real machine.
func BenchmarkScale(b *testing.B) {
	for b.Loop() {
		small, large := measured(b, 1000), measured(b, 5000)
		fmt.Printf("%-34s %12s %12s %8s\n", "", "1,000 hosts", "5,000 hosts", "growth")
		for i, phase := range small.Phases {
			for _, v := range []struct {
				name         string
				small, large time.Duration
			}{{"time", phase.Wall, large.Phases[i].Wall}, {"processor", phase.CPU, large.Phases[i].CPU}} {
				fmt.Printf("%-34s %12v %12v %8.1f\n", phase.Name+", "+v.name, v.small.Round(time.Millisecond), v.large.Round(time.Millisecond), float64(v.large)/float64(v.small))
			}
		}
		for _, v := range []struct {
			name         string
			small, large int64
		}{{"controlling process, memory", small.Peak, large.Peak}, {"hosts, memory", small.Hosts.Peak, large.Hosts.Peak}} {
			fmt.Printf("%-34s %8d MiB %8d MiB %8.1f\n", v.name, v.small>>20, v.large>>20, float64(v.large)/float64(v.small))
		}
		fmt.Printf("%-34s %12v %12v %8.1f\n", "hosts, processor", small.Hosts.CPU.Round(time.Millisecond), large.Hosts.CPU.Round(time.Millisecond),
			float64(large.Hosts.CPU)/float64(small.Hosts.CPU))
		if large.Peak > maxMemory {
			b.Errorf("the controlling process of 5,000 hosts takes %d MiB, want at most %d", large.Peak>>20, maxMemory>>20)
		}
		b.ReportMetric(float64(large.Peak>>20), "MiB/5000hosts")
	}
}

// scale is what a run with some hosts took.
type scale struct {
	Phases []phase
	// Peak is the most memory that the process ever had, in bytes.
	Peak int64
	// CPU is how long processors worked for it.
	CPU time.Duration
	// Hosts are what the process of the hosts took.
	Hosts *scale
}

type phase struct {
	Name      string
	Wall, CPU time.Duration
}

// measured runs TestScale in a process of its own, as memory that was given back is not always seen.
func measured(b *testing.B, n int) scale {
	b.Helper()
	out, err := exec.Command(os.Args[0], "-test.run=^TestScale$", fmt.Sprintf("-hosts=%d", n)).Output()
	s, wrong := heard(out)
	if err := errors.Join(err, wrong); err != nil {
		b.Fatalf("%d hosts: %v", n, err)
	}
	return s
}

// TestScale is the work of BenchmarkScale.
func TestScale(t *testing.T) {
	n := *hosts
	measures := n > 0
	if !measures {
		n = 50 // that it works at all
	}
	f := newManyHosts(t, n)
	if *serve != "" {
		f.serve(t, *serve)
		return
	}
	var others func() *scale
	if measures {
		f.machines = nil // they are in the other process
		others = f.elsewhere(t, n)
	}
	var s scale
	measure := func(name string, do func() error) {
		t.Helper()
		start, cpu := time.Now(), processor(t)
		if err := do(); err != nil {
			t.Fatalf("%s: %.2000v", name, err)
		}
		s.Phases = append(s.Phases, phase{name, time.Since(start), processor(t) - cpu})
	}
	ask := func(*plan.Plan) error { return nil }
	var session *converge.Session
	measure("first plan, with connecting", func() (err error) {
		if session, err = converge.Open(t.Context(), f.options()); err != nil {
			return err
		}
		p, err := session.Plan(t.Context())
		if err == nil && p.Counts().Hosts != n {
			err = fmt.Errorf("the plan has something to do on %d of %d hosts", p.Counts().Hosts, n)
		}
		if err == nil {
			err = p.Text(io.Discard, plan.TextOptions{Lines: 10})
		}
		return err
	})
	measure("first apply", func() error { return session.Apply(t.Context(), ask) })
	session.Close()
	measure("plan, nothing to do", func() (err error) {
		if session, err = converge.Open(t.Context(), f.options()); err != nil {
			return err
		}
		p, err := session.Plan(t.Context())
		if err == nil && !p.Empty() {
			err = fmt.Errorf("after apply there is still something to do: %+v", p.Counts())
		}
		return err
	})
	measure("apply, nothing to do", func() error { return session.Apply(t.Context(), ask) })
	session.Close()
	f.agents.Wait()
	if !measures {
		return
	}
	s.Hosts = others()
	s.say(t)
}

// say prints what this process took, for the one that started it.
func (s scale) say(t *testing.T) {
	t.Helper()
	s.Peak, s.CPU = memory(t, "VmHWM:"), processor(t)
	line, err := json.Marshal(s)
	must(t, err)
	fmt.Printf("scale: %s\n", line)
}

// heard is what another process printed.
func heard(out []byte) (s scale, err error) {
	_, line, found := strings.Cut(string(out), "scale: ")
	if !found {
		return s, fmt.Errorf("it does not say what it took: %s", out)
	}
	return s, json.NewDecoder(strings.NewReader(line)).Decode(&s)
}

// serve are the hosts of another process, which connects to them by a socket and says which it means. They end with standard input.
func (m *manyHosts) serve(t *testing.T, socket string) {
	l, err := net.Listen("unix", socket)
	must(t, err)
	m.agents.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.agents.Go(func() {
				name := make([]byte, nameSize)
				if _, err := io.ReadFull(c, name); err == nil {
					m.agent(string(bytes.TrimSpace(name)), c)
				}
			})
		}
	})
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	must(t, errors.Join(err, l.Close()))
	m.agents.Wait()
	scale{}.say(t)
}

// nameSize is how many bytes say which host is meant, filled up with spaces.
const nameSize = 64

// elsewhere starts the process that the hosts are in. What it gives ends that, and says what it took.
func (m *manyHosts) elsewhere(t *testing.T, n int) func() *scale {
	socket := filepath.Join(t.TempDir(), "hosts")
	c := exec.Command(os.Args[0], "-test.run=^TestScale$", fmt.Sprintf("-hosts=%d", n), "-serve="+socket)
	stdin, err := c.StdinPipe()
	must(t, err)
	stdout, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	out := bufio.NewReader(stdout)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the process with the hosts says %q, %v", line, err)
	}
	m.dial = func(name string) (io.ReadWriteCloser, error) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_, err = fmt.Fprintf(c, "%-*s", nameSize, name)
		}
		return c, err
	}
	return func() *scale {
		must(t, stdin.Close())
		said, err := io.ReadAll(out)
		must(t, errors.Join(err, c.Wait()))
		s, err := heard(said)
		must(t, err)
		return &s
	}
}

// processor is how long processors worked for this process.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory of this process in bytes, by a name of proc(5).
func memory(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name)
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// manyHosts are machines in memory, a cluster file that names them, and a bundle that is made up.
type manyHosts struct {
	cluster  *cluster.Cluster
	bundle   *bundle.Bundle
	blobs    map[string][]byte
	machines map[string]*manyHost
	agents   sync.WaitGroup
	dial     func(name string) (io.ReadWriteCloser, error) // if they are in another process
}

type manyHost struct {
	machine *fake.Machine
	facts   facts.Host
}

func newManyHosts(t *testing.T, n int) *manyHosts {
	t.Helper()
	file := `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: many
hosts:
- {name: "c[1-3]", address: "10.0.0.[1-3]", roles: [control-plane]}
`
	for block := 0; 3+250*block < n; block++ {
		last := min(250, n-3-250*block)
		file += fmt.Sprintf("- {name: \"w%02d-[001-%03d]\", address: \"10.1.%d.[1-%d]\", roles: [worker]}\n", block, last, block, last)
	}
	file += "network: {podRanges: [10.128.0.0/11]}\n" // 8192 nodes
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	m := &manyHosts{cluster: &cluster.Cluster{Cluster: spec}, machines: map[string]*manyHost{}, blobs: map[string][]byte{}}
	m.addPrograms(t)
	contents := new(fake.Contents)
	for _, h := range spec.Hosts {
		m.machines[h.Name] = &manyHost{
			machine: fake.New(h.Name, contents),
			facts: facts.Host{
				BootID: h.Name, Hostname: h.Name, OS: facts.OS{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"}, Kernel: "6.1.0-18-amd64", Arch: "amd64",
				Virtualization: "kvm", CPUs: 4, Memory: 8 << 30, Cgroup: 2, Systemd: 252, RaisePriority: true, LoadModules: true, Packages: "apt",
				Addresses: []netip.Addr{netip.MustParseAddr(h.Address)}, Free: map[string]uint64{"/var/lib": 40 << 30, "/": 40 << 30},
				Identity: facts.Identity{Machine: "machine of " + h.Name},
			},
		}
	}
	steps, _ := m.components(converge.Wish{Cluster: m.cluster, Hosts: m.facts(), After: func(string) []plan.Condition { return nil }})
	for _, h := range m.machines {
		must(t, h.machine.Env(nil).Files.Write(bootFile, resource.Attributes{}, strings.NewReader("boot 1\n")))
		h.machine.DeclareUnit("systemd-journald.service", true, true)
		h.machine.SetRuntime("unix:///run/containerd/containerd.sock", &fake.Runtime{})
	}
	for _, s := range steps {
		for _, r := range s.Resources {
			switch r := r.(type) {
			case resource.Sysctl:
				m.machines[s.Host].machine.DeclareSysctl(r.Name, "0", "")
			case resource.KernelModule:
				m.machines[s.Host].machine.DeclareModule(r.Name, resource.ModuleAvailable)
			}
		}
	}
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (m *manyHosts) facts() map[string]facts.Host {
	all := map[string]facts.Host{}
	for name, h := range m.machines {
		all[name] = h.facts
	}
	return all
}

// places are the programs that containerd consists of, by where they belong.
var places = map[string]string{
	"runc": "usr/local/bin/runc", "containerd": "usr/local/bin/containerd", "containerd-shim-runc-v2": "usr/local/bin/containerd-shim-runc-v2",
	"ctr": "usr/local/bin/ctr", "crictl": "usr/local/bin/crictl", "cni": "opt/cni/bin/cni",
}

// addPrograms makes a bundle of small programs.
func (m *manyHosts) addPrograms(t *testing.T) {
	t.Helper()
	m.bundle = &bundle.Bundle{Kubernetes: "v1.37.1", Platform: "linux/amd64", Parts: []bundle.Part{{Kind: bundle.Image, Name: "registry.k8s.io/pause:3.10.2"}}}
	for name, path := range places {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b)
		must(t, err)
		archive := tar.NewWriter(z)
		content := []byte(strings.Repeat("program "+name, 1000))
		must(t, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o755, Size: int64(len(content))}))
		_, err = archive.Write(content)
		must(t, errors.Join(err, archive.Close(), z.Close()))
		digest := resource.DigestOf(b.Bytes())
		m.blobs[digest] = b.Bytes()
		hash, err := v1.NewHash(digest)
		must(t, err)
		m.bundle.Parts = append(m.bundle.Parts, bundle.Part{Kind: bundle.Programs, Name: name,
			Blobs: []bundle.Blob{{Digest: hash, Size: int64(b.Len()), MediaType: bundle.ProgramLayer, Title: name}}})
	}
}

func (m *manyHosts) Open(digest string) (io.ReadCloser, error) {
	b, ok := m.blobs[digest]
	if !ok {
		return nil, errors.New("there is no " + digest)
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// components are the standard ones, without what needs programs of a real machine.
func (m *manyHosts) components(w converge.Wish) ([]plan.Step, []plan.Problem) {
	steps, problems := converge.Hosts(m.bundle)(w)
	for i := range steps {
		steps[i].Resources = slices.DeleteFunc(steps[i].Resources, func(r resource.Resource) bool {
			kind := r.ID().Kind
			return kind == "packages" || kind == "images"
		})
	}
	problems = slices.DeleteFunc(problems, func(p plan.Problem) bool { return strings.Contains(p.Message, "packages") })
	return steps, problems
}

func (m *manyHosts) options() converge.Options {
	return converge.Options{Cluster: m.cluster, Components: m.components, Connect: m.connect, Blobs: m, Events: func(event.Event) {}, Holder: agent.Holder{Run: "one"}}
}

func (m *manyHosts) connect(_ context.Context, host v1alpha1.Host, _ func(string)) (io.ReadWriteCloser, error) {
	if m.dial != nil {
		return m.dial(host.Name)
	}
	there, here := newWire(nil, nil)
	m.agents.Go(func() { m.agent(host.Name, there) })
	return here, nil
}

func (m *manyHosts) agent(name string, stream io.ReadWriteCloser) {
	h := m.machines[name]
	// What it ends with is told to the run.
	_ = agent.Serve(context.Background(), stream, agent.ServeOptions{Env: *h.machine.Env(nil), Facts: h.look, Lock: h})
}

func (h *manyHost) look(_ context.Context, env *resource.Env) (facts.Host, error) {
	f := h.facts
	f.Clock = env.Kernel.Now()
	var i facts.Inventory
	for file, v := range map[string]any{resource.IdentityPath: &f.Identity, agent.InventoryFile: &i} {
		r, err := env.Files.Open(file)
		if err != nil {
			continue // there is none yet
		}
		if err := json.NewDecoder(r).Decode(v); err != nil {
			return f, err
		}
	}
	f.Identity.Machine = h.facts.Identity.Machine
	if len(i.Hosts) > 0 {
		f.Inventory = &i
	}
	return f, nil
}

// TryLock is the lock of a machine to which only one run comes.
func (h *manyHost) TryLock(agent.Holder) (func(), *agent.Holder, error) { return func() {}, nil, nil }
