package measure

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Conflict is somebody else who has an address of this machine.
type Conflict struct {
	Address netip.Addr `json:"address"`
	// Hardware is the hardware address of who has it, too; empty if nobody has.
	Hardware string `json:"hardware,omitempty"`
	// Why it could not be found out.
	Why string `json:"why,omitempty"`
}

// Conflicts asks on the networks of this machine's own addresses who else has them, as hosts do that are given one (RFC 5227), and waits for answers as long as it is told.
// Addresses of IPv6, which kernels look after themselves, and those that are not of this machine are left out.
func Conflicts(ctx context.Context, own []netip.Addr, wait time.Duration) []Conflict {
	var list []Conflict
	cards := ownCards()
	for _, a := range own {
		if !a.Is4() {
			continue
		}
		link, err := linkOf(a)
		if link == nil && err == nil {
			continue
		}
		c := Conflict{Address: a}
		if err == nil {
			c.Hardware, err = whoElse(ctx, link, cards, a, wait)
		}
		if err != nil {
			c.Why = err.Error()
		}
		list = append(list, c)
	}
	return list
}

// ownCards are the hardware addresses of this machine: a kernel answers for its addresses on all networks that it is on (arp_ignore, Documentation/networking/ip-sysctl.rst).
func ownCards() []net.HardwareAddr {
	links, err := netlink.LinkList()
	if err != nil {
		return nil // then nothing can be asked either
	}
	var cards []net.HardwareAddr
	for _, l := range links {
		cards = append(cards, l.Attrs().HardwareAddr)
	}
	return cards
}

// linkOf is the interface that has an address, or whose network it is in; none if none is, or if it knows no hardware addresses.
func linkOf(a netip.Addr) (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var near netlink.Link
	for _, l := range links {
		if len(l.Attrs().HardwareAddr) != 6 || l.Attrs().RawFlags&unix.IFF_NOARP != 0 {
			continue
		}
		all, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return nil, err
		}
		for _, has := range all {
			if ip, ok := netip.AddrFromSlice(has.IP.To4()); ok && ip == a {
				return l, nil
			}
			if near == nil && has.IPNet.Contains(a.AsSlice()) {
				near = l
			}
		}
	}
	return near, nil
}

// ARP over Ethernet (RFC 826): lengths in bytes, and operations.
const (
	arpLength  = 28
	arpRequest = 1
	arpReply   = 2
)

// asking is the question who has an address, of somebody who has none.
func asking(hardware net.HardwareAddr, a netip.Addr) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, arpRequest)
	b = append(append(b, hardware...), 0, 0, 0, 0)
	return append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
}

// has is the hardware address of somebody else who says that an address is his; none if that is not what was said.
func has(b []byte, own []net.HardwareAddr, a netip.Addr) net.HardwareAddr {
	if len(b) < arpLength || binary.BigEndian.Uint16(b[2:]) != unix.ETH_P_IP || b[4] != 6 || b[5] != 4 || !bytes.Equal(b[14:18], a.AsSlice()) || slices.ContainsFunc(own, func(o net.HardwareAddr) bool { return bytes.Equal(b[8:14], o) }) {
		return nil
	}
	if op := binary.BigEndian.Uint16(b[6:]); op != arpReply && op != arpRequest {
		return nil
	}
	return net.HardwareAddr(bytes.Clone(b[8:14]))
}

func whoElse(ctx context.Context, link netlink.Link, own []net.HardwareAddr, a netip.Addr, wait time.Duration) (string, error) {
	protocol := htons(unix.ETH_P_ARP)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		return "", fmt.Errorf("opening a socket for ARP: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	to := unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Attrs().Index}); err != nil {
		return "", fmt.Errorf("listening for ARP on %s: %w", link.Attrs().Name, err)
	}
	// Asked twice: one question may be lost.
	b := make([]byte, 1<<11)
	for range 2 {
		if err := unix.Sendto(fd, asking(link.Attrs().HardwareAddr, a), 0, &to); err != nil {
			return "", fmt.Errorf("asking on %s: %w", link.Attrs().Name, err)
		}
		for end := time.Now().Add(wait / 2); ; {
			left := time.Until(end)
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			if left <= 0 {
				break
			}
			// In short turns, so that the end of the context is noticed.
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(min(left, 100*time.Millisecond)/time.Millisecond)+1)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return "", err
			}
			if n <= 0 {
				continue
			}
			length, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return "", err
			}
			if other := has(b[:length], own, a); other != nil {
				return other.String(), nil
			}
		}
	}
	return "", nil
}

func htons(n uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)) }
