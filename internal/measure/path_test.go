package measure

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inNamespace is set in the process that this test starts in a network namespace of its own.
const inNamespace = "MEASURE_PATH_TO"

// A router between two networks, of which the second carries less: it says so, or something on the way drops what it says.
func TestPathsThroughARouter(t *testing.T) {
	if to := os.Getenv(inNamespace); to != "" {
		if err := json.NewEncoder(os.Stdout).Encode(Paths(t.Context(), []netip.Addr{netip.MustParseAddr(to), netip.MustParseAddr("192.0.2.129")})); err != nil {
			t.Fatal(err)
		}
		return
	}
	name := func(what string) string { return fmt.Sprintf("kw-measure-%d-%s", os.Getpid(), what) }
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	for _, n := range []string{"a", "r", "b"} {
		ip("netns add " + name(n))
		t.Cleanup(func() { ip("netns del " + name(n)) })
		ip("-n " + name(n) + " link set lo up")
	}
	connect := func(a, b, mtu, addressA, addressB string) {
		t.Helper()
		ip("-n " + name(a) + " link add to" + b + " mtu " + mtu + " type veth peer name to" + a + " mtu " + mtu + " netns " + name(b))
		for _, end := range [][3]string{{a, b, addressA}, {b, a, addressB}} {
			ip("-n " + name(end[0]) + " address add " + end[2] + " dev to" + end[1])
			ip("-n " + name(end[0]) + " link set to" + end[1] + " up")
		}
	}
	connect("a", "r", "1500", "192.0.2.1/26", "192.0.2.2/26")
	connect("r", "b", "1400", "192.0.2.65/26", "192.0.2.66/26")
	ip("-n " + name("a") + " route add 192.0.2.64/26 via 192.0.2.2")
	ip("-n " + name("b") + " route add default via 192.0.2.65")
	inside := func(n, program string, args ...string) []byte {
		t.Helper()
		c := exec.Command("ip", append([]string{"netns", "exec", name(n), program}, args...)...)
		c.Env = append(os.Environ(), inNamespace+"=192.0.2.66")
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
		return out
	}
	inside("r", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	paths := func() []Path {
		t.Helper()
		var found []Path
		if err := json.NewDecoder(strings.NewReader(string(inside("a", os.Args[0], "-test.run=^TestPathsThroughARouter$")))).Decode(&found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := paths()
	if p := found[0]; !p.Answers || p.Sends != 1500 || p.Carries != 1400 || !p.Told {
		t.Errorf("through a router that says how long packets may be: %+v", p)
	}
	if p := found[1]; !p.NoRoute || p.Answers {
		t.Errorf("to where no route leads: %+v", p)
	}
	inside("a", "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in icmp type destination-unreachable drop")
	ip("-n " + name("a") + " route flush cache")
	if p := paths()[0]; !p.Answers || p.Sends != 1500 || p.Carries != 1400 || p.Told {
		t.Errorf("where nobody hears the router: %+v", p)
	}
}
