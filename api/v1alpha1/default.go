package v1alpha1

import (
	"cmp"
	"net/netip"
)

// defaultOpenFiles is the kernel's own limit (sysctl_nr_open in fs/file.c).
const defaultOpenFiles = 1_048_576

// setDefaults fills in what the file leaves out. Each default is documented at its field. How hosts are reached stays open where ~/.ssh/config
// may say it.
func (c *Cluster) setDefaults() {
	for i := range c.Hosts {
		h := &c.Hosts[i]
		h.SSH.Port = cmp.Or(h.SSH.Port, c.SSH.Port)
		h.SSH.User = cmp.Or(h.SSH.User, c.SSH.User)
		h.SSH.Key = cmp.Or(h.SSH.Key, c.SSH.Key)
		h.SSH.Bastion = cmp.Or(h.SSH.Bastion, c.SSH.Bastion)
		if _, err := netip.ParseAddr(h.Address); err == nil && len(h.InternalAddresses) == 0 {
			h.InternalAddresses = []string{h.Address}
		}
	}
	p := &c.HostPreparation
	if p.Hostname == nil {
		p.Hostname = new(true)
	}
	if p.Swap == nil {
		p.Swap = new(false)
	}
	p.Firewall = cmp.Or(p.Firewall, Open)
	p.SELinux = cmp.Or(p.SELinux, Permissive)
	p.OpenFiles = cmp.Or(p.OpenFiles, defaultOpenFiles)
	p.JournalSize = cmp.Or(p.JournalSize, "1G")
	if t := &c.TimeSync; t.Mode == "" {
		t.Mode = "leave"
		if len(t.Servers)+len(t.ServerHosts) > 0 {
			t.Mode = "chrony"
		}
	}
	var servers []string
	for _, name := range c.TimeSync.ServerHosts {
		list, _ := expand(name) // validation said what is wrong with it
		servers = append(servers, list...)
	}
	c.TimeSync.ServerHosts = servers
	c.Runtime.Name = cmp.Or(c.Runtime.Name, "containerd")
	c.Runtime.Root = cmp.Or(c.Runtime.Root, "/var/lib/containerd")
	c.Runtime.MaxConcurrentDownloads = cmp.Or(c.Runtime.MaxConcurrentDownloads, 3)
	for i := range c.Files {
		c.Files[i].Mode = cmp.Or(c.Files[i].Mode, "0644")
		c.Files[i].Owner = cmp.Or(c.Files[i].Owner, "root:root")
	}
}
