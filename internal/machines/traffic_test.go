package machines

import (
	"slices"
	"strings"
	"testing"
)

func TestTrafficRules(t *testing.T) {
	ports := map[string]string{"a": "m0", "b": "m1", "c": "m2"}
	got := trafficRules([][2]string{pair("b", "a"), pair("c", everybody)}, ports)
	want := `table bridge cuts
delete table bridge cuts
table bridge cuts {
	chain forward {
		type filter hook forward priority filter;
		iifname "m0" oifname "m1" drop
		iifname "m1" oifname "m0" drop
		iifname "m2" drop
		oifname "m2" drop
	}
	chain input {
		type filter hook input priority filter;
		iifname "m2" drop
	}
	chain output {
		type filter hook output priority filter;
		oifname "m2" drop
	}
}
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if strings.Contains(trafficRules([][2]string{pair("a", "gone"), pair("gone", everybody)}, ports), "drop") {
		t.Error("a cut of a machine that is gone is not passed over")
	}
	if strings.Contains(trafficRules(nil, ports), "drop") {
		t.Error("without cuts something is dropped")
	}
}

func TestCuts(t *testing.T) {
	cuts := [][2]string{pair("b", "a"), pair("a", "c"), pair("c", everybody)}
	for name, want := range map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {"a", everybody}, "d": nil} {
		if got := cutFrom(cuts, name); !slices.Equal(got, want) {
			t.Errorf("%s is cut from %q, want %q", name, got, want)
		}
	}
	if got := withoutMachine(cuts, "c"); !slices.Equal(got, [][2]string{{"a", "b"}}) {
		t.Errorf("without c: %q", got)
	}
	if len(cuts) != 3 {
		t.Error("withoutMachine changed its argument")
	}
}
