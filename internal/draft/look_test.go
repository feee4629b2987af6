package draft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
)

// found is a host that was looked at, its first address the one that it has in the file, if that is one.
func found(address, hostname string, change func(*facts.Host)) Host {
	f := &facts.Host{Hostname: hostname, OS: facts.OS{Name: "Debian GNU/Linux 12 (bookworm)"}, Kernel: "6.1.0-18-amd64", Arch: "amd64", CPUs: 4, Memory: 16 << 30}
	if a, err := netip.ParseAddr(address); err == nil {
		f.Addresses = []netip.Addr{a}
	}
	if change != nil {
		change(f)
	}
	return Host{Address: address, Found: f}
}

func addressed(list ...string) func(*facts.Host) {
	return func(f *facts.Host) {
		f.Addresses = nil
		for _, a := range list {
			f.Addresses = append(f.Addresses, netip.MustParseAddr(a))
		}
	}
}

func small(f *facts.Host) { f.CPUs, f.Memory = 1, 1<<30 }

func TestLookedAt(t *testing.T) {
	name := func(n string, h Host) Host { h.Name = n; return h }
	for golden, hosts := range map[string][]Host{
		"looked-well": {found("10.0.0.11", "alpha", nil), found("10.0.0.12", "Beta.example.com", addressed("10.0.0.12", "fd00::12", "172.17.0.1")), found("10.0.0.13", "gamma", nil), found("10.0.0.21", "delta", nil)},
		"looked-odd": {
			found("10.0.0.11", "debian", small), found("203.0.113.12", "debian", addressed("192.168.7.12", "fd00::12")), found("node3.example.com", "localhost.localdomain", addressed("fd00::13", "10.0.0.13", "10.9.0.13")),
			{Address: "10.0.0.14", Silent: "10.0.0.14:22: no route to host.\nIs it on?"},
			found("10.0.0.15", "w2", func(f *facts.Host) { f.Identity = facts.Identity{Cluster: "2c4e", ClusterName: "old"} }),
			found("10.0.0.16", "a_b", func(f *facts.Host) {
				f.Carries, f.OS.Name = []string{"docker.service", "kubelet.service"}, "My Linux\nname: other # \x1b[31m"
			}),
			found("node7.example.com", "seven", addressed("10.0.0.17")),
		},
		"looked-named":  {name("cp", found("10.0.0.11", "alpha", small)), found("10.0.0.12", "cp", nil), found("10.0.0.13", "alpha", nil), found("10.0.0.21", "w1", small), {Address: "10.0.0.22"}},
		"looked-routed": {found("203.0.113.11", "", addressed("10.0.2.15")), found("203.0.113.12", "", addressed("10.0.2.15")), found("203.0.113.13", "", addressed("fd00::13"))},
	} {
		t.Run(golden, func(t *testing.T) { sameFile(t, golden, Input{Name: "prod", Hosts: hosts}) })
	}
}

// What hosts call themselves makes no file that cannot be meant.
func TestNamed(t *testing.T) {
	for _, c := range []struct{ hostnames, want string }{
		{"a b c", "a b c"},
		{"a a c", "cp1 cp2 c"},
		{"w1 localhost c localhost", "w1 cp2 c w2"}, // w1 is taken
		{"cp2 - - -", "cp2 cp3 cp4 w1"},
		{"a_b UPPER " + strings.Repeat("x", 64), "cp1 upper cp3"},
	} {
		var hosts []Host
		for i, hostname := range strings.Fields(c.hostnames) {
			hosts = append(hosts, found("10.0.0.1"+string(rune('0'+i)), hostname, nil))
		}
		named(hosts, 3)
		var got []string
		for _, h := range hosts {
			got = append(got, h.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s are called %v; want %s", c.hostnames, got, c.want)
		}
	}
}

// Hosts keep their order but for those that are too small to come first.
func TestArranged(t *testing.T) {
	list := []Host{found("10.0.0.11", "a", small), {Address: "10.0.0.12", Silent: "no route to host"}, found("10.0.0.13", "c", nil), found("10.0.0.14", "d", small), found("10.0.0.15", "e", nil)}
	order := func(list []Host) (s string) {
		for _, h := range list {
			s += h.Address[len(h.Address)-1:]
		}
		return s
	}
	if got := order(arranged(list)); got != "23514" {
		t.Errorf("hosts are in the order %s", got)
	}
	list[4].Name = "worker"
	if got := order(arranged(list)); got != "12345" {
		t.Errorf("hosts that somebody named are in the order %s", got)
	}
}

// A file of what was found is the one that it would be without, but for names, order, and how others reach hosts.
func TestLookingChangesNothingElse(t *testing.T) {
	var looked []Host
	for _, h := range hosts(5) {
		looked = append(looked, found(h.Address, "", nil))
	}
	parse := func(in Input) *v1alpha1.Cluster {
		text, err := File(in)
		if err != nil {
			t.Fatal(err)
		}
		c, err := v1alpha1.Parse("cluster.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := parse(Input{Name: "prod", Hosts: hosts(5)}), parse(Input{Name: "prod", Hosts: looked})
	if !slices.EqualFunc(a.Hosts, b.Hosts, func(a, b v1alpha1.Host) bool {
		return a.Name == b.Name && a.Address == b.Address && slices.Equal(a.InternalAddresses, b.InternalAddresses) && slices.Equal(a.Roles, b.Roles)
	}) {
		t.Errorf("hosts are\n%+v\nand were\n%+v", b.Hosts, a.Hosts)
	}
}
