package network

import (
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

func TestRoutes(t *testing.T) {
	routes, without := Routes([]resource.NodeFound{
		{Name: "w2", PodRanges: []string{"10.244.10.0/24", "fd00:1:0:a::/64"}, Addresses: []string{"10.0.0.22", "fd00::22"}},
		{Name: "w1", PodRanges: []string{"10.244.2.0/24", "fd00:1:0:2::/64"}, Addresses: []string{"10.0.0.21"}},
		{Name: "w3", Addresses: []string{"10.0.0.23"}},
	})
	if want := []string{"w1 has no address of the family of its range fd00:1:0:2::/64", "w3 has no range of Pods yet"}; !slices.Equal(without, want) {
		t.Errorf("without one there are %q, not %q", without, want)
	}
	for format, want := range map[string]string{
		"text": `PODS              VIA         NODE
10.244.2.0/24     10.0.0.21   w1
10.244.10.0/24    10.0.0.22   w2
fd00:1:0:a::/64   fd00::22    w2
`,
		"ip": `ip route replace 10.244.2.0/24 via 10.0.0.21
ip route replace 10.244.10.0/24 via 10.0.0.22
ip -6 route replace fd00:1:0:a::/64 via fd00::22
`,
		"frr": `ip route 10.244.2.0/24 10.0.0.21
ip route 10.244.10.0/24 10.0.0.22
ipv6 route fd00:1:0:a::/64 fd00::22
`,
		"bird": `protocol static kubernetes_pods_ipv4 {
    ipv4;
    route 10.244.2.0/24 via 10.0.0.21; # w1
    route 10.244.10.0/24 via 10.0.0.22; # w2
}
protocol static kubernetes_pods_ipv6 {
    ipv6;
    route fd00:1:0:a::/64 via fd00::22; # w2
}
`,
	} {
		var out strings.Builder
		if err := RouteFormats()[format](&out, routes); err != nil || out.String() != want {
			t.Errorf("as %s it is\n%s%v; want\n%s", format, &out, err, want)
		}
	}
	var out strings.Builder
	if err := RouteFormats()["json"](&out, nil); err != nil || out.String() != "[]\n" {
		t.Errorf("none are %q, %v", &out, err)
	}
	out.Reset()
	if err := RouteFormats()["json"](&out, routes[:1]); err != nil || !strings.Contains(out.String(), `"to": "10.244.2.0/24",`) {
		t.Errorf("one is %q, %v", &out, err)
	}
}
