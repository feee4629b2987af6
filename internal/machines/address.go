package machines

import (
	"fmt"
	"net"
	"net/netip"
)

// Machines have addresses of 198.18.0.0/15, the range set aside for tests of network equipment (RFC 2544). A set has a /24
// of it. In its lower half, which is the machines' network, .1 is their gateway, .11 to .110 are machines, and .111 to .126
// are free for addresses that float between them. The computer outside is .254, in the other half, so that machines reach
// it through the gateway only.
const (
	subnets      = 512
	firstMachine = 11
	maxMachines  = 100
)

// subnet is one /24, by its number in the range.
type subnet int

func (n subnet) prefix() netip.Prefix { return netip.PrefixFrom(n.at(0), 24) }

func (n subnet) machines() netip.Prefix { return netip.PrefixFrom(n.at(0), 25) }

func (n subnet) gateway() netip.Addr { return n.at(1) }

func (n subnet) outside() netip.Addr { return n.at(254) }

func (n subnet) machine(index int) netip.Addr { return n.at(byte(firstMachine + index)) }

// hardwareAddr is the same at every boot, so that what others remember of a machine stays right. It is locally administered.
func (n subnet) hardwareAddr(index int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 'k', 'w', byte(n / 256), byte(n % 256), byte(index)}
}

func (n subnet) at(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{198, byte(18 + n/256), byte(n % 256), host})
}

// chooseSubnet returns the first subnet that overlaps nothing taken.
func chooseSubnet(taken []netip.Prefix) (subnet, error) {
next:
	for n := subnet(0); n < subnets; n++ {
		for _, t := range taken {
			if t.Bits() > 0 && n.prefix().Overlaps(t) {
				continue next
			}
		}
		return n, nil
	}
	return 0, fmt.Errorf("all %d address ranges of 198.18.0.0/15 are taken on this computer; remove sets that are not needed: kubewright machines down --all --set NAME", subnets)
}
