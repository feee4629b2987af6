// Package facts says what a machine and a cluster are, as found: immutable values that the agent gathers in one round trip and that components
// decide by. It knows nothing of what is wanted, and reads nothing itself.
package facts

import (
	"net/netip"
	"time"
)

// Host is what a machine is.
type Host struct {
	Identity Identity `json:"identity"`
	// BootID is the kernel's random name of this boot (/proc/sys/kernel/random/boot_id).
	BootID string `json:"bootID"`
	// Hostname is the kernel's.
	Hostname string `json:"hostname"`
	OS       OS     `json:"os"`
	// Kernel is its release: "6.1.0-18-amd64".
	Kernel string `json:"kernel"`
	// Arch is as in Go and OCI: "amd64".
	Arch string `json:"arch"`
	// Virtualization is what systemd-detect-virt(1) names it: "kvm", "systemd-nspawn"; empty on bare metal.
	Virtualization string `json:"virtualization,omitempty"`
	// Container says that it shares its kernel with others, so that some of it cannot be changed.
	Container bool `json:"container,omitempty"`
	// CPUs that may be used.
	CPUs int `json:"cpus"`
	// Memory in bytes.
	Memory uint64 `json:"memory"`
	// Cgroup is the version of control groups: 1 or 2.
	Cgroup int `json:"cgroup"`
	// Systemd is its version: 252; 0 if it does not run.
	Systemd int `json:"systemd"`
	// RaisePriority says whether processes may be given negative OOM scores and more resources (CAP_SYS_RESOURCE is in the bounding set).
	RaisePriority bool `json:"raisePriority"`
	// SetClock says whether the clock may be set (CAP_SYS_TIME is in the bounding set).
	SetClock bool `json:"setClock"`
	// LoadModules says whether kernel modules may be loaded (CAP_SYS_MODULE, and the kernel's modules are there).
	LoadModules bool `json:"loadModules"`
	// Firewall that runs or will after a restart: "firewalld", "ufw", or empty.
	Firewall string `json:"firewall,omitempty"`
	// OtherFirewalls are units that do the same for firewalls that cannot be asked for ports: "nftables.service".
	OtherFirewalls []string `json:"otherFirewalls,omitempty"`
	// Carries is what else runs or shall run containers on it: active units such as "docker.service", and "/etc/kubernetes/manifests" if that holds something.
	Carries []string `json:"carries,omitempty"`
	// NameServers are those that /etc/resolv.conf names.
	NameServers []string `json:"nameServers,omitempty"`
	// WritesHosts is the file that has cloud-init write /etc/hosts at each boot, and how: "/etc/cloud/cloud.cfg: manage_etc_hosts: true". Empty if it does not.
	WritesHosts string `json:"writesHosts,omitempty"`
	// SELinux is "enforcing", "permissive", or empty where there is none.
	SELinux string `json:"selinux,omitempty"`
	// AppArmor says that the kernel confines programs by it.
	AppArmor bool `json:"appArmor,omitempty"`
	// Packages is the package manager: "apt", "dnf", or empty.
	Packages string `json:"packages,omitempty"`
	// Clocks are the units that keep the clock and are active: "chrony.service", "systemd-timesyncd.service".
	Clocks []string `json:"clocks,omitempty"`
	// Chrony says that chronyd is installed.
	Chrony bool `json:"chrony,omitempty"`
	// Resolver says that systemd-resolved.service is active: programs on the machine ask it at an address on loopback, where Pods find nobody.
	Resolver bool `json:"resolver,omitempty"`
	// Addresses of its interfaces, loopback and link-local ones aside. The first of each family is the one that it is best reached by: of the interface
	// that the default route leaves by, and neither temporary nor shared with others.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Interfaces are those that have these addresses, in the kernel's order.
	Interfaces []Interface `json:"interfaces,omitempty"`
	// Free is the room in bytes on the file systems of some directories: "/var/lib", "/".
	Free map[string]uint64 `json:"free,omitempty"`
	// Clock is its time when it was asked.
	Clock time.Time `json:"clock"`
	// ClockOffset is how far its clock is ahead of the operator's, give or take half of ClockError. Filled in by who asked.
	ClockOffset time.Duration `json:"clockOffset"`
	// ClockError is how long the question took, and longer where the clock of who asked was set meanwhile.
	ClockError time.Duration `json:"clockError"`
	// Inventory is what it remembers of the cluster's hosts; control planes do.
	Inventory *Inventory `json:"inventory,omitempty"`
	// Kubernetes is what it has of a cluster.
	Kubernetes Kubernetes `json:"kubernetes"`
	// Ways are what it has of ways to the API.
	Ways Ways `json:"ways,omitzero"`
}

// Interface is a network interface with its addresses.
type Interface struct {
	Name string `json:"name"` // "eth0"
	// Addresses with the length of their network's prefix: "10.0.0.11/24".
	Addresses []netip.Prefix `json:"addresses"`
	// MTU is how long packets may be that it sends, in bytes; 0 if it is not known.
	MTU int `json:"mtu,omitempty"`
}

// InterfaceOf is the interface that has an address, and that address with its prefix.
func (h Host) InterfaceOf(a netip.Addr) (name string, prefix netip.Prefix, found bool) {
	for _, i := range h.Interfaces {
		for _, p := range i.Addresses {
			if p.Addr() == a.Unmap() {
				return i.Name, p, true
			}
		}
	}
	return "", netip.Prefix{}, false
}

// OS is the operating system, as os-release(5) names it.
type OS struct {
	ID      string   `json:"id"`      // "debian"
	Like    []string `json:"like"`    // of ubuntu: "debian"
	Version string   `json:"version"` // "12"
	Name    string   `json:"name"`    // "Debian GNU/Linux 12 (bookworm)"
}

// Identity is who a machine is, and whose. What is of the cluster lies in /var/lib/kubewright/identity.json; before the first run it is empty.
type Identity struct {
	// Machine names the machine, or rather its installation: it is made of /etc/machine-id as machine-id(5) wants it, which should not be shown to others itself.
	// A new disk makes another machine; two clones of a disk are the same until somebody gives them IDs of their own.
	Machine string `json:"machine,omitempty"`
	// Cluster is the random name of the cluster that it belongs to.
	Cluster string `json:"cluster,omitempty"`
	// ClusterName is what people call the cluster.
	ClusterName string `json:"clusterName,omitempty"`
}

// Inventory is what is remembered of all hosts of a cluster, on every control plane, so that hosts that left the cluster file can still be reached.
type Inventory struct {
	Hosts []InventoryHost `json:"hosts"` // in order of their names
}

// InventoryHost is how a host was reached.
type InventoryHost struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// InternalAddresses are those that other hosts reached it by.
	InternalAddresses []string `json:"internalAddresses,omitempty"`
	Port              int      `json:"port,omitempty"`
	User              string   `json:"user,omitempty"`
	Bastion           string   `json:"bastion,omitempty"`
	Roles             []string `json:"roles"`
	Key               string   `json:"key,omitempty"`
	Machine           string   `json:"machine,omitempty"` // empty if it was never seen
	// Left says that it left the cluster without having been reset, since it did not answer: it is no part of it any more, whatever is on it.
	Left bool `json:"left,omitempty"`
}

// Leaver is a host that left the cluster file and is to leave the cluster.
type Leaver struct {
	InventoryHost
	// Host is what it is; nil if it does not answer, or another machine does at its address.
	Host *Host
	// Silent is why Host is nil.
	Silent string
}
