package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestValidate(t *testing.T) {
	const file = "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: home\nhosts:\n- {name: m1, address: 198.18.0.11, roles: [control-plane]}\n"
	run := func(content string, args ...string) (string, error) {
		root := newRoot(nil)
		root.SetArgs(append([]string{"validate", "-"}, args...))
		root.SetIn(strings.NewReader(content))
		var out bytes.Buffer
		root.SetOut(&out)
		err := root.Execute()
		return out.String(), err
	}
	if out, err := run(file); err != nil || out != "-: cluster home, 1 host\n" {
		t.Errorf("a good file: %q, %v", out, err)
	}
	var invalid v1alpha1.InvalidError
	if _, err := run(file + "colour: red\n"); !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), "-:6:1: colour: there is no such field") || exitCode(err) != exitUsage {
		t.Errorf("a bad file: %v", err)
	}
	out, err := run(file+"colour: red\n", "-o", "json")
	var said struct{ Problems []v1alpha1.Problem }
	if jsonErr := json.Unmarshal([]byte(out), &said); jsonErr != nil || len(said.Problems) != 1 || said.Problems[0].Line != 6 || exitCode(err) != exitUsage {
		t.Errorf("a bad file as JSON: %s, %v", out, err)
	}
}
