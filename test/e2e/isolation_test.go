package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// TestNothingLeaves lets machines send to everywhere, on a computer that forwards whatever it gets to its uplink, as one
// with Docker on it does. That computer is a network namespace, and its uplink leads nowhere, so that what the test is to
// find could do no harm.
func TestNothingLeaves(t *testing.T) {
	// The root file system of machines, while the package sources can be reached.
	f := newFixture(t, "isolation")
	f.machines(t, "up", "--count", "1", "--memory", "1G")
	f.machines(t, "down", "--all")

	before := traces(t)
	ns := fmt.Sprintf("kubewright-e2e-%d", os.Getpid())
	newNamespace(t, ns)
	in := func(command ...string) []string { return append([]string{"--net=/run/netns/" + ns}, command...) }
	for _, command := range []string{
		"ip link set lo up",
		"ip link add uplink type veth peer name nowhere",
		"ip link set nowhere up",
		"ip link set uplink up",
		"ip address add 203.0.113.2/24 dev uplink",
		"ip route add default via 203.0.113.1",
		"ip neighbour add 203.0.113.1 lladdr 02:00:00:00:00:01 dev uplink nud permanent", // so that nothing is held back
		"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0",
	} {
		must(t, "nsenter", in(strings.Fields(command)...)...)
	}

	machines := func(args ...string) string {
		t.Helper()
		return must(t, "nsenter", in(append([]string{kubewright, "machines", "--set", f.Name()}, args...)...)...)
	}
	on := func(machine, command string) output {
		t.Helper()
		return run(t, "nsenter", in(kubewright, "machines", "--set", f.Name(), "ssh", machine, "--", command)...)
	}
	machines("up", "--count", "2", "--memory", "1G")
	list, err := f.List()
	if err != nil {
		t.Fatal(err)
	}
	m1 := list[0].Address
	own := netip.PrefixFrom(m1, 24).Masked()
	outside := own.Addr().As4()
	outside[3] = 254

	seen := capture(t, "/run/netns/"+ns)
	sent := capture(t, f.network())

	// Where clusters' Pods and services are, in the guides and by default, and everywhere else.
	targets := []string{
		"10.96.0.1", "10.244.1.1", "172.18.0.1", "172.31.3.188", "192.168.0.1", "192.168.255.254", "100.64.0.1", "169.254.20.10", "169.254.169.254",
		"203.0.113.1", "203.0.113.2", "198.18.200.11", "198.51.100.1", "8.8.8.8", "224.0.0.18", "255.255.255.255",
	}
	sources := []string{m1.String(), "10.244.0.5", "10.96.0.10", "203.0.113.77"}
	var script strings.Builder
	for _, s := range sources[1:] {
		fmt.Fprintf(&script, "ip address add %s/32 dev lo\n", s)
	}
	// As a machine would do that wants out: everything by way of the computer outside, with and without asking ARP.
	script.WriteString("ip neighbour show 198.18.0.0/15 dev eth0 | awk '/lladdr/ {print $3; exit}' >/root/gateway\n")
	script.WriteString("sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0\n")
	gateways := []string{"", netip.AddrFrom4(outside).String()}
	for _, gateway := range gateways {
		if gateway != "" {
			fmt.Fprintf(&script, "ip route replace default via %s dev eth0 onlink\n", gateway)
			fmt.Fprintf(&script, "ip neighbour replace %s lladdr $(cat /root/gateway) dev eth0 nud permanent\n", gateway)
		}
		for _, target := range targets {
			for _, source := range sources {
				fmt.Fprintf(&script, "ping -q -b -c 1 -W 0.05 -I %s %s >/dev/null 2>&1 &\n", source, target)
			}
		}
		script.WriteString("wait\n")
	}
	// The computer outside, itself, with addresses that it would answer to by its uplink.
	for _, source := range sources[1:] {
		fmt.Fprintf(&script, "ping -q -c 1 -W 0.2 -I %s %s >/dev/null 2>&1\n", source, netip.AddrFrom4(outside))
	}
	script.WriteString("ip -6 route add default via fe80::1 dev eth0; ip -6 neighbour add fe80::1 lladdr $(cat /root/gateway) dev eth0 nud permanent\n")
	script.WriteString("ping -q -c 1 -W 0.2 2001:db8::1 >/dev/null 2>&1; ping -q -c 1 -W 0.2 ff02::1%eth0 >/dev/null 2>&1; true\n")
	if o := on("m1", script.String()); o.code != 0 {
		t.Fatalf("%+v", o)
	}

	// What may be seen is seen: the test is not blind.
	if o := on("m2", fmt.Sprintf("ping -q -c 1 -W 2 %s && ping -q -c 1 -W 2 %s", netip.AddrFrom4(outside), m1)); o.code != 0 {
		t.Errorf("machines do not reach each other and the computer outside: %+v", o)
	}
	// And so is what the computer outside sends itself.
	must(t, "nsenter", in("bash", "-c", "echo last >/dev/udp/198.51.100.99/9")...)

	packets := seen(func(all []packet) error {
		control := packet{link: "uplink", from: netip.MustParseAddr("203.0.113.2"), to: netip.MustParseAddr("198.51.100.99")}
		for _, p := range all {
			if p == control {
				return nil
			}
		}
		return errors.New("the last packet sent was not seen yet")
	})
	// The test is not blind either to what m1 sends: each of these arrived at its switch.
	arrived := sent(func([]packet) error { return nil })
	for _, target := range targets {
		for _, source := range sources {
			p := packet{"m0", netip.MustParseAddr(source), netip.MustParseAddr(target)}
			if source != target && !slices.Contains(arrived, p) && !p.to.IsLinkLocalUnicast() && !p.to.IsMulticast() && target != "255.255.255.255" {
				t.Errorf("m1 did not send what it should have: %+v", p)
			}
		}
	}
	if !slices.ContainsFunc(arrived, func(p packet) bool { return p.to.String() == "2001:db8::1" }) {
		t.Error("m1 did not send IPv6")
	}
	wires := 0
	for _, p := range packets {
		onWire := strings.HasPrefix(p.link, "kw")
		if onWire {
			wires++
		}
		switch {
		case onWire && p.from == netip.AddrFrom4(outside) && own.Contains(p.to): // the computer outside to its machines
		case onWire && own.Contains(p.from) && p.to == netip.AddrFrom4(outside): // and back
		case p.link == "lo", p.to.String() == "198.51.100.99":
		case p.from.Is6(): // neighbour discovery of the computer outside; none of it is forwarded
			if p.link == "uplink" && !p.from.IsLinkLocalUnicast() && !p.from.IsUnspecified() {
				t.Errorf("IPv6 on the uplink: %+v", p)
			}
		default:
			t.Errorf("on %s: a packet from %s to %s", p.link, p.from, p.to)
		}
	}
	if wires == 0 {
		t.Error("nothing was seen on the wire between the machines and the computer outside; the test is blind")
	}
	t.Logf("%d packets at the switch, %d on the wire to the computer outside, %d elsewhere there", len(arrived), wires, len(packets)-wires)

	machines("down", "--all")
	must(t, "ip", "netns", "delete", ns)
	noTraces(t, before)
}

// newNamespace makes a network namespace with a name, until the end of the test. ip-netns(8) would do it, too, and leave
// a mount.
func newNamespace(t *testing.T, name string) {
	t.Helper()
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		handle, err := netns.NewNamed(name)
		if err == nil {
			handle.Close()
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Stat("/run/netns/" + name); err == nil {
			must(t, "ip", "netns", "delete", name)
		}
	})
}

type packet struct {
	link     string
	from, to netip.Addr
}

// capture records every IP packet on every link of a network namespace, given as a file. The returned function waits until what was seen
// is complete, and ends it.
func capture(t *testing.T, namespace string) func(complete func([]packet) error) []packet {
	t.Helper()
	var socket int
	links := map[int]string{}
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		opened <- func() error {
			handle, err := netns.GetFromPath(namespace)
			if err != nil {
				return err
			}
			defer handle.Close()
			if err := netns.Set(handle); err != nil {
				return err
			}
			const everything = 0x0300 // ETH_P_ALL in network byte order
			if socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, everything); err != nil {
				return err
			}
			return unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
		}()
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(must(t, "nsenter", "--net="+namespace, "ip", "-o", "link")) {
		var index int
		var name string
		if _, err := fmt.Sscanf(line, "%d: %s", &index, &name); err != nil {
			t.Fatal(err)
		}
		links[index] = strings.TrimSuffix(strings.Split(name, "@")[0], ":")
	}
	var mu sync.Mutex
	var all []packet
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 2048)
		for ctx.Err() == nil {
			n, from, err := unix.Recvfrom(socket, buffer, 0)
			if err != nil {
				continue // the time-out, which looks whether to end
			}
			link := links[from.(*unix.SockaddrLinklayer).Ifindex]
			var p packet
			switch {
			case link == "nowhere": // the other end of the uplink
				continue
			case n >= 20 && buffer[0]>>4 == 4:
				p = packet{link, netip.AddrFrom4([4]byte(buffer[12:16])), netip.AddrFrom4([4]byte(buffer[16:20]))}
			case n >= 40 && buffer[0]>>4 == 6:
				p = packet{link, netip.AddrFrom16([16]byte(buffer[8:24])), netip.AddrFrom16([16]byte(buffer[24:40]))}
			default:
				continue // ARP
			}
			mu.Lock()
			all = append(all, p)
			mu.Unlock()
		}
	}()
	return func(complete func([]packet) error) []packet {
		defer unix.Close(socket)
		wait(t, "all packets", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			return complete(all)
		})
		// What was sent before the last packet is on its way no longer than this.
		time.Sleep(100 * time.Millisecond)
		stop()
		<-ended
		return all
	}
}
