package v1alpha1

import (
	"errors"
	"strings"
	"testing"
)

// What is wrong with etcd: the beginnings of all that is said, in order; nothing of good ones.
func TestEtcd(t *testing.T) {
	const line = "cluster.yaml:7:"
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
		"etcd: {events: {hosts: [cp2]}}":                                      {line + "25: etcd.events.hosts[0]: there is no host \"cp2\""},
		"etcd: {events: {hosts: [w1]}}":                                       {line + "25: etcd.events.hosts[0]: w1 has neither of these roles"},
		"etcd: {events: {hosts: [cp1, cp1]}}":                                 {line + "30: etcd.events.hosts[1]: cp1 is given twice"},
		"etcd: {events: {clientPort: 4001}}":                                  {line + "16: etcd.events: it says nothing of who carries its members"},
		"etcd: {events: {hosts: [cp1], clientPort: 2379}}":                    {line + "43: etcd.events.clientPort: 2379 is that of etcd, for clients"},
		"etcd: {events: {hosts: [cp1], dataDir: /var/lib/etcd}}":              {line + "40: etcd.events.dataDir: "},
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
