package converge

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/measure"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/sizing"
)

// Names of checks, which causes are found by.
const (
	checkReached   = "reached"
	checkSystem    = "system"
	checkPrepared  = "preparation"
	checkPossible  = "possible"
	checkClock     = "clock"
	checkAddress   = "address"
	checkPorts     = "ports"
	checkDisk      = "disk latency"
	checkRoom      = "room"
	checkNames     = "name servers"
	checkPath      = "packet size"
	checkProcessor = "processors"
	checkMemory    = "memory"
	checkPlan      = "plan"
)

// checks are made of what was found out. It is pure.
func (v *surveyed) checks() Checks {
	v.nodes = len(v.cluster.Nodes())
	all := Checks{Cluster: v.cluster.Name, Time: v.now.UTC().Truncate(time.Second), Checks: []Check{}}
	add := func(list ...Check) { all.Checks = append(all.Checks, list...) }
	each := func(name string, of func(v1alpha1.Host, facts.Host) []Check) {
		for _, h := range v.cluster.Hosts {
			f, answered := v.hosts[h.Name]
			if !answered {
				continue
			}
			for _, c := range of(h, f) {
				c.Name, c.Host = name, h.Name
				add(c)
			}
		}
	}
	add(v.reached()...)
	each(checkSystem, func(_ v1alpha1.Host, f facts.Host) []Check { return []Check{system(f)} })
	each(checkProcessor, v.processors)
	each(checkMemory, v.memory)
	each(checkRoom, v.room)
	each(checkDisk, v.disk)
	each(checkClock, func(_ v1alpha1.Host, f facts.Host) []Check { return []Check{clock(f)} })
	each(checkNames, v.nameServers)
	each(checkAddress, v.conflicts)
	each(checkPath, v.paths)
	each(checkPorts, v.ports)
	add(v.planned()...)
	all.Ready = !slices.ContainsFunc(all.Checks, func(c Check) bool { return c.Outcome == Fail || c.Outcome == NotChecked })
	return all
}

func pass(value string, worse float64) []Check {
	return []Check{{Outcome: Pass, Value: value, Worse: worse}}
}

func (v *surveyed) reached() []Check {
	var list []Check
	for _, h := range v.cluster.Hosts {
		c := Check{Name: checkReached, Host: h.Name, Outcome: Pass, Value: "by SSH, and an agent runs as root"}
		if why, missing := v.missing[h.Name]; missing {
			c = Check{Name: c.Name, Host: h.Name, Outcome: Fail, Message: strings.TrimPrefix(why, h.Name+": "), Remedy: "Until it can be reached, nothing is known of it and nothing done on it"}
		} else if why := v.lost[h.Name]; why != "" {
			c = Check{Name: c.Name, Host: h.Name, Outcome: NotChecked, Message: strings.TrimPrefix(why, h.Name+": "), Remedy: "Ask again"}
		}
		list = append(list, c)
	}
	return list
}

func system(f facts.Host) Check {
	return Check{Outcome: Pass, Value: fmt.Sprintf("%s, Linux %s, %s, systemd %d, control groups %d", cmp.Or(f.OS.Name, "an unknown distribution"), f.Kernel, f.Arch, f.Systemd, f.Cgroup)}
}

// wanted is what a host should have for the size of the cluster.
func (v *surveyed) wanted(h v1alpha1.Host) (m sizing.Machine, known bool) {
	s, err := sizing.For(max(v.nodes, 1), 110)
	if err != nil {
		return m, false
	}
	switch {
	case slices.Contains(h.Roles, v1alpha1.ControlPlane):
		return s.ControlPlane, true
	case v.cluster.HasAnyMember(h):
		return s.Etcd.Machine, true
	}
	return m, false
}

const sizingRemedy = "It will do for trying things out; \"kubewright size\" says what the figures are for and where they come from"

func (v *surveyed) processors(h v1alpha1.Host, f facts.Host) []Check {
	value := fmt.Sprintf("%d", f.CPUs)
	processors := value + " processors"
	if f.CPUs == 1 {
		processors = "1 processor"
	}
	if want, known := v.wanted(h); known && f.CPUs < want.CPUs {
		return []Check{{Outcome: Warn, Value: value, Message: fmt.Sprintf("it has %s, and a host of its roles should have %d in a cluster of %d nodes", processors, want.CPUs, v.nodes), Remedy: sizingRemedy}}
	}
	return pass(value, -float64(f.CPUs))
}

// memoryShare of what a machine is sold with is what its kernel gives away at least.
const memoryShare = 0.9

func (v *surveyed) memory(h v1alpha1.Host, f facts.Host) []Check {
	value := units.BytesSize(float64(f.Memory))
	if want, known := v.wanted(h); known && float64(f.Memory) < memoryShare*1e9*float64(want.Memory) {
		return []Check{{Outcome: Warn, Value: value, Message: fmt.Sprintf("it has %s of memory, and a host of its roles should have %d GB in a cluster of %d nodes", value, want.Memory, v.nodes), Remedy: sizingRemedy}}
	}
	return pass(value, -float64(f.Memory))
}

// unfound is that something could not be found out.
func unfound(why string) []Check {
	return []Check{{Outcome: NotChecked, Message: why, Remedy: "Ask again"}}
}

// Shares of a file system that are free. Kubelets delete images when less than imageFree is, and evict Pods when less than evictFree is, by default
// (imageGCHighThresholdPercent 85 and evictionHard nodefs.available 10 %, imagefs.available 15 % in kubelet.config.k8s.io/v1beta1).
const (
	imageFree = 0.15
	evictFree = 0.10
	filesFree = 0.05
	// leastFree is for other file systems, in bytes.
	leastFree = 50 << 20
)

func (v *surveyed) room(h v1alpha1.Host, _ facts.Host) []Check {
	var rooms []measure.Room
	if why := v.found[h.Name].Get(resource.RoomReport{}.ID(), &rooms); why != "" {
		return unfound(why)
	}
	var list []Check
	fullest := Check{Outcome: Pass}
	for i, r := range rooms {
		r.Dir = "" // one file system may be seen as several, as overlays are
		if slices.ContainsFunc(rooms[:i], func(o measure.Room) bool { o.Dir = ""; return o == r }) || r.Size == 0 {
			continue
		}
		r.Dir = rooms[i].Dir
		free := float64(r.Free) / float64(r.Size)
		value := fmt.Sprintf("%s of %s free in %s", units.BytesSize(float64(r.Free)), units.BytesSize(float64(r.Size)), r.Dir)
		kubelet := i == 0 || r.Dir == v.cluster.Runtime.Root // which kubelets look after
		remedy := "Make room: old logs, unused images (\"crictl rmi --prune\"), what others left"
		switch {
		case r.ReadOnly && (i == 0 || r.Dir != "/"): // systems that never change have such a root
			list = append(list, Check{Outcome: Fail, Value: value, Message: "nothing can be written to " + r.Dir + ": its file system is read-only", Remedy: "See in \"dmesg\" whether the disk is broken, and mount it anew"})
		case r.Files > 0 && float64(r.FreeFiles) < filesFree*float64(r.Files):
			list = append(list, Check{Outcome: Fail, Value: value, Message: fmt.Sprintf("the file system of %s can hold only %d more files of %d", r.Dir, r.FreeFiles, r.Files),
				Remedy: "Find the directory with very many files (du --inodes) and clear it"})
		case kubelet && free < evictFree:
			list = append(list, Check{Outcome: Fail, Value: value, Message: fmt.Sprintf("only %s: kubelets evict Pods when less than %.0f %% are free", value, evictFree*100), Remedy: remedy})
		case kubelet && free < imageFree:
			list = append(list, Check{Outcome: Warn, Value: value, Message: fmt.Sprintf("only %s: kubelets delete images when less than %.0f %% are free", value, imageFree*100), Remedy: "Make room, or give it a larger disk"})
		case r.Free < leastFree && !r.ReadOnly:
			list = append(list, Check{Outcome: Fail, Value: value, Message: "only " + value + ": what writes there will soon fail", Remedy: remedy})
		case fullest.Value == "" || -free > fullest.Worse:
			fullest.Value, fullest.Worse = value, -free
		}
	}
	if len(list) > 0 {
		return list
	}
	return []Check{fullest}
}

// What etcd wants of its disk: 99 % of syncs within 10 ms (etcd's FAQ v3.6, "What does the etcd warning 'apply entries took too long' mean?", of
// wal_fsync_duration_seconds). With a tenth of a heartbeat interval of 100 ms gone for each, twice as much makes leaders change.
const (
	maxSync    = 10 * time.Millisecond
	brokenSync = 100 * time.Millisecond
	// leastSyncs are needed to speak of 99 %.
	leastSyncs = 50
)

func (v *surveyed) disk(h v1alpha1.Host, _ facts.Host) []Check {
	var list []Check
	for _, r := range v.syncs(h) {
		list = append(list, v.diskOf(h, r)...)
	}
	return list
}

// diskOf is the disk of one of a host's members.
func (v *surveyed) diskOf(h v1alpha1.Host, r resource.SyncReport) []Check {
	var s measure.Syncs
	if why := v.found[h.Name].Get(r.ID(), &s); why != "" {
		return unfound(why)
	}
	value := fmt.Sprintf("99 %% of syncs in %s take %s or less", s.Dir, milliseconds(s.P99))
	remedy := "Give etcd a disk of its own, an SSD; see what else writes to this one"
	switch {
	case s.Count < leastSyncs:
		return []Check{{Outcome: Fail, Value: value, Worse: float64(syncTime), Message: fmt.Sprintf("in %s its disk took only %d syncs of 2.3 kB in %s: etcd does not work with that", s.Dir, s.Count, r.Limit), Remedy: remedy}}
	case s.P99 > brokenSync:
		return []Check{{Outcome: Fail, Value: value, Message: fmt.Sprintf("%s; etcd wants %s, and loses its leaders at this", value, milliseconds(maxSync)), Remedy: remedy, Worse: float64(s.P99)}}
	case s.P99 > maxSync:
		return []Check{{Outcome: Warn, Value: value, Message: fmt.Sprintf("%s; etcd wants %s", value, milliseconds(maxSync)), Remedy: remedy, Worse: float64(s.P99)}}
	}
	return pass(value, float64(s.P99))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}

// clock only tells: what of it is wrong, the plan knows, which also knows when it is this computer's that is off.
func clock(f facts.Host) Check {
	off := f.ClockOffset.Abs() - f.ClockError/2
	return Check{Outcome: Pass, Value: fmt.Sprintf("off by %s, give or take %s", f.ClockOffset.Abs().Round(time.Millisecond), (f.ClockError / 2).Round(time.Millisecond)), Worse: float64(off)}
}

func (v *surveyed) nameServers(h v1alpha1.Host, f facts.Host) []Check {
	if len(f.NameServers) == 0 {
		return []Check{{Kind: plan.KindNoNameServers, Outcome: Warn, Value: "none", Message: "/etc/resolv.conf names no name server, so Pods know the names of the cluster alone", Remedy: "Name one there, if the cluster shall know others' names"}}
	}
	var list []measure.NameServer
	if why := v.found[h.Name].Get(resource.NameServersReport{}.ID(), &list); why != "" {
		return unfound(why)
	}
	var dead []string
	var slowest time.Duration
	for _, n := range list {
		if n.Why != "" {
			dead = append(dead, fmt.Sprintf("%s (%s)", n.Address, n.Why))
		}
		slowest = max(slowest, n.Took)
	}
	remedy := "Mend it, or name another in /etc/resolv.conf: each question to it costs seconds first. Without internet, take out those that nobody reaches"
	switch {
	case len(dead) == len(list):
		return []Check{{Outcome: Warn, Message: "no name server answers: " + strings.Join(dead, ", "), Remedy: remedy}}
	case len(dead) > 0:
		return []Check{{Outcome: Warn, Message: "some of its name servers do not answer: " + strings.Join(dead, ", "), Remedy: remedy}}
	}
	return pass(fmt.Sprintf("%d, within %s", len(list), milliseconds(slowest)), float64(slowest))
}

func (v *surveyed) conflicts(h v1alpha1.Host, _ facts.Host) []Check {
	var list []measure.Conflict
	if why := v.found[h.Name].Get(resource.ConflictsReport{}.ID(), &list); why != "" {
		return unfound(why)
	}
	for _, c := range list {
		if c.Hardware != "" {
			if a, err := netip.ParseAddr(v.cluster.Endpoint.Address); err == nil && a.Unmap() == c.Address {
				return []Check{{Outcome: Fail, Message: fmt.Sprintf("somebody has the address %s, which it is to hold: a machine whose network card is %s", c.Address, c.Hardware),
					Remedy: "Say another endpoint.address in the cluster file, or find that machine (the switch knows where the card is) and take the address from it"}}
			}
			return []Check{{Outcome: Fail, Message: fmt.Sprintf("somebody else has its address %s, too: a machine whose network card is %s", c.Address, c.Hardware),
				Remedy: "Find that machine (the switch knows where the card is), and give one of them another address"}}
		}
		if c.Why != "" {
			return unfound(fmt.Sprintf("%s: %s", c.Address, c.Why))
		}
	}
	if len(list) == 0 {
		return pass("not asked: it is on no Ethernet by IPv4", 0)
	}
	return pass("nobody else has its addresses", 0)
}

// Overheads of VXLAN: outer headers of Ethernet, IP, UDP and VXLAN (flannel v0.28, pkg/backend/vxlan).
const (
	overhead4 = 50
	overhead6 = 70
)

// overhead is how much longer packets of Pods are between hosts, to an address.
func (v *surveyed) overhead(to netip.Addr) int {
	n := v.cluster.Network
	switch {
	case n.Plugin != v1alpha1.Flannel || n.Flannel.Backend != v1alpha1.VXLAN:
		return 0
	case to.Is6():
		return overhead6
	}
	return overhead4
}

// shortestLarge is what IPv4 always carries (RFC 791); if not even that is answered, large packets are not answered at all, and what arrives is not known.
const shortestLarge = 576

func (v *surveyed) paths(h v1alpha1.Host, _ facts.Host) []Check {
	var list []measure.Path
	if why := v.found[h.Name].Get(resource.PathsReport{}.ID(), &list); why != "" {
		return unfound(why)
	}
	if len(list) == 0 {
		return nil
	}
	var silent, short, unknown, lost []string
	var worst measure.Path
	shortest, sends := 0, 0
	var slowest time.Duration
	for _, p := range list {
		to := cmp.Or(v.name(p.To), p.To.String())
		switch {
		case p.NoRoute:
			lost = append(lost, to)
		case p.Why != "":
			unknown = append(unknown, to+": "+p.Why)
		case !p.Answers || p.Carries < min(shortestLarge, p.Sends):
			silent = append(silent, to)
		default:
			slowest, sends = max(slowest, p.Took), max(sends, p.Sends)
			if shortest == 0 || p.Carries < shortest {
				shortest = p.Carries
			}
			if p.Carries < p.Sends && !p.Told && (v.cluster.Network.MTU == 0 || v.cluster.Network.MTU+v.overhead(p.To) > p.Carries) {
				short = append(short, fmt.Sprintf("to %s %d bytes", to, p.Carries))
				if worst.Carries == 0 || p.Carries < worst.Carries {
					worst = p
				}
			}
		}
	}
	switch {
	case len(lost) > 0:
		return []Check{{Outcome: Fail, Message: "it has no route to " + strings.Join(lost, ", "), Remedy: "Give it one, or say in internalAddresses by which addresses hosts reach each other"}}
	case len(short) > 0:
		return []Check{{Outcome: Fail, Message: fmt.Sprintf("its interface sends packets of %d bytes, and shorter ones arrive: %s. Nobody tells it, so large answers will hang", sends, strings.Join(short, ", ")),
			Remedy: fmt.Sprintf("Mend the network (MTU of interfaces, switches, tunnels), or give the hosts' interfaces an MTU of %d, and say network.mtu: %d in the cluster file", worst.Carries, worst.Carries-v.overhead(worst.To))}}
	case len(unknown) > 0:
		return unfound(strings.Join(unknown, "; "))
	case len(silent) > 0:
		return []Check{{Outcome: Warn, Message: "no answer to ping, or to large ones, from " + strings.Join(silent, ", ") + ", so which packets arrive there is not known",
			Remedy: "If a firewall drops ICMP, let it pass: hosts learn from it how long packets may be"}}
	}
	return pass(fmt.Sprintf("%d bytes to %d others, the furthest %s away", shortest, len(list), milliseconds(slowest)), float64(slowest))
}

// name of the host that has an address; empty if none of the cluster's has.
func (v *surveyed) name(a netip.Addr) string {
	if v.names == nil {
		v.names = map[netip.Addr]string{}
		for _, o := range v.cluster.Hosts {
			for _, has := range addressesOf(o) {
				v.names[has] = o.Name
			}
		}
	}
	return v.names[a]
}

func (v *surveyed) ports(h v1alpha1.Host, _ facts.Host) []Check {
	var list []measure.Listener
	if why := v.found[h.Name].Get(resource.ListenersReport{}.ID(), &list); why != "" {
		return unfound(why)
	}
	needed := portsOf(v.cluster, h)
	if who := taken(needed, list); len(who) > 0 {
		return []Check{{Outcome: Fail, Message: "it needs ports that others have: " + strings.Join(who, "; "), Remedy: "Stop what has them there, or have it use others"}}
	}
	return pass(fmt.Sprintf("%d are free, or the cluster's already", len(needed)), 0)
}

// planned are the problems that components have with hosts, and what cannot be made so.
func (v *surveyed) planned() []Check {
	if v.plan == nil {
		return []Check{{Name: checkPlan, Outcome: Fail, Message: v.noPlan, Remedy: "Without a plan, what stands in its way is not known"}}
	}
	var list []Check
	for _, p := range v.plan.Problems {
		c := Check{Name: checkPrepared, Kind: p.Kind, Host: p.Host, Outcome: Warn, Message: p.Message, Remedy: p.Remedy}
		if p.Kind == plan.KindClock {
			c.Name = checkClock
		}
		switch {
		case p.Blocks:
			c.Outcome = Fail
		case p.Remedy == "":
			continue // to be known, and harmless
		}
		list = append(list, c)
	}
	remarks := func(of func(*plan.StepChange) []plan.Remark, o Outcome, what string) {
		for i := range v.plan.Steps {
			s := &v.plan.Steps[i]
			for _, r := range of(s) {
				list = append(list, Check{Name: checkPossible, Kind: kindOf(r.Resource), Host: s.Host, Outcome: o, Message: fmt.Sprintf("%s: %s %s: %s", s.Name, r.Resource, what, r.Text), Remedy: "\"kubewright plan\" shows where"})
			}
		}
	}
	remarks(func(s *plan.StepChange) []plan.Remark { return s.Blocked }, Fail, "cannot be made so")
	remarks(func(s *plan.StepChange) []plan.Remark { return s.Unknown }, NotChecked, "is unknown")
	if len(list) == 0 {
		list = append(list, Check{Name: checkPossible, Outcome: Pass, Value: "all that the cluster file asks for can be made so"})
	}
	return list
}

// kindOf is what it is about that a resource is not as it shall be.
func kindOf(r resource.ID) plan.Kind {
	switch r.Kind {
	case resource.Swap{}.ID().Kind, resource.FstabSwap{}.ID().Kind:
		return plan.KindSwap
	case resource.KernelModule{}.ID().Kind, resource.Sysctl{}.ID().Kind:
		return plan.KindKernel
	}
	return ""
}
