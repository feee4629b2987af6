package agent

import (
	"reflect"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
)

func TestWays(t *testing.T) {
	const unit, address = facts.UnitDir + "/" + facts.BalancerUnit, facts.UnitDir + "/" + facts.AddressUnit
	const own = "frontend endpoint\n    bind 127.0.0.1:6443\n    bind [::1]:6443\n    default_backend apiservers\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  facts.Ways
	}{
		{"none", nil, facts.Ways{}},
		{"for itself", map[string]string{unit: "", facts.BalancerConfig: own}, facts.Ways{Balancer: true}},
		{"for others", map[string]string{unit: "", address: "", facts.BalancerConfig: own + "    bind [fd00::10]:16443\nfrontend statistics\n    bind 10.0.0.11:9000\n"},
			facts.Ways{Balancer: true, Address: true, Ports: []int{9000, 16443}}},
		{"a configuration that nothing reads", map[string]string{facts.BalancerConfig: "    bind 10.0.0.10:16443\n"}, facts.Ways{}},
		{"a unit that came first", map[string]string{unit: ""}, facts.Ways{Balancer: true}},
	} {
		if got := gather(t, c.files).Ways; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
