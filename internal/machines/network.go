package machines

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The network of a set is a network namespace of its own with a switch (bridge) in it, into which the machines are
// plugged, and one wire to the computer outside. The namespace routes to exactly two places: its machines, and the one
// address of the computer outside on that wire. It has no other route, so whatever else a machine sends ends there with
// "network unreachable", whatever the computer outside forwards; and strict reverse-path filtering drops what bears a
// source address that is not of the set. No firewall rule is needed, outside there is one link and one route, and both end
// with the namespace.
const (
	switchName = "switch"
	wireName   = "outside"
)

// netnsPath is the file that holds the set's network namespace: nsenter --net=FILE.
func (s *Set) netnsPath() string { return filepath.Join(s.dir(), "network") }

// wireOutside is the name of the link in the network of the computer outside.
func (n subnet) wireOutside() string { return fmt.Sprintf("kw%d", n) }

// connectNetwork makes what is missing of the set's network.
func (s *Set) connectNetwork(st state) error {
	ns, err := s.ensureNetns()
	if err != nil {
		return fmt.Errorf("making network namespace %s: %w", s.netnsPath(), err)
	}
	defer ns.Close()
	if err := s.wire(st.Subnet, ns); err != nil {
		return fmt.Errorf("connecting the set's network to this computer: %w", err)
	}
	err = inNetns(ns, func() error {
		for name, value := range map[string]string{
			"ipv4/ip_forward":              "1",
			"ipv4/conf/all/rp_filter":      "1",
			"ipv4/conf/default/rp_filter":  "1",
			"ipv4/conf/all/send_redirects": "0",
			"ipv6/conf/all/disable_ipv6":   "1", // the switch forwards it between machines; the namespace takes no part
		} {
			if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := s.switchOn(st.Subnet); err != nil {
			return err
		}
		// A machine that starts is asked for its hardware address before it can answer; ask again soon.
		return os.WriteFile("/proc/sys/net/ipv4/neigh/"+switchName+"/retrans_time_ms", []byte("50"), 0o644)
	})
	if err != nil {
		return fmt.Errorf("making the set's switch: %w", err)
	}
	return s.applyTraffic(st.Cuts)
}

func (s *Set) ensureNetns() (netns.NsHandle, error) {
	if ns, err := netns.GetFromPath(s.netnsPath()); err == nil {
		var fsinfo unix.Statfs_t
		if unix.Fstatfs(int(ns), &fsinfo) == nil && fsinfo.Type == unix.NSFS_MAGIC {
			return ns, nil
		}
		ns.Close() // the bare file that an interrupted run, or a restart of the computer, left
	}
	if err := s.removeNetns(); err != nil {
		return 0, err
	}
	if err := os.WriteFile(s.netnsPath(), nil, 0o600); err != nil {
		return 0, err
	}
	var ns netns.NsHandle
	err := onThread(func() (err error) {
		if ns, err = netns.New(); err != nil {
			return err
		}
		return unix.Mount("/proc/thread-self/ns/net", s.netnsPath(), "", unix.MS_BIND, "")
	})
	return ns, err
}

// wire makes the pair of devices between the computer outside and the set's network, and the route to the machines.
func (s *Set) wire(n subnet, ns netns.NsHandle) error {
	link, err := netlink.LinkByName(n.wireOutside())
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		err = netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: n.wireOutside()},
			PeerName:  wireName, PeerNamespace: netlink.NsFd(ns),
		})
		if err != nil {
			return err
		}
		link, err = netlink.LinkByName(n.wireOutside())
	}
	if err != nil {
		return err
	}
	if err := netlink.LinkSetAlias(link, "kubewright machines, set "+s.config.Name); err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(n.outside(), 32)), Scope: unix.RT_SCOPE_LINK}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index, Dst: ipNet(n.machines()), Gw: n.gateway().AsSlice(), Src: n.outside().AsSlice(),
		Flags: int(netlink.FLAG_ONLINK),
	})
}

func (s *Set) switchOn(n subnet) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	snooping := false // there is no querier; without it multicast (VRRP) reaches everybody
	bridge, err := netlink.LinkByName(switchName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: switchName}, MulticastSnooping: &snooping}); err != nil {
			return err
		}
		bridge, err = netlink.LinkByName(switchName)
	}
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(bridge, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(n.gateway(), n.machines().Bits()))}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	wire, err := netlink.LinkByName(wireName)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(wire); err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: wire.Attrs().Index, Dst: ipNet(netip.PrefixFrom(n.outside(), 32)), Src: n.gateway().AsSlice(), Scope: unix.RT_SCOPE_LINK})
}

// plugIn makes the machine's network for one boot: a fresh namespace with one device, eth0, that ends in the set's switch.
func (s *Set) plugIn(m machine, n subnet, set netns.NsHandle) (netns.NsHandle, error) {
	var own netns.NsHandle
	if err := onThread(func() (err error) { own, err = netns.New(); return err }); err != nil {
		return 0, err
	}
	err := inNetns(set, func() error {
		// The plug of the boot before goes away with its namespace, which takes the kernel a moment.
		if old, err := netlink.LinkByName(m.port()); err == nil {
			if err := netlink.LinkDel(old); err != nil && !errors.Is(err, unix.ENODEV) {
				return err
			}
		}
		bridge, err := netlink.LinkByName(switchName)
		if err != nil {
			return err
		}
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: m.port(), MasterIndex: bridge.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(own), PeerHardwareAddr: n.hardwareAddr(m.Index)}); err != nil {
			return err
		}
		port, err := netlink.LinkByName(m.port())
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(port)
	})
	if err == nil {
		err = s.shape(m, set, own)
	}
	if err != nil {
		own.Close()
		return 0, fmt.Errorf("plugging machine %s into the switch: %w", m.Name, err)
	}
	return own, nil
}

// shape sets the rate of a machine's link, in each direction at the end that sends.
func (s *Set) shape(m machine, set, own netns.NsHandle) error {
	for device, ns := range map[string]netns.NsHandle{m.port(): set, "eth0": own} {
		err := inNetns(ns, func() error {
			link, err := netlink.LinkByName(device)
			if err != nil {
				return err
			}
			root := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}
			if m.LinkRate == 0 {
				err := netlink.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: root, QdiscType: "tbf"})
				if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
					return nil // there is none
				}
				return err
			}
			rate := uint64(m.LinkRate) / 8         // bytes a second
			burst := max(uint32(rate/100), 64<<10) // 10 ms, and at least one offloaded packet
			return netlink.QdiscReplace(&netlink.Tbf{
				QdiscAttrs: root, Rate: rate, Buffer: netlink.Xmittime(rate, burst),
				Limit: burst + uint32(rate/20), // 50 ms of queue
			})
		})
		if err != nil {
			return fmt.Errorf("setting the rate of %s: %w", device, err)
		}
	}
	return nil
}

// disconnectNetwork removes the set's network.
func (s *Set) disconnectNetwork(n subnet) error {
	if link, err := netlink.LinkByName(n.wireOutside()); err == nil {
		if err := netlink.LinkDel(link); err != nil {
			return fmt.Errorf("removing link %s: %w", n.wireOutside(), err)
		}
	}
	return s.removeNetns()
}

func (s *Set) removeNetns() error {
	err := unix.Unmount(s.netnsPath(), unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := os.Remove(s.netnsPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// onThread runs f on a thread of its own, which ends afterwards with all that f changed of it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

func inNetns(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return f()
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
