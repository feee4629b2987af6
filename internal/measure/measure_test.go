package measure

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestSync(t *testing.T) {
	dir := t.TempDir()
	s, err := Sync(t.Context(), filepath.Join(dir, "not/there"), 50*time.Millisecond)
	if err != nil || s.Dir != dir || s.Count == 0 || s.P50 <= 0 || s.P50 > s.P99 || s.P99 > s.Most {
		t.Errorf("%+v, %v", s, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := Sync(t.Context(), "/proc", time.Millisecond); err == nil {
		t.Error("it syncs where nothing can be written")
	}
	took := make([]time.Duration, 200)
	for i := range took {
		took[i] = time.Duration(len(took) - i)
	}
	if got := distribute(Syncs{}, took); got != (Syncs{Count: 200, P50: 100, P99: 198, Most: 200}) {
		t.Errorf("of 1 to 200: %+v", got)
	}
}

func TestRooms(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	list, err := Rooms(filepath.Join(dir, "not there"), dir, filepath.Join(dir, "below"), "/proc")
	if err != nil || len(list) != 2 || list[0].Dir != dir || list[0].Size < list[0].Free || list[0].Free == 0 || list[0].ReadOnly || list[1].Dir != "/proc" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestListeners(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = udp.Close() }()
	list, err := Listeners("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for network, address := range map[string]net.Addr{"tcp": tcp.Addr(), "udp": udp.LocalAddr()} {
		at := netip.MustParseAddrPort(address.String())
		if !slices.ContainsFunc(list, func(l Listener) bool {
			return l.Network == network && l.Address == at.Addr() && l.Port == at.Port() && l.PID == os.Getpid() && l.Process != "" && strings.HasPrefix("measure.test", l.Process)
		}) {
			t.Errorf("%s %s is not among %+v", network, at, list)
		}
	}
}

func FuzzSockets(f *testing.F) {
	f.Add("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n")
	f.Add("\n   0: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 7\n")
	f.Add("\n 0: 01:1 2 0A 4 5 6 7 8 9\n")
	f.Fuzz(func(t *testing.T, table string) {
		list, err := parseSockets(strings.NewReader(table), "tcp")
		for _, s := range list {
			if err == nil && !s.Address.IsValid() {
				t.Errorf("%q has a socket without an address", table)
			}
		}
	})
}

func TestNameServers(t *testing.T) {
	answer := func(code dnsmessage.RCode) string {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var served sync.WaitGroup
		served.Go(func() {
			b := make([]byte, 512)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				var m dnsmessage.Message
				if m.Unpack(b[:n]) != nil {
					continue
				}
				m.Response, m.RCode, m.Additionals = true, code, nil
				out, err := m.Pack()
				if err != nil {
					t.Error(err)
				}
				_, _ = c.WriteTo(out, from)
			}
		})
		t.Cleanup(func() {
			_ = c.Close()
			served.Wait()
		})
		return c.LocalAddr().String()
	}
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = deaf.Close() }()
	servers := []string{answer(dnsmessage.RCodeSuccess), answer(dnsmessage.RCodeNameError), answer(dnsmessage.RCodeServerFailure), answer(dnsmessage.RCodeRefused)}
	found := AskNameServers(t.Context(), servers, "example.org.", 20*time.Second)
	dead := []string{deaf.LocalAddr().String(), "127.0.0.1:1"}
	servers = append(servers, dead...)
	for i, n := range append(found, AskNameServers(t.Context(), dead, "example.org.", 300*time.Millisecond)...) {
		if answers := i < 4; n.Address != servers[i] || (n.Why == "") != answers || (n.Took > 0) != answers {
			t.Errorf("%d: %+v", i, n)
		}
	}
}

func TestPaths(t *testing.T) {
	list := Paths(t.Context(), []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")})
	for _, p := range list {
		if !p.Answers || p.Took <= 0 || p.Sends < 1500 || p.Carries < 1500 || p.Why != "" {
			t.Errorf("%+v", p)
		}
	}
}

func TestConflict(t *testing.T) {
	own, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	a := netip.MustParseAddr("192.0.2.7")
	if got := hex.EncodeToString(asking(own, a)); got != "0001"+"0800"+"06"+"04"+"0001"+"020000000001"+"00000000"+"000000000000"+"c0000207" {
		t.Errorf("it asks %s", got)
	}
	said := func(change func(b []byte)) []byte {
		b := asking(other, a)
		b[7] = arpReply
		copy(b[14:], a.AsSlice())
		if change != nil {
			change(b)
		}
		return b
	}
	for name, each := range map[string]struct {
		b    []byte
		want net.HardwareAddr
	}{
		"reply":            {said(nil), other},
		"request":          {said(func(b []byte) { b[7] = arpRequest }), other},
		"somebody's probe": {said(func(b []byte) { clear(b[14:18]) }), nil},
		"another address":  {said(func(b []byte) { b[17]++ }), nil},
		"ourselves":        {said(func(b []byte) { copy(b[8:], own) }), nil},
		"another protocol": {said(func(b []byte) { b[2] = 0x86 }), nil},
		"short":            {said(nil)[:27], nil},
		"nothing":          {nil, nil},
	} {
		if got := has(each.b, []net.HardwareAddr{{2, 0, 0, 0, 0, 9}, own}, a); got.String() != each.want.String() {
			t.Errorf("%s: %s; want %s", name, got, each.want)
		}
	}
	if got := Conflicts(t.Context(), []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, time.Millisecond); len(got) > 0 {
		t.Errorf("asked for addresses that are not on a network of this machine: %+v", got)
	}
}
