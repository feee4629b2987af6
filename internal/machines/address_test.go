package machines

import (
	"net/netip"
	"testing"
)

func TestSubnetAddresses(t *testing.T) {
	for n, want := range map[subnet][4]string{
		0:   {"198.18.0.0/24", "198.18.0.1", "198.18.0.254", "198.18.0.11"},
		255: {"198.18.255.0/24", "198.18.255.1", "198.18.255.254", "198.18.255.11"},
		256: {"198.19.0.0/24", "198.19.0.1", "198.19.0.254", "198.19.0.11"},
		511: {"198.19.255.0/24", "198.19.255.1", "198.19.255.254", "198.19.255.11"},
	} {
		got := [4]string{n.prefix().String(), n.gateway().String(), n.outside().String(), n.machine(0).String()}
		if got != want {
			t.Errorf("subnet %d: %v, want %v", n, got, want)
		}
		last := n.machine(maxMachines - 1)
		if !n.machines().Contains(last) || !n.machines().Contains(n.gateway()) {
			t.Errorf("subnet %d: machine %s or its gateway is not in the machines' network %s", n, last, n.machines())
		}
		if n.machines().Contains(n.outside()) {
			t.Errorf("subnet %d: the computer outside is in the machines' network; they would look for it on the switch", n)
		}
		if !netip.MustParsePrefix("198.18.0.0/15").Contains(n.outside()) {
			t.Errorf("subnet %d is outside the range for tests", n)
		}
	}
}

func TestChooseSubnet(t *testing.T) {
	prefixes := func(all ...string) (p []netip.Prefix) {
		for _, s := range all {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	for _, c := range []struct {
		name  string
		taken []netip.Prefix
		want  subnet
	}{
		{"free", nil, 0},
		{"other sets", prefixes("198.18.0.0/24", "198.18.2.0/24"), 1},
		{"a route of this computer", prefixes("198.18.0.0/16"), 256},
		{"a single address", prefixes("198.18.0.77/32"), 1},
		{"the default route takes nothing", prefixes("0.0.0.0/0"), 0},
	} {
		got, err := chooseSubnet(c.taken)
		if err != nil || got != c.want {
			t.Errorf("%s: %d, %v, want %d", c.name, got, err, c.want)
		}
	}
	if _, err := chooseSubnet(prefixes("198.18.0.0/15")); err == nil {
		t.Error("a full range: no error")
	}
}

func TestHardwareAddrsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for n := range subnet(subnets) {
		for i := range maxMachines {
			a := n.hardwareAddr(i).String()
			if seen[a] {
				t.Fatalf("two machines have %s", a)
			}
			seen[a] = true
		}
	}
}
