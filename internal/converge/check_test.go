package converge

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/measure"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// measured is what was measured on hosts that are well; tests break it.
type measured struct {
	surveyed
	syncs     map[string]measure.Syncs
	rooms     map[string][]measure.Room
	listeners map[string][]measure.Listener
	servers   map[string][]measure.NameServer
	paths     map[string][]measure.Path
	conflicts map[string][]measure.Conflict
	kernel    map[string][]resource.KernelComplaint
	failed    map[string]resource.ID
}

func newMeasured(t *testing.T) *measured {
	t.Helper()
	w := newWorld(t)
	m := &measured{
		surveyed: surveyed{cluster: w.cluster, now: statusNow, hosts: w.hosts, missing: w.missing, found: map[string]resource.Found{}, lost: map[string]string{}, plan: &plan.Plan{}},
		syncs:    map[string]measure.Syncs{}, rooms: map[string][]measure.Room{}, listeners: map[string][]measure.Listener{}, servers: map[string][]measure.NameServer{},
		paths: map[string][]measure.Path{}, conflicts: map[string][]measure.Conflict{}, kernel: map[string][]resource.KernelComplaint{}, failed: map[string]resource.ID{},
	}
	for _, h := range m.cluster.Hosts {
		f := m.hosts[h.Name]
		f.OS, f.Kernel, f.Arch, f.Systemd, f.Cgroup = facts.OS{Name: "Debian GNU/Linux 12 (bookworm)"}, "6.1.0-18-amd64", "amd64", 252, 2
		f.CPUs, f.Memory, f.NameServers, f.ClockOffset, f.ClockError = 4, 16e9, []string{"10.0.0.53"}, 3*time.Millisecond, 2*time.Millisecond
		m.hosts[h.Name] = f
		m.syncs[h.Name] = measure.Syncs{Dir: "/var/lib/etcd", Count: 3000, P50: time.Millisecond, P99: 2500 * time.Microsecond, Most: 8 * time.Millisecond}
		m.rooms[h.Name] = []measure.Room{{Dir: "/", Size: 20 << 30, Free: 15 << 30, Files: 1e6, FreeFiles: 9e5}}
		m.listeners[h.Name] = []measure.Listener{
			{Network: "tcp", Address: netip.IPv4Unspecified(), Port: 22, Process: "sshd", PID: 7}, {Network: "tcp", Port: 10250, Process: "kubelet", PID: 8}, {Network: "udp", Port: 8472},
		}
		m.servers[h.Name] = []measure.NameServer{{Address: "10.0.0.53", Took: 4 * time.Millisecond}}
		for _, to := range m.others(h) {
			m.paths[h.Name] = append(m.paths[h.Name], measure.Path{To: to, Answers: true, Took: 300 * time.Microsecond, Sends: 1500, Carries: 1500})
		}
		m.conflicts[h.Name] = []measure.Conflict{{Address: netip.MustParseAddr(h.Address)}}
	}
	return m
}

func (m *measured) survey() *surveyed {
	for _, h := range m.cluster.Hosts {
		name := h.Name
		if _, answered := m.hosts[name]; !answered {
			continue
		}
		var f resource.Found
		add := func(id resource.ID, v any) {
			if m.failed[name] == id {
				f.Add(id, nil, errors.New("the disk hangs"))
				return
			}
			f.Add(id, v, nil)
		}
		for _, r := range m.surveyed.syncs(h) {
			s := m.syncs[name]
			if later, there := m.syncs[name+r.Dir]; there {
				s = later
			}
			add(r.ID(), s)
		}
		add(resource.RoomReport{}.ID(), m.rooms[name])
		add(resource.ListenersReport{}.ID(), m.listeners[name])
		add(resource.NameServersReport{}.ID(), m.servers[name])
		add(resource.PathsReport{}.ID(), m.paths[name])
		add(resource.ConflictsReport{}.ID(), m.conflicts[name])
		add(kernelLog.ID(), m.kernel[name])
		m.found[name] = f
	}
	return &m.surveyed
}

// change has the plan change resources of a host.
func (m *measured) change(host, step string, changes ...plan.ResourceChange) {
	m.plan.Steps = append(m.plan.Steps, plan.StepChange{Step: plan.Step{StepID: plan.StepID{Host: host, Name: step}}, Changes: changes})
}

// TestChecks also shows what programs read: the fields of these files stay.
func TestChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(m *measured)
		ready  bool
	}{
		{"well", func(*measured) {}, true},
		{"warnings", func(m *measured) {
			f := m.hosts["cp1"]
			f.CPUs, f.Memory = 1, 2e9
			m.hosts["cp1"] = f
			f = m.hosts["w1"]
			f.NameServers = nil
			m.hosts["w1"] = f
			m.servers["cp2"] = []measure.NameServer{{Address: "10.0.0.53", Why: "i/o timeout"}, {Address: "10.0.0.54", Took: time.Millisecond}}
			m.servers["cp3"] = []measure.NameServer{{Address: "10.0.0.53", Why: "i/o timeout"}}
			m.syncs["cp2"] = measure.Syncs{Dir: "/var/lib", Count: 300, P99: 23 * time.Millisecond}
			m.rooms["w2"] = []measure.Room{{Dir: "/", Size: 20 << 30, Free: 2500 << 20}}
			m.paths["w1"][0] = measure.Path{To: m.paths["w1"][0].To}
			m.plan.Problems = []plan.Problem{{Host: "w1", Message: "its kernel is 5.3", Remedy: "Take a newer one"}, {Host: "w1", Message: "it is a container"},
				{Kind: plan.KindClock, Host: "cp1", Message: "its clock is 3s behind this computer's; chrony will set it", Remedy: "x"}}
		}, true},
		{"failures", func(m *measured) {
			delete(m.hosts, "cp3")
			m.missing["cp3"] = "cp3: dialling 10.0.0.13:22: no route to host"
			m.syncs["cp1"] = measure.Syncs{Dir: "/var/lib", Count: 20, P99: 200 * time.Millisecond}
			m.syncs["cp2"] = measure.Syncs{Dir: "/var/lib", Count: 200, P99: 150 * time.Millisecond}
			m.rooms["w1"] = []measure.Room{{Dir: "/", Size: 20 << 30}, {Dir: "/var/lib", Size: 20 << 30}, {Dir: "/var/log", Size: 1 << 30, Free: 1 << 29, ReadOnly: true}}
			m.rooms["w2"] = []measure.Room{{Dir: "/", Size: 20 << 30, Free: 10 << 30, Files: 1000, FreeFiles: 3}}
			m.listeners["cp1"] = []measure.Listener{{Network: "tcp", Port: 6443, Process: "nginx", PID: 99}, {Network: "udp", Port: 8472, Process: "odd", PID: 100}}
			m.paths["w1"][0].Carries, m.paths["w1"][1].Carries = 1400, 0
			m.paths["w2"][0] = measure.Path{To: m.paths["w2"][0].To, Why: "opening a socket for ICMP: operation not permitted"}
			m.conflicts["w2"] = []measure.Conflict{{Address: netip.MustParseAddr("10.0.0.22"), Hardware: "02:00:00:00:00:09"}}
			m.failed["w1"] = resource.ConflictsReport{}.ID()
			m.plan.Problems = []plan.Problem{{Host: "w2", Message: "systemd does not run on it", Remedy: "Take a distribution that starts with it", Blocks: true}}
			m.plan.Steps = []plan.StepChange{{Step: plan.Step{StepID: plan.StepID{Host: "w1", Name: "kernel"}}, Blocked: []plan.Remark{{Resource: resource.KernelModule{Name: "vxlan"}.ID(), Text: "this kernel has none"}},
				Unknown: []plan.Remark{{Resource: resource.ID{Kind: "file", Name: "/etc/x"}, Text: "input/output error"}}}}
		}, false},
		{"no-bundle", func(m *measured) { m.plan, m.noPlan = nil, "there is no bundle of node software in /x" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMeasured(t)
			c.breaks(m)
			got := m.survey().checks()
			if got.Ready != c.ready {
				t.Errorf("ready is %t", got.Ready)
			}
			golden(t, "check-"+c.name+".json", got)
		})
	}
}

func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs; go test -update writes it anew:\n%s", file, strings.Join(resource.DiffLines(string(want), string(got)), "\n"))
	}
}

// A path may be shorter than interfaces are, where Pods' packets are shorter still, or where the network says so.
func TestShortPaths(t *testing.T) {
	for _, c := range []struct {
		name, file string
		path       measure.Path
		want       Outcome
		says       string
	}{
		{"whole", "", measure.Path{Answers: true, Sends: 1500, Carries: 1500}, Pass, ""},
		{"short", "", measure.Path{Answers: true, Sends: 1500, Carries: 1400}, Fail, "network.mtu: 1350"},
		{"short, and the network says so", "", measure.Path{Answers: true, Sends: 9000, Carries: 1500, Told: true}, Pass, ""},
		{"short, and Pods send less", "network: {mtu: 1350}", measure.Path{Answers: true, Sends: 1500, Carries: 1400}, Pass, ""},
		{"short, and Pods send too much with what is put around", "network: {mtu: 1400}", measure.Path{Answers: true, Sends: 1500, Carries: 1400}, Fail, "network.mtu: 1350"},
		{"short, nothing put around", "network: {mtu: 1400, flannel: {backend: host-gw}}", measure.Path{Answers: true, Sends: 1500, Carries: 1400}, Pass, ""},
		{"short, a network of theirs", "network: {plugin: none}", measure.Path{Answers: true, Sends: 1500, Carries: 1400}, Fail, "network.mtu: 1400"},
		{"large ones unanswered", "", measure.Path{Answers: true, Sends: 1500}, Warn, "let it pass"},
		{"unanswered", "", measure.Path{Sends: 1500}, Warn, "let it pass"},
		{"no route", "", measure.Path{NoRoute: true, Why: "network is unreachable"}, Fail, "Give it one"},
		{"unknown", "", measure.Path{Why: "operation not permitted"}, NotChecked, "Ask again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMeasured(t)
			spec := *m.cluster.Cluster
			parsed, err := v1alpha1.Parse("cluster.yaml", []byte(statusFile+c.file+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			spec.Network = parsed.Network
			m.cluster = &cluster.Cluster{Cluster: &spec}
			c.path.To = netip.MustParseAddr("10.0.0.11")
			m.paths["w1"] = []measure.Path{c.path}
			got := m.survey().paths(m.cluster.Hosts[3], facts.Host{})
			if len(got) != 1 || got[0].Outcome != c.want || !strings.Contains(got[0].Remedy, c.says) {
				t.Errorf("it says %+v; want %s and %q", got, c.want, c.says)
			}
		})
	}
}

// Members of etcd are measured where their data is, and for less long where the cluster lives.
func TestSyncOf(t *testing.T) {
	m := newMeasured(t)
	spec := *m.cluster.Cluster
	spec.Etcd.DataDir = "/data/etcd"
	m.cluster = &cluster.Cluster{Cluster: &spec}
	if got := m.surveyed.syncs(m.cluster.Hosts[0]); len(got) != 1 || got[0].Dir != "/data/etcd" || got[0].Limit != livingSyncTime {
		t.Errorf("on a cluster that lives: %+v", got)
	}
	for name := range m.hosts {
		m.hosts[name] = facts.Host{}
	}
	if got := m.surveyed.syncs(m.cluster.Hosts[0]); len(got) != 1 || got[0].Limit != syncTime {
		t.Errorf("before there is a cluster: %+v", got)
	}
	if got := m.roomDirs(); !slices.Contains(got, "/data/etcd") || !slices.Contains(got, "/var/lib/containerd") {
		t.Errorf("room is looked for in %q", got)
	}
}

// Members of the etcd for events are measured, too, where their data is.
func TestDisksOfEvents(t *testing.T) {
	m := newMeasured(t)
	spec := *m.cluster.Cluster
	spec.Etcd.Events = v1alpha1.EtcdEvents{Hosts: []string{"cp1"}, DataDir: "/data/events"}
	m.cluster = &cluster.Cluster{Cluster: &spec}
	m.syncs["cp1/data/events"] = measure.Syncs{Dir: "/data", Count: 300, P99: 23 * time.Millisecond}
	var got []string
	for _, h := range m.cluster.Hosts {
		for _, c := range m.survey().disk(h, facts.Host{}) {
			got = append(got, h.Name+": "+string(c.Outcome)+", "+c.Value)
		}
	}
	fine := string(Pass) + ", 99 % of syncs in /var/lib/etcd take 2.5 ms or less"
	want := []string{"cp1: " + fine, "cp1: " + string(Warn) + ", 99 % of syncs in /data take 23 ms or less", "cp2: " + fine, "cp3: " + fine}
	if !slices.Equal(got, want) {
		t.Errorf("it says %q; want %q", got, want)
	}
	if got := m.roomDirs(); !slices.Contains(got, "/data/events") {
		t.Errorf("room is looked for in %q", got)
	}
}

// Only file systems that kubelets look after are judged by what kubelets do.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		rooms []measure.Room
		want  Outcome
	}{
		{[]measure.Room{{Dir: "/var/lib", Size: 100 << 30, Free: 50 << 30}, {Dir: "/", Size: 10 << 30, Free: 900 << 20}}, Pass},
		{[]measure.Room{{Dir: "/var/lib", Size: 10 << 30, Free: 900 << 20}, {Dir: "/", Size: 10 << 30, Free: 9 << 30}}, Fail},
		{[]measure.Room{{Dir: "/var/lib", Size: 10 << 30, Free: 9 << 30}, {Dir: "/var/lib/containerd", Size: 10 << 30, Free: 1200 << 20}}, Warn},
		{[]measure.Room{{Dir: "/var/lib", Size: 10 << 30, Free: 9 << 30}, {Dir: "/var/log", Size: 1 << 30, Free: 1 << 20}}, Fail},
		{[]measure.Room{{Dir: "/var/lib", Size: 10 << 30, Free: 9 << 30}, {Dir: "/", Size: 1 << 30, ReadOnly: true}}, Pass},
		{[]measure.Room{{Dir: "/var/lib", Size: 10 << 30, Free: 9 << 30, ReadOnly: true}}, Fail},
	} {
		m := newMeasured(t)
		m.rooms["w1"] = c.rooms
		if got := m.survey().room(m.cluster.Hosts[3], facts.Host{}); len(got) != 1 || got[0].Outcome != c.want {
			t.Errorf("of %+v it says %+v; want %s", c.rooms, got, c.want)
		}
	}
}

// Each host sends to control planes and to the next ones, and not to all of thousands.
func TestOthers(t *testing.T) {
	m := newMeasured(t)
	if got := m.others(m.cluster.Hosts[3]); len(got) != 4 || got[0].String() != "10.0.0.11" || got[3].String() != "10.0.0.22" {
		t.Errorf("w1 sends to %v", got)
	}
	for _, h := range m.cluster.Hosts[3:] {
		for range 20 {
			h.Name += "x"
			m.cluster.Hosts = append(m.cluster.Hosts, h)
			m.hosts[h.Name] = facts.Host{}
		}
	}
	if got := m.others(m.cluster.Hosts[3]); len(got) != maxPaths {
		t.Errorf("of many hosts, w1 sends to %d", len(got))
	}
}

func TestDiagnosis(t *testing.T) {
	manifest := plan.ResourceChange{Resource: resource.ID{Kind: "file", Name: "/etc/kubernetes/manifests/kube-scheduler.yaml"}, Action: plan.Update,
		Changes: []resource.Change{{What: "content", Lines: []string{"@@ line 1 @@", "-a", "+b"}, Disturbs: true}}}
	for _, c := range []struct {
		name   string
		breaks func(w *world, m *measured)
	}{
		{"well", func(*world, *measured) {}},
		{"one-cause", func(w *world, m *measured) {
			w.pods["cp2"][2].Unwell = "the container kube-scheduler of kube-scheduler ended with code 1: unknown flag: --broken"
			m.change("cp2", "control plane", manifest)
		}},
		// What is not known is told as that, and is no cause: pings that nobody answers, and a clock that is this computer's own.
		{"not-known", func(_ *world, m *measured) {
			for name := range m.paths {
				for i := range m.paths[name] {
					m.paths[name][i] = measure.Path{To: m.paths[name][i].To}
				}
			}
			m.failed["w1"] = kernelLog.ID()
			m.failed["w2"] = resource.ConflictsReport{}.ID()
			m.plan.Problems = []plan.Problem{{Kind: plan.KindClock, Message: "the clock of this computer is 9s behind those of most hosts", Remedy: "Set it"}}
		}},
		{"many", func(w *world, m *measured) {
			w.quiet("cp3")
			w.pods["cp2"][2].Unwell = "the container kube-scheduler of kube-scheduler ended with code 1: unknown flag: --broken"
			w.members["cp2"] = etcd.Status{Unwell: "no space left on device"}
			w.unwell["w1"]["unit-active kubelet.service"] = "kubelet.service is activating: running with swap on is not supported"
			w.certs["w2"][1].Until = statusNow.AddDate(0, 0, -2)
			w.addons["rollout Deployment kube-system/coredns"] = "Deployment kube-system/coredns: 0 of 2 Pods are available; Pod coredns-1: ImagePullBackOff"
			m.missing["cp3"] = w.missing["cp3"]
			m.change("cp2", "control plane", manifest)
			m.change("w1", "host", plan.ResourceChange{Resource: resource.Swap{}.ID(), Action: plan.Update, Changes: []resource.Change{{What: "active", Old: "/swap", New: "off"}}})
			m.change("w1", "host", plan.ResourceChange{Resource: resource.ID{Kind: "file", Name: "/etc/gone"}, Action: plan.Create, Changes: []resource.Change{{What: "present", Lines: []string{"+x"}}}})
			m.rooms["cp2"] = []measure.Room{{Dir: "/", Size: 20 << 30}}
			m.syncs["cp1"] = measure.Syncs{Dir: "/var/lib/etcd", Count: 300, P99: 23 * time.Millisecond}
			m.paths["w1"][0].Carries = 1400
			m.servers["w2"] = []measure.NameServer{{Address: "10.0.0.53", Why: "i/o timeout"}}
			f := m.hosts["cp1"]
			f.NameServers = nil // which may be meant
			m.hosts["cp1"] = f
			m.plan.Problems = []plan.Problem{{Kind: plan.KindClock, Host: "w1", Message: "it is 9s behind", Remedy: "Set it", Blocks: true}}
			m.plan.Steps = append(m.plan.Steps, plan.StepChange{Step: plan.Step{StepID: plan.StepID{Host: "w1", Name: "host"}}, Blocked: []plan.Remark{
				{Resource: resource.KernelModule{Name: "vxlan"}.ID(), Text: "this kernel has none"}, {Resource: resource.File{Path: "/etc/x"}.ID(), Text: "its directory is read-only"}}})
			m.kernel["w2"] = []resource.KernelComplaint{{Kind: resource.OutOfMemory, Times: 3, Last: "oom-kill:constraint=CONSTRAINT_NONE"}, {Kind: resource.TooManyFlows, Times: 1, Last: "nf_conntrack: table full"}}
		}},
		// What a host that was never prepared lacks is no drift.
		{"no-cluster", func(w *world, m *measured) {
			for name, f := range w.hosts {
				f.Identity.Cluster, f.Kubernetes = "", facts.Kubernetes{}
				w.hosts[name], m.hosts[name] = f, f
			}
			m.change("cp2", "control plane", manifest)
			w.down()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, m := newWorld(t), newMeasured(t)
			c.breaks(w, m)
			m.hosts = keep(m.hosts, w.hosts)
			d := m.survey().diagnosis(w.look())
			d.Status, d.Checks = Status{}, Checks{} // their own tests show them
			golden(t, "diagnosis-"+c.name+".json", d)
		})
	}
}

// keep are those hosts of a that are in b.
func keep(a, b map[string]facts.Host) map[string]facts.Host {
	for name := range a {
		if _, there := b[name]; !there {
			delete(a, name)
		}
	}
	return a
}
