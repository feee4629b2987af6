package v1alpha1

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong with networks that are the routers': the beginnings of all that is said, in order; nothing of good ones.
func TestRouted(t *testing.T) {
	const at = "cluster.yaml:8:"
	for network, want := range map[string][]string{
		"{plugin: routed}": nil,
		"{plugin: routed, mtu: 9000, masquerade: false}":                                           nil,
		"{plugin: routed, masquerade: true}":                                                       nil,
		"{plugin: routed, masquerade: true, routed: {unmasqueraded: [10.0.0.0/8, 172.16.0.0/12]}}": nil,
		"{plugin: routed, routed: {unmasqueraded: [10.0.0.0/8]}}": {
			at + "51: network.routed.unmasqueraded: with network.masquerade false, all that Pods send bears their own addresses"},
		"{plugin: routed, masquerade: true, routed: {unmasqueraded: [10.0.0.1/8, 'fd00::/8', x]}}": {
			at + "70: network.routed.unmasqueraded[0]: 10.0.0.1/8 is not where its range begins; want 10.0.0.0/8",
			at + "82: network.routed.unmasqueraded[1]: fd00::/8 is of IPv6, which no range of network.podRanges is",
			at + `94: network.routed.unmasqueraded[2]: "x" is none`},
		"{routed: {unmasqueraded: [10.0.0.0/8]}}": {at + "19: network.routed: network.plugin is flannel; want network.plugin routed"},
		"{plugin: routed, flannel: {port: 8472}}": {at + "36: network.flannel: network.plugin is routed; want network.plugin flannel"},
		"{plugin: routes}":                        {at + `19: network.plugin: "routes" cannot be meant; want flannel, routed or none`},
		"{plugin: routed, nodeMask: 26}":          {at + "37: network.nodeMask: the /26 of a node has room for 61 Pods, and kubelet.maxPods is 110"},
	} {
		_, err := Parse("cluster.yaml", []byte(small+"network: "+network+"\n"))
		var said []string
		var invalid InvalidError
		if errors.As(err, &invalid) {
			said = strings.Split(invalid.Error(), "\n")
		} else if err != nil {
			t.Fatal(err)
		}
		if len(said) != len(want) {
			t.Errorf("%s: it says %q, not %q", network, said, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(said[i], want[i]) {
				t.Errorf("%s: it says\n%s\nnot\n%s", network, said[i], want[i])
			}
		}
	}
}

// Routers know the way to Pods, so by default nothing is masqueraded.
func TestRoutedMasquerade(t *testing.T) {
	for network, want := range map[string]bool{"{}": true, "{plugin: none}": true, "{plugin: routed}": false, "{plugin: routed, masquerade: true}": true} {
		c, err := Parse("cluster.yaml", []byte(small+"network: "+network+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if *c.Network.Masquerade != want {
			t.Errorf("%s: masquerade is %t", network, !want)
		}
	}
}
