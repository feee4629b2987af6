package v1alpha1

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const endpointHosts = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: w1, address: w1.example, internalAddresses: [10.0.0.21], roles: [worker]}
`

// What is wrong with endpoints: the beginnings of all that is said, in order; nothing of good ones.
func TestEndpoint(t *testing.T) {
	const line = "cluster.yaml:7:"
	for endpoint, want := range map[string][]string{
		"{}":                         nil,
		"{kind: local, local: true}": nil,
		"{kind: floating}":           {line + `18: endpoint.kind: "floating" cannot be meant`},
		"{address: 10.0.0.10, port: 443}": {
			line + "21: endpoint.address: the kind local has none", line + "38: endpoint.port: the kind local has none"},

		"{kind: external, address: 10.0.0.10}":                                          nil,
		`{kind: external, address: "fd00::10"}`:                                         nil,
		"{kind: external, address: api.example.com}":                                    nil,
		"{kind: external, address: api.example.com, name: api.example.com}":             nil,
		"{kind: external, address: 10.0.0.10, port: 443, local: true}":                  nil,
		"{kind: external, address: api.example.com, name: api.a.internal, local: true}": nil,
		"{kind: external}":                            {line + "11: endpoint.address: it is missing; want an IP address or a DNS name"},
		"{kind: external, address: 10.0.0.11}":        {line + "37: endpoint.address: 10.0.0.11 is that of cp1"},
		"{kind: external, address: 10.0.0.21}":        {line + "37: endpoint.address: 10.0.0.21 is that of w1"},
		"{kind: external, address: w1.example}":       {line + "37: endpoint.address: w1.example is a host"},
		"{kind: external, address: 127.0.0.1}":        {line + `37: endpoint.address: "127.0.0.1" cannot be meant`},
		"{kind: external, address: 10.0.0.256}":       {line + `37: endpoint.address: "10.0.0.256" cannot be meant`},
		"{kind: external, address: balancer}":         {line + `37: endpoint.address: "balancer" cannot be meant`},
		"{kind: external, address: 'https://a.b/'}":   {line + `37: endpoint.address: "https://a.b/" cannot be meant`},
		"{kind: external, address: 10.96.0.10}":       {line + "37: endpoint.address: 10.96.0.10 is within 10.96.0.0/16"},
		"{kind: external, address: a.b, port: 0}":     {line + "48: endpoint.port: 0 cannot be meant; want 1 to 65535"},
		"{kind: external, address: a.b, port: 70000}": {line + "48: endpoint.port: 70000 cannot be meant; want 1 to 65535"},
		"{kind: external, address: a.b, port: 443}":   {line + "48: endpoint.port: 443 is not the port of API servers, 6443, and nodes know the API by one name and one port"},
		"{kind: external, address: a.b, name: api.a.internal}": {
			line + "48: endpoint.name: workers find api.a.internal in /etc/hosts, which leads to IP addresses, and endpoint.address is the name a.b; want the same"},

		"{kind: keepalived, address: 10.0.0.10}":              nil,
		"{kind: keepalived, address: 10.0.0.10, local: true}": nil,
		"{kind: keepalived, address: 10.0.0.10, keepalived: {role: control-plane, routerID: 51, interval: 500ms, priorities: {cp1: 200}, preempt: true, balancerPort: 8443}}": nil,
		"{kind: keepalived, address: 10.0.0.10, keepalived: {statistics: {credentials: {username: admin, passwordFile: stats}}}}":                                             nil,
		"{kind: keepalived}":                                                       {line + "11: endpoint.address: it is missing; want an IP address that nobody has"},
		"{kind: keepalived, address: a.example.com}":                               {line + `39: endpoint.address: "a.example.com" cannot be meant; want an IP address that nobody has`},
		"{kind: keepalived, address: 10.0.0.21}":                                   {line + "39: endpoint.address: 10.0.0.21 is that of w1"},
		"{kind: keepalived, address: 10.244.1.1}":                                  {line + "39: endpoint.address: 10.244.1.1 is within 10.244.0.0/16"},
		"{kind: keepalived, address: 10.96.1.1}":                                   {line + "39: endpoint.address: 10.96.1.1 is within 10.96.0.0/16"},
		"{kind: keepalived, address: 10.0.0.10, port: 443}":                        {line + "56: endpoint.port: the address has the port of API servers"},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {role: loadbalancer}}": {line + "69: endpoint.keepalived.role: no host has the role loadbalancer"},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {role: worker}}":       {line + `69: endpoint.keepalived.role: "worker" cannot be meant; want loadbalancer or control-plane`},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {routerID: 256, interval: 1s, balancerPort: 6443}}": {
			line + "73: endpoint.keepalived.routerID: 256 cannot be meant; want 1 to 255", line + `88: endpoint.keepalived.interval: "1s" cannot be meant; want hundredths of a second, 100ms to 990ms`,
			line + "106: endpoint.keepalived.balancerPort: 6443 is that of API servers"},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {interval: 333ms, priorities: {cp1: 255, w1: 10}}}": {
			line + `73: endpoint.keepalived.interval: "333ms" cannot be meant`, line + "98: endpoint.keepalived.priorities.cp1: 255 cannot be meant; want 1 to 254",
			line + `107: endpoint.keepalived.priorities.w1: there is no such host "w1"; want the name of a host with the role control-plane`},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {statistics: {port: 16443, credentials: {username: 'a:b'}}}}": {
			line + "82: endpoint.keepalived.statistics.port: 16443 is that of balancers", line + "102: endpoint.keepalived.statistics.credentials: it has 0 of them",
			line + `113: endpoint.keepalived.statistics.credentials.username: "…" cannot be meant`},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {statistics: {port: 9001}}}": {
			line + "75: endpoint.keepalived.statistics.credentials: it has 0 of them", line + "75: endpoint.keepalived.statistics.credentials.username: it is missing; want a user name"},
		"{keepalived: {preempt: true}}":                                   {line + "24: endpoint.keepalived: the kind local has no address that wanders; want endpoint.kind: keepalived"},
		"{kind: external, address: 10.0.0.10, keepalived: {routerID: 7}}": {line + "60: endpoint.keepalived: the kind external has no address that wanders"},
	} {
		t.Run(endpoint, func(t *testing.T) {
			_, err := Parse("cluster.yaml", []byte(endpointHosts+"endpoint: "+endpoint+"\n"))
			var said []string
			var invalid InvalidError
			if errors.As(err, &invalid) {
				said = strings.Split(invalid.Error(), "\n")
			} else if err != nil {
				t.Fatal(err)
			}
			if len(said) != len(want) {
				t.Fatalf("it says %q, not %q", said, want)
			}
			for i := range want {
				if !strings.HasPrefix(said[i], want[i]) {
					t.Errorf("it says\n%s\nnot\n%s", said[i], want[i])
				}
			}
		})
	}
}

// What is wrong with hosts that have the role of balancers.
func TestBalancers(t *testing.T) {
	const lb = "- {name: lb1, address: 10.0.0.31, roles: [loadbalancer]}\n"
	for endpoint, want := range map[string]string{
		"{kind: keepalived, address: 10.0.0.10}":                                       "",
		"{kind: keepalived, address: 10.0.0.10, keepalived: {priorities: {lb1: 200}}}": "",
		"{}":                                     "7:42: hosts[2].roles: lb1 has the role loadbalancer, and with an endpoint of kind local such a host has nothing to do",
		"{kind: external, address: 10.0.0.10}":   "7:42: hosts[2].roles: lb1 has the role loadbalancer, and with an endpoint of kind external such a host has nothing to do",
		"{kind: keepalived, address: 10.0.0.31}": "8:39: endpoint.address: 10.0.0.31 is that of lb1",
		"{kind: keepalived, address: 10.0.0.10, keepalived: {role: control-plane}}": "7:42: hosts[2].roles: it has the role loadbalancer, and the address is held by hosts with the role control-plane",
	} {
		_, err := Parse("cluster.yaml", []byte(endpointHosts+lb+"endpoint: "+endpoint+"\n"))
		if said := fmt.Sprint(err); (err == nil) != (want == "") || err != nil && !strings.HasPrefix(said, "cluster.yaml:"+want) {
			t.Errorf("%s: %v; want %q", endpoint, err, want)
		}
	}
}

func TestEndpointDefaults(t *testing.T) {
	for endpoint, want := range map[string]Endpoint{
		"{kind: external, address: 10.0.0.10}":                       {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "10.0.0.10", Port: 7443},
		"{kind: external, address: a.example}":                       {Kind: ExternalEndpoint, Name: "a.example", Address: "a.example", Port: 7443},
		"{kind: external, address: a.example, local: true}":          {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "a.example", Port: 7443, Local: true},
		"{kind: external, address: a.example, port: 1, local: true}": {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "a.example", Port: 1, Local: true},
		"{kind: keepalived, address: 10.0.0.10, keepalived: {statistics: {credentials: {username: a, passwordEnv: B}}}}": {Kind: KeepalivedEndpoint, Name: "api.prod.internal", Address: "10.0.0.10",
			Keepalived: Keepalived{Role: ControlPlane, RouterID: 10, Interval: "300ms", BalancerPort: 16443, Statistics: Statistics{Port: 9000, Credentials: Credentials{Username: "a", PasswordEnv: "B"}}}},
		"{local: true}": {Kind: LocalEndpoint, Name: "api.prod.internal", Local: true},
	} {
		c, err := Parse("cluster.yaml", []byte(endpointHosts+"apiServer: {port: 7443}\nendpoint: "+endpoint+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Endpoint, want) {
			t.Errorf("%s: %+v, not %+v", endpoint, c.Endpoint, want)
		}
	}
}
