package converge

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Outcome of a check.
type Outcome string

// The outcomes. What could not be found out is none of the others.
const (
	Pass       Outcome = "pass"
	Warn       Outcome = "warn"
	Fail       Outcome = "fail"
	NotChecked Outcome = "unknown"
)

// Check is something that was looked at before a change. As JSON its fields stay as they are; new ones may come.
type Check struct {
	// Name of what was looked at: "disk latency".
	Name string `json:"name"`
	// Kind of what was found; may be empty.
	Kind plan.Kind `json:"kind,omitempty"`
	// Host that it is about; empty if it is about the cluster.
	Host    string  `json:"host,omitempty"`
	Outcome Outcome `json:"outcome"`
	// Value is what was found, with units: "99 % of syncs take 1.2 ms or less".
	Value string `json:"value,omitempty"`
	// Message says why it is not well, and Remedy what to do.
	Message string `json:"message,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
	// Worse than others of its name is one the higher this is: of many hosts, the value of the worst is shown. 0 is of what is no figure.
	Worse float64 `json:"worse,omitempty"`
}

// Measured says whether it is about a figure, in which hosts differ.
func (c Check) Measured() bool { return c.Worse != 0 }

// Checks are what was found before a change.
type Checks struct {
	// Cluster is its name.
	Cluster string    `json:"cluster"`
	Time    time.Time `json:"time"`
	// Ready says that nothing fails and all is known; warnings do not count.
	Ready bool `json:"ready"`
	// Checks by name, in the order in which they are shown, and by host in the order of the cluster file.
	Checks []Check `json:"checks"`
}

// Worst is the one of some checks of which the value says most: the one that is furthest from what is wanted.
func Worst(list []Check) Check {
	return slices.MaxFunc(list, func(a, b Check) int {
		switch {
		case a.Worse < b.Worse:
			return -1
		case a.Worse > b.Worse:
			return 1
		}
		return 0
	})
}

// surveyed is all that was found out. What is not there has the zero value, and why in Failed of found.
type surveyed struct {
	cluster *cluster.Cluster
	now     time.Time
	hosts   map[string]facts.Host
	missing map[string]string         // why others did not answer
	found   map[string]resource.Found // by host
	lost    map[string]string         // why a host that answered said no more
	plan    *plan.Plan                // nil if there could be none
	noPlan  string                    // why
	nodes   int                       // how many the cluster has
	names   map[netip.Addr]string     // of hosts, by their addresses; made when first asked for
}

// What is measured for how long.
const (
	// surveyTime is how long hosts may take for all of it.
	surveyTime     = 60 * time.Second
	syncTime       = 3 * time.Second
	livingSyncTime = time.Second
	nameTime       = 3 * time.Second
	arpTime        = 2 * time.Second
	// askedName is one that all name servers can say something about: who looks after it is known to all of them that reach the outside, and the others can say that they do not.
	askedName = "kubernetes.io."
	// maxPaths are how many other hosts each sends packets to: the control planes, and the next ones in the file. All pairs of thousands would be a flood.
	maxPaths = 8
)

// roomDirs are those that the node software fills, on some clusters on file systems of their own. The first that is there has the file system that kubelets look after.
func (v *surveyed) roomDirs() []string {
	dirs := []string{"/var/lib/kubelet", "/var/lib", "/var", "/", v.cluster.Runtime.Root}
	for _, e := range v.cluster.EtcdClusters() {
		dirs = append(dirs, e.DataDir)
	}
	return append(dirs, "/var/log")
}

// Check looks at everything that can be known before a change, without locks, and changes nothing. noPlan says why there can be no plan; empty if there can.
func (s *Session) Check(ctx context.Context, noPlan string) (Checks, error) {
	v, err := s.survey(ctx, noPlan)
	if err != nil {
		return Checks{}, err
	}
	return v.checks(), ctx.Err()
}

// survey measures everything, looks at some reports besides, and plans.
func (s *Session) survey(ctx context.Context, noPlan string, besides ...resource.Report) (surveyed, error) {
	v := surveyed{now: time.Now(), found: map[string]resource.Found{}, lost: map[string]string{}, noPlan: noPlan}
	v.hosts, v.missing = s.Facts()
	v.cluster = complete(s.o.Cluster, v.hosts)
	s.fleet.event(event.Event{Kind: event.Note, Message: "measuring disks, paths and name servers, which takes some seconds"})
	var mu sync.Mutex
	err := s.fleet.each(ctx, func(m *member) {
		h := v.cluster.Host(m.host.Name)
		if _, answered := v.hosts[m.host.Name]; !answered || h == nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, surveyTime)
		defer cancel()
		client, err := s.fleet.connected(limited, h.Name)
		var found resource.Found
		if err == nil {
			found, err = client.Look(limited, append(v.measures(*h), besides...))
		}
		mu.Lock()
		defer mu.Unlock()
		v.found[h.Name] = found
		if err != nil {
			v.lost[h.Name] = err.Error()
		}
	})
	if err != nil || noPlan != "" {
		return v, err
	}
	// After measuring: both want the disk.
	p, err := s.Plan(ctx)
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	if err != nil {
		v.noPlan = err.Error()
	}
	v.plan = p
	return v, nil
}

// measures are what is to be measured on a host.
func (v *surveyed) measures(h v1alpha1.Host) []resource.Report {
	reports := []resource.Report{
		resource.RoomReport{Dirs: v.roomDirs()}, resource.ListenersReport{}, resource.NameServersReport{Servers: v.hosts[h.Name].NameServers, Name: askedName, Limit: nameTime},
		resource.PathsReport{To: v.others(h)}, resource.ConflictsReport{Own: append(addressesOf(h), v.free(h)...), Wait: arpTime},
	}
	for _, s := range v.syncs(h) {
		reports = append(reports, s)
	}
	return reports
}

// syncs are what is measured of the disks of a host's members of etcd: less where the cluster lives, which needs the disks itself.
func (v *surveyed) syncs(h v1alpha1.Host) []resource.SyncReport {
	limit := syncTime
	for _, f := range v.hosts {
		if f.Kubernetes.Formed {
			limit = livingSyncTime
		}
	}
	var list []resource.SyncReport
	for _, e := range v.cluster.EtcdClusters() {
		if e.Carries(h.Name) {
			list = append(list, resource.SyncReport{Dir: e.DataDir, Limit: limit})
		}
	}
	return list
}

func addressesOf(h v1alpha1.Host) []netip.Addr {
	var list []netip.Addr
	for _, s := range h.InternalAddresses {
		if a, err := netip.ParseAddr(s); err == nil {
			list = append(list, a.Unmap())
		}
	}
	return list
}

// free is the address that wanders, if a host may hold it and none does: whoever answers there has taken it.
func (v *surveyed) free(h v1alpha1.Host) []netip.Addr {
	a, err := netip.ParseAddr(v.cluster.Endpoint.Address)
	held := func(f facts.Host) bool { return slices.Contains(f.Addresses, a.Unmap()) }
	if err != nil || !v.cluster.Holder(h) || len(v.missing) > 0 || slices.ContainsFunc(slices.Collect(maps.Values(v.hosts)), held) {
		return nil // a host that does not answer may well hold it
	}
	return []netip.Addr{a.Unmap()}
}

// others are the addresses that a host sends packets to.
func (v *surveyed) others(h v1alpha1.Host) []netip.Addr {
	all := v.cluster.Hosts
	at := slices.IndexFunc(all, func(o v1alpha1.Host) bool { return o.Name == h.Name })
	families := map[bool]bool{}
	for _, a := range addressesOf(h) {
		families[a.Is4()] = true
	}
	var to []netip.Addr
	seen := map[string]bool{h.Name: true}
	add := func(o *v1alpha1.Host) {
		if _, answered := v.hosts[o.Name]; !answered || seen[o.Name] {
			return
		}
		seen[o.Name] = true
		for _, a := range addressesOf(*o) {
			if families[a.Is4()] { // a host without addresses of a family has no way to others'
				to = append(to, a)
			}
		}
	}
	for i := range all {
		if slices.Contains(all[i].Roles, v1alpha1.ControlPlane) && len(seen) <= maxPaths {
			add(&all[i])
		}
	}
	for i := 1; i < len(all) && len(seen) <= maxPaths; i++ {
		add(&all[(at+i)%len(all)])
	}
	return to
}
