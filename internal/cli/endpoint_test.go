package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

const externalFile = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: prod
hosts:
- {name: cp1, address: 192.0.2.11, internalAddresses: [10.0.0.11, "fd00::11"], roles: [control-plane]}
- {name: cp2, address: cp2.example, roles: [control-plane]}
- {name: cp3, address: "fd00::13", internalAddresses: [10.0.0.13, "fd00::13"], roles: [control-plane]}
- {name: w1, address: 10.0.0.21, internalAddresses: [10.0.0.21, "fd00::21"], roles: [worker]}
endpoint: {kind: external, address: 10.0.0.10, port: 443, local: true}
registries:
- {host: r.example, credentials: {username: u, passwordFile: there-is-none}}
network: {podRanges: [10.244.0.0/16, "fd01::/48"], serviceRanges: [10.96.0.0/16, "fd02::/112"]}
`

func TestEndpointConfig(t *testing.T) {
	for _, c := range []struct{ format, file, golden string }{
		{"haproxy", externalFile, "endpoint-haproxy.golden"},
		{"nginx", externalFile, "endpoint-nginx.golden"},
		{"haproxy", strings.Replace(externalFile, "kind: external, address: 10.0.0.10, port: 443, local: true", "", 1) + "apiServer: {port: 7443}\n", "endpoint-haproxy-before.golden"},
	} {
		t.Run(c.golden, func(t *testing.T) {
			root := newRoot(nil)
			root.SetArgs([]string{"endpoint", "config", "-", "--format", c.format})
			root.SetIn(strings.NewReader(c.file))
			var out bytes.Buffer
			root.SetOut(&out)
			if err := root.Execute(); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", c.golden)
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("%s differs; go test -update writes it anew:\n%s", golden, strings.Join(resource.DiffLines(string(want), out.String()), "\n"))
			}
		})
	}
}

func TestEndpointConfigUsage(t *testing.T) {
	for args, want := range map[string]string{"--format caddy": "want haproxy or nginx", "there-is-none.yaml": "no such file", "a b": "accepts at most 1"} {
		root := newRoot(nil)
		root.SetArgs(append([]string{"endpoint", "config"}, strings.Fields(args)...))
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v", args, err)
		}
	}
}
