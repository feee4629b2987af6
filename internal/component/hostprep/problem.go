package hostprep

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// What a machine needs at least.
const (
	// minSystemd is what the oldest hosts of the reference systems have (RHEL 8 and its like).
	minSystemd = 239
	// minSystemdUnified is the first that gives all controllers of control groups version 2 away (runc, docs/cgroup-v2.md).
	minSystemdUnified = 244
	// minMemory and minCPUs of a control plane are kubeadm's (ControlPlaneMem and ControlPlaneNumCPU in cmd/kubeadm/app/constants of v1.37).
	minMemory = 1700 << 20 // bytes
	minCPUs   = 2
	// minRoom is what programs, images as they travel and unpacked, and packages take on a control plane, 1.3 GB, and some to work with.
	minRoom = 2 << 30 // bytes
)

// minKernel is what guide C checks, and what RHEL 8 and its like have, with newer features in it; testedKernel is the oldest that kubeadm accepts
// without a warning (validators/types_unix.go of k8s.io/system-validators v1.12).
var (
	minKernel    = [2]int{4, 18}
	testedKernel = [2]int{5, 4}
)

// problems are what stands in the way, or is to be known, before anything is done.
func problems(in Input) []plan.Problem {
	var list []plan.Problem
	boots, identities := sameMachines(in)
	open := openPorts(in)
	for _, h := range in.Cluster.Hosts {
		f, answered := in.Hosts[h.Name]
		if !answered {
			continue
		}
		for _, p := range slices.Concat(system(in, h, f), size(h, f), addresses(h, f), left(in, h, f), inUse(f), rewritten(f), firewalled(in, f, open[h.Name]), twice(boots, identities, h, f)) {
			p.Host = h.Name
			list = append(list, p)
		}
	}
	return list
}

// system is wrong with its kernel, systemd, architecture or distribution.
func system(in Input, h v1alpha1.Host, f facts.Host) []plan.Problem {
	var list []plan.Problem
	blocks := func(remedy, format string, args ...any) {
		list = append(list, plan.Problem{Blocks: true, Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	warns := func(remedy, format string, args ...any) {
		list = append(list, plan.Problem{Message: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	os, arch, _ := strings.Cut(in.Bundle.Platform, "/")
	if f.Arch != arch {
		blocks("Take a host of that kind, or a bundle for "+os+"/"+f.Arch, "it is %s/%s, and the bundle of Kubernetes %s is for %s", os, f.Arch, in.Bundle.Kubernetes, in.Bundle.Platform)
	}
	switch {
	case f.Systemd == 0:
		blocks("Take a distribution that starts with it, such as Debian 12", "systemd does not run on it")
	case f.Systemd < minSystemd:
		blocks("Take a newer release of its distribution", "its systemd is version %d, and %d is the oldest that will do", f.Systemd, minSystemd)
	case f.Cgroup == 2 && f.Systemd < minSystemdUnified:
		blocks("Take a newer release of its distribution, or boot with systemd.unified_cgroup_hierarchy=0",
			"its systemd is version %d, and with control groups version 2 it takes %d", f.Systemd, minSystemdUnified)
	}
	if f.Cgroup == 0 {
		blocks("See that /sys/fs/cgroup is mounted, which systemd does", "it has no control groups, without which containers cannot be limited")
	}
	var kernel [2]int
	if _, err := fmt.Sscanf(f.Kernel, "%d.%d", &kernel[0], &kernel[1]); err != nil {
		blocks("", "its kernel calls itself %q, which is no version", f.Kernel)
	} else if slices.Compare(kernel[:], minKernel[:]) < 0 {
		blocks("Install a newer kernel", "its kernel is %s, and %d.%d is the oldest that will do", f.Kernel, minKernel[0], minKernel[1])
	} else if slices.Compare(kernel[:], testedKernel[:]) < 0 {
		warns("", "its kernel is %s, and Kubernetes is tested with %d.%d and newer", f.Kernel, testedKernel[0], testedKernel[1])
	}
	if !Provides(in.Bundle, f) {
		warns("Install them by its own means", "it is %s, and the bundle has packages for %s; these have to be there: %s",
			orUnknown(f.OS.Name), repositories(in.Bundle), strings.Join(needed(in, h.Name), ", "))
	} else if none := lacking(in.Bundle, f.OS, in.Cluster.HostPreparation.Packages); len(none) > 0 {
		blocks("\"kubewright bundle show --packages\" lists what it has; a bundle with more is built with them in distro/"+distribution(f.OS)+".yaml",
			"hostPreparation.packages asks for what the bundle does not have: %s", strings.Join(none, ", "))
	}
	return list
}

func orUnknown(s string) string {
	if s == "" {
		return "an unknown system"
	}
	return s
}

// size is too small. A host that was prepared already is not stopped from being mended.
func size(h v1alpha1.Host, f facts.Host) []plan.Problem {
	var list []plan.Problem
	if slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		if f.Memory < minMemory {
			list = append(list, plan.Problem{Message: fmt.Sprintf("it has %s of memory, and a control plane needs %s", units.BytesSize(float64(f.Memory)), units.BytesSize(minMemory)),
				Remedy: "It may be killed for lack of it; give it more"})
		}
		if f.CPUs < minCPUs {
			list = append(list, plan.Problem{Message: fmt.Sprintf("it has %d CPU, and a control plane needs %d", f.CPUs, minCPUs), Remedy: "It will be slow, and may lose leases; give it more"})
		}
	}
	if free, known := f.Free["/var/lib"]; known && free < minRoom {
		list = append(list, plan.Problem{
			Blocks:  f.Identity.Cluster == "",
			Message: fmt.Sprintf("there are %s free in /var/lib, and a host needs %s", units.BytesSize(float64(free)), units.BytesSize(minRoom)),
			Remedy:  "Make room there",
		})
	}
	return list
}

// addresses that it shall be reached by are not its own.
func addresses(h v1alpha1.Host, f facts.Host) []plan.Problem {
	if len(h.InternalAddresses) == 0 {
		return []plan.Problem{{Blocks: true, Message: "it is not known by which address other hosts reach it", Remedy: "Say internalAddresses in the cluster file; it has " + join(f.Addresses)}}
	}
	var list []plan.Problem
	for _, s := range h.InternalAddresses {
		a, err := netip.ParseAddr(s)
		if err != nil || slices.Contains(f.Addresses, a.Unmap()) {
			continue // the cluster file was checked
		}
		list = append(list, plan.Problem{Blocks: true, Message: fmt.Sprintf("it shall be reached by other hosts at %s, which is no address of it; it has %s", a, join(f.Addresses)),
			Remedy: "Say internalAddresses in the cluster file, without those of routers in between"})
	}
	return list
}

func join(list []netip.Addr) string {
	if len(list) == 0 {
		return "none"
	}
	var s []string
	for _, a := range list {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}

// left as it is, because the cluster file or the machine says so.
func left(in Input, h v1alpha1.Host, f facts.Host) []plan.Problem {
	var list []plan.Problem
	if p := in.Cluster.HostPreparation; !*p.Hostname && f.Hostname != h.Name {
		list = append(list, plan.Problem{Message: fmt.Sprintf("it calls itself %s and stays so, as hostPreparation.hostname says; its node will be called %s", f.Hostname, h.Name)})
	}
	if !f.RaisePriority {
		list = append(list, plan.Problem{Message: "limits cannot be raised on it (it lacks CAP_SYS_RESOURCE), so those of sessions stay as they are, and Pods that matter most are not spared when memory runs out, " +
			"which is harmless while there is enough"})
	}
	return list
}

// inUse says that a host carries something already that is none of Kubewright's: it would be taken over, and be gone. One that a run began on is Kubewright's.
func inUse(f facts.Host) []plan.Problem {
	if len(f.Carries) == 0 || f.Identity.Cluster != "" {
		return nil
	}
	return []plan.Problem{{Blocks: true, Message: "it already runs " + strings.Join(f.Carries, ", ") + "; Kubewright would take it over",
		Remedy: "Take a fresh host, or stop and disable these first, and remove what they left"}}
}

// rewritten says that another program writes what Kubewright does.
func rewritten(f facts.Host) []plan.Problem {
	if f.WritesHosts == "" {
		return nil
	}
	return []plan.Problem{{Message: "cloud-init writes /etc/hosts when it boots (" + f.WritesHosts + "), and the names of the cluster's hosts may be gone from it until Kubewright runs again",
		Remedy: "Set manage_etc_hosts: false there, or in its user data if it comes from that"}}
}

// firewalled says that a firewall may shut out what the host's roles need, and cannot be asked to let it in.
func firewalled(in Input, f facts.Host, open []string) []plan.Problem {
	if len(f.OtherFirewalls) == 0 || in.Cluster.HostPreparation.Firewall == v1alpha1.Leave {
		return nil
	}
	return []plan.Problem{{Message: "its firewall is " + strings.Join(f.OtherFirewalls, ", ") + ", which Kubewright leaves as it is",
		Remedy: "See that it lets these in: " + strings.Join(open, ", ") + "; or say hostPreparation.firewall: leave if it does"}}
}

// same are hosts by what only one machine can have.
type same map[string][]string

// sameMachines finds hosts that are the same machine: by the name that it was given, and by its boot, which containers share with their computer.
func sameMachines(in Input) (boots, identities same) {
	boots, identities = same{}, same{}
	for _, h := range in.Cluster.Hosts {
		f := in.Hosts[h.Name]
		if f.BootID != "" && !f.Container {
			boots[f.BootID] = append(boots[f.BootID], h.Name)
		}
		if f.Identity.Machine != "" {
			identities[f.Identity.Machine] = append(identities[f.Identity.Machine], h.Name)
		}
	}
	return boots, identities
}

// others are the hosts that share an ID with one.
func (s same) others(id, host string) []string {
	return slices.DeleteFunc(slices.Clone(s[id]), func(name string) bool { return name == host })
}

// twice says whether another host is the same machine.
func twice(boots, identities same, h v1alpha1.Host, f facts.Host) []plan.Problem {
	if others := boots.others(f.BootID, h.Name); len(others) > 0 && !f.Container {
		return []plan.Problem{{Blocks: true, Message: "it is the same machine as " + strings.Join(others, ", "), Remedy: "Correct the addresses"}}
	}
	if others := identities.others(f.Identity.Machine, h.Name); len(others) > 0 {
		return []plan.Problem{{Blocks: true, Message: "it has the identity of " + strings.Join(others, ", ") + ": it is the same machine, or its disk is a copy",
			Remedy: "Correct its address, or remove /var/lib/kubewright on the copy"}}
	}
	return nil
}
