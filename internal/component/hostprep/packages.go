package hostprep

import (
	"slices"
	"strings"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// hostPackages are packages that every host needs, by Debian's names, and why.
var hostPackages = map[string]string{
	"conntrack":  "kube-proxy and people look at connections; kubeadm asks for it",
	"e2fsprogs":  "volumes with ext4",
	"ethtool":    "offloading of virtual network cards is set by it",
	"iproute2":   "interfaces and routes",
	"iptables":   "the kubelet and network plugins write rules by it",
	"kmod":       "kernel modules",
	"mount":      "the kubelet mounts volumes by it",
	"nftables":   "network plugins and kube-proxy write rules by it",
	"procps":     "sysctl, and ps for people",
	"util-linux": "losetup and nsenter, for volumes",
}

// needed are the packages of a host, sorted.
func needed(in Input, host string) []string {
	var names []string
	for name := range hostPackages {
		names = append(names, name)
	}
	names = append(names, in.Cluster.HostPreparation.Packages...)
	if in.Packages != nil {
		names = append(names, in.Packages(host)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// distribution is a host's operating system as bundles name it: "debian-12".
func distribution(o facts.OS) string { return o.ID + "-" + o.Version }

// repository is the part of a bundle with packages for an operating system; nil if it has none.
func repository(b *bundle.Bundle, o facts.OS) *bundle.Blob {
	for _, p := range b.Parts {
		if p.Kind != bundle.Packages || p.Name != distribution(o) {
			continue
		}
		for i := range p.Blobs {
			if p.Blobs[i].MediaType == bundle.RepositoryLayer {
				return &p.Blobs[i]
			}
		}
	}
	return nil
}

// Provides says whether a bundle has packages for a host.
func Provides(b *bundle.Bundle, f facts.Host) bool {
	return f.Packages == "apt" && repository(b, f.OS) != nil
}

// repositories are the operating systems that a bundle has packages for.
func repositories(b *bundle.Bundle) string {
	var names []string
	for _, p := range b.Parts {
		if p.Kind == bundle.Packages {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "no distribution"
	}
	return strings.Join(names, ", ")
}

// lacking are those of some packages that a bundle does not have for an operating system that it has packages for.
func lacking(b *bundle.Bundle, o facts.OS, packages []string) []string {
	has := map[string]bool{}
	for _, p := range b.Parts {
		if p.Kind == bundle.Packages && p.Name == distribution(o) {
			for _, blob := range p.Blobs {
				name, _, _ := strings.Cut(blob.Title, "_") // of a file called as Debian has it: name_version_architecture.deb
				has[name] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(packages), func(name string) bool { return has[name] })
}

// packages come from the bundle; on hosts that it has none for, they have to be there already (see problems).
func packages(in Input, host string, f facts.Host) []resource.Resource {
	if !Provides(in.Bundle, f) {
		return nil
	}
	p := resource.Packages{Names: needed(in, host), Repository: repository(in.Bundle, f.OS).Digest.String(), Dir: bundle.PackagesDir}
	for name, others := range in.Replace {
		if slices.Contains(p.Names, name) {
			if p.Replace == nil {
				p.Replace = map[string][]string{}
			}
			p.Replace[name] = others
		}
	}
	return []resource.Resource{p}
}
