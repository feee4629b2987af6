package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

// gather is what is found out about a machine with some files and units; "enabled NAME" and "active NAME".
func gather(t *testing.T, files map[string]string, units ...string) facts.Host {
	t.Helper()
	m := fake.New("m", nil)
	env := m.Env(nil)
	if err := env.Files.Mkdir("/run/systemd/system", resource.Attributes{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		if err := env.Files.Write(path, resource.Attributes{Mode: 0o644}, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	declare(m, units)
	f, _ := Gather(t.Context(), env) // of this machine in memory, some cannot be found out
	return f
}

// declare makes units that are there: "enabled NAME", "active NAME", "disabled NAME".
func declare(m *fake.Machine, units []string) {
	for _, u := range units {
		is, name, _ := strings.Cut(u, " ")
		m.DeclareUnit(name, is == "active", is == "enabled")
	}
}

func TestFirewalls(t *testing.T) {
	ufw := map[string]string{"/usr/sbin/ufw": "", "/etc/ufw/ufw.conf": "ENABLED=yes\n"}
	for _, c := range []struct {
		name   string
		files  map[string]string
		units  []string
		want   string
		others []string
	}{
		{name: "none"},
		{name: "firewalld", units: []string{"active firewalld.service"}, want: "firewalld"},
		{name: "firewalld, stopped for a moment", units: []string{"enabled firewalld.service"}, want: "firewalld"},
		{name: "firewalld, off", units: []string{"disabled firewalld.service"}},
		{name: "ufw, whether its unit runs or not", files: ufw, want: "ufw"},
		{name: "ufw, off", files: map[string]string{"/usr/sbin/ufw": "", "/etc/ufw/ufw.conf": "ENABLED=no\n"}, units: []string{"active ufw.service"}},
		{name: "ufw, removed", files: map[string]string{"/etc/ufw/ufw.conf": "ENABLED=yes\n"}},
		{name: "others", units: []string{"enabled nftables.service", "active iptables.service", "disabled netfilter-persistent.service"},
			others: []string{"nftables.service", "iptables.service"}},
	} {
		f := gather(t, c.files, c.units...)
		if f.Firewall != c.want || !slices.Equal(f.OtherFirewalls, c.others) {
			t.Errorf("%s: the firewall is %q, others are %q; want %q, %q", c.name, f.Firewall, f.OtherFirewalls, c.want, c.others)
		}
	}
}

// oneByOne is a systemd that remembers which units were asked for each by itself.
type oneByOne struct {
	resource.Systemd
	asked []string
}

func (s *oneByOne) Unit(ctx context.Context, name string) (resource.UnitState, error) {
	s.asked = append(s.asked, name)
	return s.Systemd.Unit(ctx, name)
}

// aliases is a systemd to which all that is called like one unit is that unit.
type aliases struct {
	resource.Systemd
	prefix, unit string
}

func (s aliases) Units(ctx context.Context, names ...string) ([]resource.UnitState, error) {
	var own []string
	for _, name := range names {
		if strings.HasPrefix(name, s.prefix) {
			name = s.unit
		}
		own = append(own, name)
	}
	return s.Systemd.Units(ctx, own...)
}

// Most machines have none of the units that are looked for. Only of those that are there and do not run it is asked whether they are enabled.
func TestUnitsAreAskedForAtOnce(t *testing.T) {
	for _, c := range []struct{ units, asked []string }{
		{nil, nil},
		{[]string{"active firewalld.service", "active iptables.service", "enabled docker.service"}, nil},
		{[]string{"disabled firewalld.service", "enabled nftables.service"}, []string{"firewalld.service", "nftables.service"}},
	} {
		m := fake.New("m", nil)
		env := m.Env(nil)
		if err := env.Files.Mkdir("/run/systemd/system", resource.Attributes{Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
		declare(m, c.units)
		s := &oneByOne{Systemd: env.Systemd}
		env.Systemd = s
		_, _ = Gather(t.Context(), env) // of this machine in memory, some cannot be found out
		if !slices.Equal(s.asked, c.asked) {
			t.Errorf("%q: asked for %q, want %q", c.units, s.asked, c.asked)
		}
	}
}

// Distributions give the unit of one program the names that it has in others: it is one nevertheless.
func TestAliasesOfUnits(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	declare(m, []string{"active chrony.service", "active netfilter-persistent.service"})
	if err := env.Files.Mkdir("/run/systemd/system", resource.Attributes{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	env.Systemd = aliases{env.Systemd, "chrony", "chrony.service"}
	env.Systemd = aliases{env.Systemd, "iptables", "netfilter-persistent.service"}
	f, _ := Gather(t.Context(), env) // of this machine in memory, some cannot be found out
	if want := []string{"chrony.service"}; !slices.Equal(f.Clocks, want) {
		t.Errorf("the clocks are %q, want %q", f.Clocks, want)
	}
	if want := []string{"netfilter-persistent.service", "iptables.service"}; !slices.Equal(f.OtherFirewalls, want) {
		t.Errorf("the firewalls are %q, want %q", f.OtherFirewalls, want)
	}
}

func TestCarries(t *testing.T) {
	if f := gather(t, nil, "disabled docker.service"); f.Carries != nil {
		t.Errorf("a plain machine carries %q", f.Carries)
	}
	f := gather(t, map[string]string{"/etc/kubernetes/manifests/x.yaml": ""}, "active kubelet.service", "active containerd.service", "disabled docker.service")
	if want := []string{"kubelet.service", "containerd.service", "/etc/kubernetes/manifests"}; !slices.Equal(f.Carries, want) {
		t.Errorf("it carries %q; want %q", f.Carries, want)
	}
}

func TestCloudInitWritesHosts(t *testing.T) {
	const main, more, given = "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/", "/var/lib/cloud/instance/cloud-config.txt"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no cloud-init", nil, ""},
		{"not told to", map[string]string{main: "users:\n- default\n"}, ""},
		{"a comment", map[string]string{main: "# manage_etc_hosts: true\n"}, ""},
		{"told to", map[string]string{main: "x: y\nmanage_etc_hosts: True # as ever\n"}, main + ": manage_etc_hosts: true"},
		{"by its own template", map[string]string{main: "", more + "90_x.cfg": "manage_etc_hosts: 'template'\n"}, more + "90_x.cfg: manage_etc_hosts: template"},
		{"the last one counts", map[string]string{main: "manage_etc_hosts: localhost\n", more + "90_x.cfg": "manage_etc_hosts: false\n"}, ""},
		{"no settings", map[string]string{main: "", more + "x.cfg.bak": "manage_etc_hosts: true\n"}, ""},
		{"by the cloud", map[string]string{main: "manage_etc_hosts: false\n", given: "#cloud-config\nmanage_etc_hosts: true\n"}, given + ": manage_etc_hosts: true"},
		{"off", map[string]string{main: "manage_etc_hosts: true\n", "/etc/cloud/cloud-init.disabled": ""}, ""},
	} {
		if f := gather(t, c.files); f.WritesHosts != c.want {
			t.Errorf("%s: %q; want %q", c.name, f.WritesHosts, c.want)
		}
	}
}

func TestInterfaces(t *testing.T) {
	on := func(name, prefix string) address {
		p := netip.MustParsePrefix(prefix)
		return address{ip: p.Addr(), bits: p.Bits(), name: name}
	}
	f := facts.Host{Interfaces: interfaces([]address{on("lo", "127.0.0.1/8"), on("eth0", "10.0.0.11/24"), on("eth0", "fe80::1/64"), on("eth0", "10.0.0.10/32"), on("eth1", "fd00::11/64")})}
	for address, want := range map[string]string{"127.0.0.1": "", "10.0.0.11": "eth0 10.0.0.11/24", "10.0.0.10": "eth0 10.0.0.10/32", "fd00::11": "eth1 fd00::11/64", "10.0.0.12": ""} {
		got := ""
		if name, prefix, found := f.InterfaceOf(netip.MustParseAddr(address)); found {
			got = name + " " + prefix.String()
		}
		if got != want || len(f.Interfaces) != 2 {
			t.Errorf("%s: %q, want %q; all are %v", address, got, want, f.Interfaces)
		}
	}
}

func TestBestAddressesComeFirst(t *testing.T) {
	on := func(link int, leaves bool, prefix string, flags int) address {
		p := netip.MustParsePrefix(prefix)
		return address{ip: p.Addr(), bits: p.Bits(), flags: flags, link: link, leaves: leaves}
	}
	for _, c := range []struct {
		name  string
		found []address
		want  string
	}{
		{"loopback and link-local", []address{on(1, false, "127.0.0.1/8", 0), on(2, true, "fe80::1/64", 0), on(2, true, "10.0.0.1/24", 0)}, "10.0.0.1"},
		{"of the default route", []address{on(2, false, "10.0.0.1/24", 0), on(3, true, "10.1.0.1/24", 0)}, "10.1.0.1 10.0.0.1"},
		{"one that wanders", []address{on(2, true, "10.0.0.100/32", 0), on(2, true, "10.0.0.1/24", 0)}, "10.0.0.1 10.0.0.100"},
		{"one without a network only", []address{on(2, true, "10.0.0.1/32", 0), on(3, false, "10.9.0.1/24", 0)}, "10.0.0.1 10.9.0.1"},
		{"without a network beside link-local", []address{on(2, true, "fe80::1/64", 0), on(2, true, "2001:db8::1/128", 0), on(3, false, "2001:db8:1::1/64", 0)}, "2001:db8::1 2001:db8:1::1"},
		{"temporary", []address{on(2, true, "2001:db8::a/64", unix.IFA_F_TEMPORARY), on(2, true, "2001:db8::1/64", 0)}, "2001:db8::1 2001:db8::a"},
		{"deprecated", []address{on(2, true, "10.0.0.9/24", unix.IFA_F_DEPRECATED), on(2, true, "10.0.0.1/24", 0)}, "10.0.0.1 10.0.0.9"},
		{"secondary of IPv4", []address{on(2, true, "10.0.0.1/24", unix.IFA_F_SECONDARY), on(2, true, "10.0.0.2/24", 0)}, "10.0.0.1 10.0.0.2"},
	} {
		var got []string
		for _, a := range bestFirst(c.found) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q; want %s", c.name, got, c.want)
		}
	}
}

func TestDumpAsksAgain(t *testing.T) {
	asked := 0
	list, err := dump(func() ([]int, error) {
		if asked++; asked < 3 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	})
	if err != nil || len(list) != 2 || asked != 3 {
		t.Errorf("after %d questions: %v, %v", asked, list, err)
	}
	asked = 0
	if _, err := dump(func() ([]int, error) { asked++; return nil, netlink.ErrDumpInterrupted }); err == nil || asked != dumps {
		t.Errorf("%d questions without an answer: %v", asked, err)
	}
	asked = 0
	if _, err := dump(func() ([]int, error) { asked++; return nil, errors.New("no") }); err == nil || asked != 1 {
		t.Errorf("%d questions after an answer: %v", asked, err)
	}
}
