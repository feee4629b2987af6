package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Path is how packets fare to an address.
type Path struct {
	To netip.Addr `json:"to"`
	// Answers says whether it answers to small packets (ICMP echo). If it does not, the rest is not known: it may be a firewall.
	Answers bool `json:"answers"`
	// Took is how long the fastest answer did.
	Took time.Duration `json:"took,omitempty"`
	// Sends is how long a packet the interface that leads there sends at most, and Carries how long one may be that arrives, and its answer, undivided; in bytes.
	Sends   int `json:"sends,omitempty"`
	Carries int `json:"carries,omitempty"`
	// Told says that the network tells how long packets may be (Path MTU discovery), so that nothing longer is sent.
	Told bool `json:"told,omitempty"`
	// NoRoute says that there is no way there.
	NoRoute bool `json:"noRoute,omitempty"`
	// Why it could not be found out.
	Why string `json:"why,omitempty"`
}

// Paths measures the paths to addresses, all at once.
func Paths(ctx context.Context, to []netip.Addr) []Path {
	list := make([]Path, len(to))
	var all sync.WaitGroup
	for i, a := range to {
		all.Go(func() {
			list[i] = Path{To: a}
			limited, cancel := context.WithTimeout(ctx, pathTime)
			defer cancel()
			if err := list[i].measure(limited); err != nil {
				list[i].Why = err.Error()
				list[i].NoRoute = errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
			}
		})
	}
	all.Wait()
	return list
}

const (
	// tries of each size: one may be lost.
	tries = 3
	// small packets go everywhere; in bytes, of the whole packet.
	small = 96
	// patience for the first answer.
	patience = 700 * time.Millisecond
	// leastPatience for others.
	leastPatience = 100 * time.Millisecond
	// pathTime is how long all of it may take.
	pathTime = 25 * time.Second
)

// lengths are those of paths, the shortest first: what IPv4 and IPv6 must carry, Ethernet with one tunnel or another around it, with PPPoE, bare, and jumbo frames.
var lengths = []int{576, 1000, 1200, 1280, 1300, 1350, 1370, 1380, 1400, 1412, 1420, 1430, 1440, 1450, 1460, 1472, 1476, 1480, 1492, 1500, 8900, 8950, 9000}

func (p *Path) measure(ctx context.Context) error {
	mtu, err := leaves(p.To)
	if err != nil {
		return fmt.Errorf("looking for the way to %s: %w", p.To, err)
	}
	p.Sends = mtu
	c, err := listen(ctx, p.To)
	if err != nil {
		return fmt.Errorf("opening a socket for ICMP: %w", err)
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	e := echo{c: c, to: p.To, id: uint16(os.Getpid())}
	if p.Took, p.Answers, err = e.try(ctx, small, patience); err != nil || !p.Answers {
		return err
	}
	wait := max(leastPatience, 5*p.Took)
	if _, whole, err := e.try(ctx, mtu, wait); err != nil || whole {
		p.Carries = mtu
		return err
	}
	// The first length that does not arrive, by halving.
	shorter := slices.DeleteFunc(slices.Clone(lengths), func(n int) bool { return n >= mtu })
	var failed error
	n := sort.Search(len(shorter), func(i int) bool {
		_, arrives, err := e.try(ctx, shorter[i], wait)
		failed = errors.Join(failed, err)
		return !arrives
	})
	if n > 0 {
		p.Carries = shorter[n-1]
	}
	if failed == nil {
		p.Told, failed = told(ctx, p.To, mtu, wait)
	}
	return failed
}

// told says whether the network answers a packet that is too long by saying so, and the kernel heeds it.
func told(ctx context.Context, to netip.Addr, mtu int, wait time.Duration) (bool, error) {
	const discard, header = "9", 48 // RFC 863; of IPv6 and UDP
	c, err := (&net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = setDiscovery(int(fd), to, unix.IP_PMTUDISC_DO) }), err)
	}}).DialContext(ctx, "udp", net.JoinHostPort(to.String(), discard))
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return false, err
	}
	for range tries {
		_, _ = c.Write(make([]byte, mtu-header)) // that nobody listens there is no matter
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		level, option := unix.IPPROTO_IP, unix.IP_MTU
		if to.Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
		}
		var now int
		if failed := errors.Join(raw.Control(func(fd uintptr) { now, err = unix.GetsockoptInt(int(fd), level, option) }), err); failed != nil {
			return false, failed
		}
		if now < mtu {
			return true, nil
		}
	}
	return false, nil
}

// setDiscovery says what a socket does about packets that are too long for a path (ip(7); the values are those of IPv6, too).
func setDiscovery(fd int, to netip.Addr, how int) error {
	if to.Is6() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, how)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, how)
}

// leaves is the longest packet that the interface sends which leads to an address.
func leaves(to netip.Addr) (int, error) {
	routes, err := netlink.RouteGet(to.AsSlice())
	if err != nil {
		return 0, err
	}
	if len(routes) == 0 {
		return 0, errors.New("there is none")
	}
	if routes[0].MTU > 0 {
		return routes[0].MTU, nil
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0, err
	}
	return min(link.Attrs().MTU, 1<<16-1), nil // that of loopback is more than a packet can have
}

// listen opens a socket whose packets nobody divides, and that does not believe what was learnt of paths before.
func listen(ctx context.Context, to netip.Addr) (net.PacketConn, error) {
	network, all := "ip4:icmp", "0.0.0.0"
	if to.Is6() {
		network, all = "ip6:ipv6-icmp", "::"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) { err = setDiscovery(int(fd), to, unix.IP_PMTUDISC_PROBE) }), err)
	}}
	return lc.ListenPacket(ctx, network, all)
}

// echo sends packets and waits for their answers.
type echo struct {
	c   net.PacketConn
	to  netip.Addr
	id  uint16
	seq uint16
}

// try sends packets of a length until one is answered.
func (e *echo) try(ctx context.Context, length int, wait time.Duration) (time.Duration, bool, error) {
	for range tries {
		took, ok, err := e.once(ctx, length, wait)
		if err != nil || ok {
			return took, ok, err
		}
	}
	return 0, false, nil
}

func (e *echo) once(ctx context.Context, length int, wait time.Duration) (time.Duration, bool, error) {
	header, asks := ipv4.HeaderLen, icmp.Type(ipv4.ICMPTypeEcho)
	if e.to.Is6() {
		header, asks = ipv6.HeaderLen, ipv6.ICMPTypeEchoRequest
	}
	const icmpHeader = 8
	e.seq++
	m := icmp.Message{Type: asks, Body: &icmp.Echo{ID: int(e.id), Seq: int(e.seq), Data: make([]byte, length-header-icmpHeader)}}
	b, err := m.Marshal(nil) // of ICMPv6, the kernel makes the sum
	if err != nil {
		return 0, false, err
	}
	start := time.Now()
	if err := e.c.SetDeadline(start.Add(wait)); err != nil {
		return 0, false, err
	}
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	if _, err := e.c.WriteTo(b, &net.IPAddr{IP: e.to.AsSlice()}); errors.Is(err, unix.EMSGSIZE) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	in := make([]byte, 1<<16)
	for {
		n, from, err := e.c.ReadFrom(in)
		switch {
		case ctx.Err() != nil:
			return 0, false, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, false, nil
		case err != nil:
			return 0, false, err
		}
		if a, ok := from.(*net.IPAddr); ok && e.answers(a.IP, in[:n]) {
			return time.Since(start), true, nil
		}
	}
}

// answers says whether a message that came is the answer to what was sent last.
func (e *echo) answers(from net.IP, b []byte) bool {
	reply := byte(ipv4.ICMPTypeEchoReply)
	if e.to.Is6() {
		reply = byte(ipv6.ICMPTypeEchoReply)
	}
	return slices.Equal(from.To16(), net.IP(e.to.AsSlice()).To16()) && len(b) >= 8 && b[0] == reply &&
		binary.BigEndian.Uint16(b[4:]) == e.id && binary.BigEndian.Uint16(b[6:]) == e.seq
}
