package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestNodesTable(t *testing.T) {
	var out bytes.Buffer
	if err := nodesTable(&out, []resource.NodeFound{
		{Name: "cp1", Ready: true, Kubelet: "v1.37.1", Addresses: []string{"10.0.0.11", "fd00::11"}, Roles: []string{"control-plane"}}, {Name: "worker07", Cordoned: true},
	}); err != nil {
		t.Fatal(err)
	}
	want := `NAME       ROLES           READY   CORDONED   VERSION   ADDRESS
cp1        control-plane   yes     no         v1.37.1   10.0.0.11
worker07   -               no      yes        -         -
`
	if got := out.String(); got != want {
		t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
}

// What both of its resources change is said once, and what hosts say commands no terminal.
func TestShowDrain(t *testing.T) {
	cordoned := resource.Change{What: "cordoned", Old: "no", New: "yes"}
	p := &plan.Plan{Steps: []plan.StepChange{{Changes: []plan.ResourceChange{
		{Changes: []resource.Change{cordoned}}, {Changes: []resource.Change{cordoned, {What: "Pods", Old: "1 (default/a\x1b[2J)", New: "moved to other nodes"}}},
	}}}}
	var out bytes.Buffer
	if err := showDrain(&out, "worker07", p); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "worker07\n  cordoned: no → yes\n  Pods: 1 (default/a [2J) → moved to other nodes\n"; got != want {
		t.Errorf("it shows %q, want %q", got, want)
	}
}

func TestUnknownNode(t *testing.T) {
	many := &converge.UnknownNodeError{Name: "m9"}
	for i := range 30 {
		many.Known = append(many.Known, fmt.Sprintf("w%02d", i))
	}
	for want, err := range map[string]error{
		"the cluster has no node m9; it has m1, m2":   &converge.UnknownNodeError{Name: "m9", Known: []string{"m1", "m2"}},
		"the cluster has no node m9; it has none yet": &converge.UnknownNodeError{Name: "m9"},
		"w18, w19, 10 more":                           many,
	} {
		if got := unknownNode(fmt.Errorf("m1: %w", err)); exitCode(got) != exitUsage || !strings.HasSuffix(got.Error(), want) {
			t.Errorf("%v, exit code %d", got, exitCode(got))
		}
	}
	if err := unknownNode(converge.ErrDeclined); err != converge.ErrDeclined || unknownNode(nil) != nil {
		t.Errorf("another error is %v", err)
	}
}

func TestNodeUsage(t *testing.T) {
	for args, want := range map[string]string{
		"node drain": "accepts 1 arg", "node drain a --timeout 0s": "want at least 1s", "node drain a b": "accepts 1 arg", "node cordon": "accepts 1 arg", "node list a": "unknown command", "join-command --ttl 1s": "want at least 1m",
		"node drain a --yes --file there-is-none.yaml": "there-is-none.yaml",
	} {
		root := newRoot(nil)
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); exitCode(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}
