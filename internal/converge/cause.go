package converge

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// diagnosis is made of a status and of what was found out besides. It is pure.
func (v *surveyed) diagnosis(s Status) Diagnosis {
	d := Diagnosis{Cluster: s.Cluster, Time: s.Time, Well: s.Well, Causes: []Cause{}, Unexplained: []Finding{}, Status: s, Checks: v.checks(), Drift: v.drift(), Plan: v.plan, Unknown: []Check{}, Kernel: map[string][]resource.KernelComplaint{}}
	for _, h := range v.cluster.Hosts {
		var complaints []resource.KernelComplaint
		why := v.found[h.Name].Get(kernelLog.ID(), &complaints)
		if _, answered := v.hosts[h.Name]; why != "" && answered {
			d.Unknown = append(d.Unknown, Check{Name: "kernel log", Host: h.Name, Outcome: NotChecked, Message: why, Remedy: "Ask again"})
		}
		if len(complaints) > 0 {
			d.Kernel[h.Name] = complaints
		}
	}
	tells := map[string]*regexp.Regexp{}
	for _, r := range rules() {
		tells[r.name] = r.tells
		c := Cause{Name: r.name, Remedy: r.remedy, Evidence: r.evidence(&d)}
		if len(c.Evidence) == 0 {
			continue
		}
		for _, e := range c.Evidence {
			if e.Host != "" && !slices.Contains(c.Hosts, e.Host) {
				c.Hosts = append(c.Hosts, e.Host)
			}
		}
		d.Causes = append(d.Causes, c)
	}
	for _, c := range d.Checks.Checks {
		if c.Outcome == NotChecked || c.Name == checkPlan && c.Outcome == Fail {
			d.Unknown = append(d.Unknown, c)
		}
	}
	v.explain(&d, tells)
	return d
}

// kernelLog is what kernels are asked.
var kernelLog = resource.KernelLogReport{Hours: kernelHours}

// rule finds a cause that clusters are known to suffer from.
type rule struct {
	name, remedy string
	// tells are words of other programs in findings that come from it and from little else; may be nil.
	tells    *regexp.Regexp
	evidence func(*Diagnosis) []Evidence
}

// rules are in order: what stands first makes what comes after it.
func rules() []rule {
	re := regexp.MustCompile
	return []rule{
		{
			name: "hosts do not answer", evidence: checked(checkReached),
			remedy: "See whether they run, and whether this computer reaches them by SSH: what it says stands beside each. Two dead control planes of three stop everything; bring those back first",
		}, {
			name: "a disk is full, or takes nothing", tells: re(`[Nn]o space left on device|NOSPACE|DiskPressure|read-only file system`),
			evidence: anyOf(checked(checkRoom), complained(resource.DiskErrors), finding(plan.KindFull, re(`[Nn]o space left on device`))),
			remedy: "Make room on it: old logs, unused images (\"crictl rmi --prune\"), what others left; then everything goes on by itself. If etcd says NOSPACE, disarm the alarm afterwards " +
				"(\"etcdctl alarm disarm\")",
		}, {
			name: "the kernel ran out of memory, or stalls", tells: re(`MemoryPressure|OOMKilled|ended with code 137`), evidence: anyOf(complained(resource.OutOfMemory), complained(resource.Stalls)),
			remedy: "See what takes the memory (\"kubectl top\", \"systemd-cgtop\"), give Pods limits, or the host more memory; processors that others take from a virtual machine stall it, too",
		}, {
			name: "clocks are off", tells: re(`not yet valid|clock`), evidence: onHosts(checked(checkClock)), // not this computer's own
			remedy: "Set them, and have something keep them (timeSync in the cluster file): certificates seem not to be valid yet, leases run out, logs lie",
		}, {
			name: "somebody else has a host's address", tells: re(`connection reset`), evidence: checked(checkAddress),
			remedy: "Find that machine and give one of them another address: packets go now to the one, now to the other",
		}, {
			name: "long packets get lost between hosts", tells: re(`TLS handshake timeout|deadline exceeded`), evidence: failed(checkPath),
			remedy: "Mend the MTU of interfaces, switches or tunnels between them, or give hosts and Pods a smaller one (network.mtu): small answers arrive and large ones hang, which looks like anything",
		}, {
			name: "the kernel has no room for more connections", evidence: anyOf(complained(resource.TooManyFlows), complained(resource.NeighboursFull)),
			remedy: "Raise the table's size (net.netfilter.nf_conntrack_max, net.ipv4.neigh.default.gc_thresh3 in hostPreparation.sysctls), and find who opens so many",
		}, {
			name: "the disk of etcd is slow", tells: re(`took too long|leader changed|no leader`), evidence: checked(checkDisk),
			remedy: "Give etcd a disk of its own, an SSD, and see what else writes to this one: members lose their leader, and the API hangs for seconds",
		}, {
			name: "certificates ran out", tells: re(`x509|certificate`), evidence: finding(plan.KindCertificate, re(`certificate (has expired|is expired)`)),
			remedy: "\"kubewright apply\" renews those that it made; kubelets renew their own: \"journalctl -u kubelet\" says why one does not",
		}, {
			name: "swap is back", tells: re(`swap`), evidence: drifted(func(k plan.Kind) bool { return k == plan.KindSwap }),
			remedy: "\"kubewright apply\" turns it off for good; see what turned it on: a kubelet does not start with it",
		}, {
			name: "ports are taken", tells: re(`address already in use|cannot bind`), evidence: anyOf(checked(checkPorts), finding("", re(`address already in use`))),
			remedy: "Stop what has them, or have it use others",
		}, {
			name: "the kernel lacks something", tells: re(`operation not supported|unknown filesystem`), evidence: impossible(plan.KindKernel),
			remedy: "Take a kernel that has it; in a container, the computer outside has to load it",
		}, {
			name: "images are missing", evidence: finding("", re(`ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName|image .* not found|failed to pull`)),
			remedy: "See whether the name is right and whether the registry answers (\"crictl pull\" on the host); images of Kubewright's own come back with \"kubewright apply\"",
		}, {
			name: "no name server answers", tells: re(`no such host|server misbehaving|lookup .* timeout`), evidence: deadServers(),
			remedy: "Mend it, or name others in /etc/resolv.conf of the hosts: without one, nothing outside is found, and each question waits for seconds",
		}, {
			name: "something was changed by hand, or is not as it was", evidence: drifted(func(k plan.Kind) bool { return k != plan.KindSwap }),
			remedy: "\"kubewright plan\" shows it whole, \"kubewright apply\" puts it right",
		},
	}
}

// looked is what checks found of which something is so.
func looked(is func(Check) bool) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		var list []Evidence
		for _, c := range d.Checks.Checks {
			if is(c) {
				list = append(list, Evidence{c.Host, c.Message})
			}
		}
		return list
	}
}

// checked is what a check found that is not well.
func checked(name string) func(*Diagnosis) []Evidence {
	return looked(func(c Check) bool { return c.Name == name && (c.Outcome == Fail || c.Outcome == Warn) })
}

// failed is what a check found that is certainly wrong.
func failed(name string) func(*Diagnosis) []Evidence {
	return looked(func(c Check) bool { return c.Name == name && c.Outcome == Fail })
}

// deadServers are name servers that do not answer; that there are none may be meant.
func deadServers() func(*Diagnosis) []Evidence {
	return looked(func(c Check) bool {
		return c.Name == checkNames && c.Outcome == Warn && c.Kind != plan.KindNoNameServers
	})
}

// impossible is what cannot be made so of a kind.
func impossible(kind plan.Kind) func(*Diagnosis) []Evidence {
	return looked(func(c Check) bool { return c.Name == checkPossible && c.Outcome == Fail && c.Kind == kind })
}

// onHosts is evidence from hosts alone.
func onHosts(of func(*Diagnosis) []Evidence) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		return slices.DeleteFunc(of(d), func(e Evidence) bool { return e.Host == "" })
	}
}

// finding is what a finding says that is of a kind, or has some words of other programs.
func finding(kind plan.Kind, words *regexp.Regexp) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		var list []Evidence
		for _, f := range d.Status.Findings {
			if f.Severity == SevereWrong && (kind != "" && f.Kind == kind || words.MatchString(f.Message)) {
				list = append(list, Evidence{f.Host, f.Message})
			}
		}
		return list
	}
}

// complained is what kernels said.
func complained(of resource.KernelTrouble) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		var list []Evidence
		for _, h := range slices.Sorted(maps.Keys(d.Kernel)) {
			for _, c := range d.Kernel[h] {
				if c.Kind == of {
					list = append(list, Evidence{h, fmt.Sprintf("its kernel said %d times in %d hours, at last: %s", c.Times, kernelHours, c.Last)})
				}
			}
		}
		return list
	}
}

// drifted is what differs of some kinds.
func drifted(is func(plan.Kind) bool) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		var list []Evidence
		for _, c := range d.Drift {
			if is(c.Kind) {
				list = append(list, Evidence{c.Host, strings.Join(append([]string{c.Resource + ": " + c.Change}, c.Lines...), "\n")})
			}
		}
		return list
	}
}

func anyOf(all ...func(*Diagnosis) []Evidence) func(*Diagnosis) []Evidence {
	return func(d *Diagnosis) []Evidence {
		var list []Evidence
		for _, f := range all {
			list = append(list, f(d)...)
		}
		return list
	}
}

// maxDriftLines of each file that differs.
const maxDriftLines = 6

// drift is what differs on hosts that belong to the cluster. On others all does.
func (v *surveyed) drift() []Drift {
	list := []Drift{}
	if v.plan == nil {
		return list
	}
	for i := range v.plan.Steps {
		s := &v.plan.Steps[i]
		if v.hosts[s.Host].Identity.Cluster == "" {
			continue
		}
		for _, r := range s.Changes {
			for _, c := range r.Changes {
				d := Drift{Kind: kindOf(r.Resource), Host: s.Host, Step: s.Name, Resource: r.Resource.String(), Change: c.String(), Lines: c.Lines[:min(len(c.Lines), maxDriftLines)]}
				if r.Action == plan.Create {
					d.Change, d.Lines = "it is gone", nil
				}
				list = append(list, d)
				if r.Action == plan.Create {
					break
				}
			}
		}
	}
	return list
}

// explain gives each finding to the cause that it most likely comes from: one whose evidence is about the same program on the same host, or the first on its host; what concerns the
// whole cluster may come from any host that holds it together.
func (v *surveyed) explain(d *Diagnosis, tells map[string]*regexp.Regexp) {
	keepers := map[string]bool{}
	for _, h := range slices.Concat(v.cluster.Keepers(), v.cluster.With(v1alpha1.ControlPlane)) {
		keepers[h.Name] = true
	}
	for _, f := range d.Status.Findings {
		best, likely := -1, none
		for i, c := range d.Causes {
			for _, e := range c.Evidence {
				l := e.explains(f, keepers)
				if words := tells[c.Name]; l != none && l < sameProgram && words != nil && words.MatchString(f.Message) {
					l = told
				}
				if l > likely {
					best, likely = i, l
				}
			}
		}
		switch likely {
		case none:
			d.Unexplained = append(d.Unexplained, f)
		case itself:
		default:
			d.Causes[best].Explains = append(d.Causes[best].Explains, f)
		}
	}
}

// likelihood that a finding comes from a cause.
type likelihood int

const (
	none        likelihood = iota
	somewhere              // the cause is on a host that holds the cluster together, which the finding is about
	sameHost               // both are on a host
	told                   // the finding has words of the cause
	sameProgram            // both are about a program on a host
	itself                 // the finding is what the cause was found by
)

// differs names programs in what differs: "file /etc/kubernetes/manifests/kube-scheduler.yaml", "unit kubelet.service".
var differs = regexp.MustCompile(`manifests/([a-z-]+)\.yaml|unit ([a-z-]+)\.service`)

func (e Evidence) explains(f Finding, keepers map[string]bool) likelihood {
	switch {
	case e.Host == f.Host && strings.Contains(f.Message, e.Text):
		return itself
	case f.Host == "" && keepers[e.Host]:
		return somewhere
	case e.Host == "" || e.Host != f.Host:
		return none
	}
	for _, m := range differs.FindAllStringSubmatch(e.Text, -1) {
		if strings.HasPrefix(f.Message, m[1]+m[2]) {
			return sameProgram
		}
	}
	return sameHost
}
