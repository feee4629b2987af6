package v1alpha1

import (
	"errors"
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

func TestEndpointDefaults(t *testing.T) {
	for endpoint, want := range map[string]Endpoint{
		"{kind: external, address: 10.0.0.10}":                       {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "10.0.0.10", Port: 7443},
		"{kind: external, address: a.example}":                       {Kind: ExternalEndpoint, Name: "a.example", Address: "a.example", Port: 7443},
		"{kind: external, address: a.example, local: true}":          {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "a.example", Port: 7443, Local: true},
		"{kind: external, address: a.example, port: 1, local: true}": {Kind: ExternalEndpoint, Name: "api.prod.internal", Address: "a.example", Port: 1, Local: true},
		"{local: true}": {Kind: LocalEndpoint, Name: "api.prod.internal", Local: true},
	} {
		c, err := Parse("cluster.yaml", []byte(endpointHosts+"apiServer: {port: 7443}\nendpoint: "+endpoint+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if c.Endpoint != want {
			t.Errorf("%s: %+v, not %+v", endpoint, c.Endpoint, want)
		}
	}
}
