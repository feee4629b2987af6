package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// said runs the program and returns what it says.
func said(args ...string) (string, error) {
	root := newRoot(nil)
	root.SetArgs(args)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		field string
		want  []string
	}{
		{"", []string{"apiVersion", "text, required (kubewright.dev/v1alpha1)", "hosts", "list of objects, required"}},
		{"hosts", []string{"hosts: list of objects, required\n", "roles", "list of texts, required (control-plane, etcd, worker, loadbalancer)", "labels", "texts by name"}},
		{"hosts[0].taints", []string{"hosts.taints: list of objects\n", "effect"}},
		{"network.flannel.backend", []string{"network.flannel.backend: text (vxlan, host-gw)\n  backend is vxlan (default), or host-gw:"}},
		{"network.masquerade", []string{"network.masquerade: true or false\n"}},
		{"kubelet.config", []string{"kubelet.config: object of anything\n"}},
		{"hostPreparation.packages", []string{"list of texts\n", "xfsprogs"}},
	} {
		got, err := said("explain", c.field)
		if err != nil {
			t.Errorf("%s: %v", c.field, err)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("of %q it says\n%s\nwithout %q", c.field, got, want)
			}
		}
	}
	for field, want := range map[string]string{
		"colour":               "the file has no field colour; there are addons, apiServer,",
		"network.colour":       "network has no field colour; it has dnsDomain,",
		"kubelet.config.other": "kubelet.config has no fields of its own that are known here",
	} {
		if _, err := said("explain", field); err == nil || !strings.HasPrefix(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v; want %q", field, err, want)
		}
	}
	out, err := said("explain", "etcd", "--output", "json")
	var f explained
	if err != nil || json.Unmarshal([]byte(out), &f) != nil || f.Field != "etcd" || len(f.Fields) < 5 {
		t.Errorf("as JSON: %s, %v", out, err)
	}
	if out, err := said("schema"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("the schema is %q, %v", out, err)
	}
}

// Each field can be explained.
func TestExplainAll(t *testing.T) {
	s, err := clusterSchema()
	if err != nil {
		t.Fatal(err)
	}
	var visit func(path string) int
	visit = func(path string) int {
		f, err := s.find(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 1
		for _, sub := range f.Fields {
			if sub.What == "" || sub.Holds == "" {
				t.Errorf("nothing is said of %s", sub.Field)
			}
			n += visit(sub.Field)
		}
		return n
	}
	if n := visit(""); n < 100 {
		t.Errorf("there are %d fields; want 100 or more", n)
	}
}

func TestFieldsAreCompleted(t *testing.T) {
	for begun, want := range map[string]string{"netw": "network", "network.fl": "network.flannel", "network.flannel.": "network.flannel.backend"} {
		if got, _ := completeField(nil, nil, begun); !slices.Contains(got, want) {
			t.Errorf("%s is completed by %q, without %s", begun, got, want)
		}
	}
	if got, _ := completeField(nil, nil, "none.such"); got != nil {
		t.Errorf("what is not there is completed by %q", got)
	}
}
