package measure

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Listener is a port that somebody has.
type Listener struct {
	Network string     `json:"network"` // "tcp" or "udp"
	Address netip.Addr `json:"address"` // 0.0.0.0 or :: for all
	Port    uint16     `json:"port"`
	// Process that has it, by its name ("haproxy") and number; nobody's are the kernel's, such as VXLAN's.
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
}

// Listeners are all ports of the machine that somebody has, as proc (/proc) says.
func Listeners(proc string) ([]Listener, error) {
	var sockets []socket
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := os.Open(filepath.Join(proc, "net", table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // without IPv6
		}
		if err != nil {
			return nil, err
		}
		found, err := parseSockets(f, strings.TrimSuffix(table, "6"))
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s/net/%s: %w", proc, table, err)
		}
		sockets = append(sockets, found...)
	}
	owners, err := socketOwners(proc) // after sockets: of what was opened meanwhile nothing is said
	if err != nil {
		return nil, err
	}
	var list []Listener
	for _, s := range sockets {
		if o, ok := owners[s.inode]; ok {
			s.Process, s.PID = o.name, o.pid
		}
		list = append(list, s.Listener)
	}
	return list, nil
}

type socket struct {
	Listener
	inode string
}

// States of sockets in these tables (include/net/tcp_states.h of Linux): of TCP listening, of UDP with no peer.
const (
	listening = "0A"
	noPeer    = "07"
)

// parseSockets reads a table of the kernel (Documentation/networking/proc_net_tcp.rst).
func parseSockets(r io.Reader, network string) ([]socket, error) {
	var list []socket
	lines := bufio.NewScanner(r)
	lines.Scan() // titles
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		if state := fields[3]; network == "tcp" && state != listening || network == "udp" && state != noPeer {
			continue
		}
		address, port, err := parseEndpoint(fields[1])
		if err != nil {
			return nil, err
		}
		list = append(list, socket{Listener{Network: network, Address: address, Port: port}, fields[9]})
	}
	return list, lines.Err()
}

// parseEndpoint reads "0100007F:1F90": the address in words of four bytes, each as this machine has numbers in memory, and the port.
func parseEndpoint(s string) (netip.Addr, uint16, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.Addr{}, 0, fmt.Errorf("%q is no address", s)
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("%q has no port", s)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap(), uint16(n), nil
}

type process struct {
	name string
	pid  int
}

// socketOwners are the processes that have sockets, by the inodes of these. Processes come and go meanwhile.
func socketOwners(proc string) (map[string]process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	owners := map[string]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fds, err := os.ReadDir(filepath.Join(proc, e.Name(), "fd"))
		if err != nil {
			continue
		}
		name := ""
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(proc, e.Name(), "fd", fd.Name()))
			inode, ok := strings.CutPrefix(to, "socket:[")
			if err != nil || !ok {
				continue
			}
			if name == "" {
				b, err := os.ReadFile(filepath.Join(proc, e.Name(), "comm"))
				if err != nil {
					break
				}
				name = strings.TrimSpace(string(b))
			}
			inode = strings.TrimSuffix(inode, "]")
			// Of those that share it, the first that was started has it, mostly: the others inherited it.
			if o, taken := owners[inode]; !taken || pid < o.pid {
				owners[inode] = process{name, pid}
			}
		}
	}
	return owners, nil
}
