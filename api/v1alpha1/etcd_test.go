package v1alpha1

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong with etcd: the beginnings of all that is said, in order; nothing of good ones.
func TestEtcd(t *testing.T) {
	const (
		line     = "cluster.yaml:7:"
		external = "etcd: {external: {endpoints: ['https://a:2379'], ca: a, certificate: b, key: c}}"
	)
	for etcd, want := range map[string][]string{
		"etcd: {}": nil,
		"etcd: {clientPort: 4001, peerPort: 7001}": nil,
		"etcd: {clientPort: 2380, peerPort: 2379}": nil,
		"etcd: {clientPort: 80, peerPort: 70000}": {
			line + "20: etcd.clientPort: 80 cannot be meant; want 1024 to 65535", line + "34: etcd.peerPort: 70000 cannot be meant; want 1024 to 65535"},
		"etcd: {clientPort: 4001, peerPort: 4001}":          {line + "36: etcd.peerPort: 4001 is that of etcd, for clients; want another port"},
		"etcd: {clientPort: 2380}":                          {line + "20: etcd.clientPort: 2380 is that of etcd, for its members"},
		"etcd: {clientPort: 2381}":                          {line + "20: etcd.clientPort: 2381 is that of etcd, for its health"},
		"etcd: {clientPort: 6443}":                          {line + "20: etcd.clientPort: 6443 is that of API servers"},
		"etcd: {peerPort: 10250}":                           {line + "18: etcd.peerPort: 10250 is that of the kubelet"},
		"etcd: {peerPort: 30001}":                           {line + "18: etcd.peerPort: 30001 is one that Services may get"},
		"apiServer: {port: 2379}":                           {line + "19: apiServer.port: 2379 is that of etcd, for clients"},
		"apiServer: {port: 2379}\netcd: {clientPort: 4001}": nil,
		"etcd: {events: {hosts: [cp1]}}":                    nil,
		"etcd: {events: {hosts: [cp1], clientPort: 4001, peerPort: 4002, dataDir: /data/events}}": nil,
		"etcd: {events: {hosts: [cp2]}}":                         {line + "25: etcd.events.hosts[0]: there is no host \"cp2\""},
		"etcd: {events: {hosts: [w1]}}":                          {line + "25: etcd.events.hosts[0]: w1 has neither of these roles"},
		"etcd: {events: {hosts: [cp1, cp1]}}":                    {line + "30: etcd.events.hosts[1]: cp1 is given twice"},
		"etcd: {events: {clientPort: 4001}}":                     {line + "16: etcd.events: it says nothing of who carries its members"},
		"etcd: {events: {hosts: [cp1], clientPort: 2379}}":       {line + "43: etcd.events.clientPort: 2379 is that of etcd, for clients"},
		"etcd: {events: {hosts: [cp1], dataDir: /var/lib/etcd}}": {line + "40: etcd.events.dataDir: "},
		external:           nil,
		external + " # ok": nil,
		"etcd: {external: {endpoints: ['https://a:2379', 'https://[fd00::1]:4001'], ca: a, certificate: b, key: c, prefix: /of/this-one}}": nil,
		"etcd: {external: {endpoints: []}}": {line + "18: etcd.external: it does not say where the etcd is; want etcd.external.endpoints, or none of this"},
		"etcd: {external: {prefix: /a}}":    {line + "18: etcd.external: it does not say where the etcd is"},
		"etcd: {external: {endpoints: [https://a:2379, 'https://a:2379']}}": {
			line + "18: etcd.external.ca: it is missing; want the file with the certificates of its authority",
			line + "18: etcd.external.certificate: it is missing", line + "18: etcd.external.key: it is missing", line + "47: etcd.external.endpoints[1]: https://a:2379 is given twice",
		},
		"etcd: {external: {ca: a, certificate: b, key: c, prefix: registry/, endpoints: ['http://a:2379', 'https://a', 'https://a:2379/x', '']}}": {
			line + "58: etcd.external.prefix: \"registry/\" cannot be meant; want a path such as /registry", line + "81: etcd.external.endpoints[0]: \"http://a:2379\" cannot be meant; want where a member answers clients",
			line + "98: etcd.external.endpoints[1]", line + "111: etcd.external.endpoints[2]", line + "131: etcd.external.endpoints[3]: it is empty",
		},
		"etcd: {dataDir: /data/etcd, events: {hosts: [cp1]}, external: {endpoints: ['https://a:2379'], ca: a, certificate: b, key: c}}": {
			line + "17: etcd.dataDir: it is of members that hosts of this file carry", line + "37: etcd.events: API servers know one authority for all etcds",
		},
		"apiServer: {extraArgs: {etcd-servers-overrides: '/pods#https://a'}}": {line + "49: apiServer.extraArgs.etcd-servers-overrides: Kubewright sets it itself: etcd.events has"},
	} {
		_, err := Parse("cluster.yaml", []byte(endpointHosts+etcd+"\n"))
		var said []string
		if invalid, ok := errors.AsType[InvalidError](err); ok {
			said = strings.Split(invalid.Error(), "\n")
		} else if err != nil {
			t.Fatal(err)
		}
		if len(said) != len(want) {
			t.Errorf("%s: it says %q; want %q", etcd, said, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(said[i], want[i]) {
				t.Errorf("%s: it says %s; want %s", etcd, said[i], want[i])
			}
		}
	}
}

// With an etcd of the user's own there may be any number of control planes, and no host of etcd.
func TestHostsWithExternalEtcd(t *testing.T) {
	const file = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: cp1, address: 10.0.0.1, roles: [control-plane]}
- {name: cp2, address: 10.0.0.2, roles: [control-plane]}
etcd: {external: {endpoints: ['https://a:2379'], ca: a, certificate: b, key: c}}
`
	c, err := Parse("cluster.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if c.Etcd.External.Prefix != "/registry" {
		t.Errorf("the prefix is %q", c.Etcd.External.Prefix)
	}
	_, err = Parse("cluster.yaml", []byte(strings.Replace(file, "2, roles: [control-plane", "2, roles: [etcd", 1)))
	if err == nil || !strings.Contains(err.Error(), "cluster.yaml:6:41: hosts[1].roles: cp2 would carry a member, and the etcd is your own") {
		t.Errorf("with a host of etcd it says %v", err)
	}
}
