package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestApplyWantsConsent(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	file := "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\nhosts: [{name: c1, address: 10.0.0.1, roles: [control-plane], ssh: {key: no-such-key}}]\n"
	if err := os.WriteFile("cluster.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", "nobody is there to be asked: say --yes"},
		{"--output json", "with --output json nobody can be asked: say --yes"},
		{"--yes --cluster prod", "--cluster is for --force"},
		{"--cluster prod", "--cluster is for --force"},
		{"--force", "nobody is there to be asked: say --yes and --cluster NAME"},
		{"--force --output json", "nobody is there to be asked: say --yes and --cluster NAME"},
		{"--force --yes", "it wants both --yes and --cluster NAME"},
		{"--force --cluster prod", "it wants both --yes and --cluster NAME"},
		{"--force --yes --cluster prod --output xml", "want text or json"},
		{"none.yaml --force --yes --cluster prod", "none.yaml"},
	} {
		_, err := said(append([]string{"apply"}, strings.Fields(c.args)...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

func TestTypedNameFits(t *testing.T) {
	for _, n := range []typedName{{}, {yes: true, name: "prod"}} {
		if err := n.fits("cluster.yaml", "prod"); err != nil {
			t.Errorf("%+v: %v", n, err)
		}
	}
	err := typedName{yes: true, name: "test"}.fits("cluster.yaml", "prod")
	if exitCode(err) != exitUsage || err.Error() != "the cluster of cluster.yaml is prod, and --cluster says test" {
		t.Errorf("%v", err)
	}
}

// terminal is one on which somebody has typed something already.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	if _, err := keys.WriteString(typed + "\n"); err != nil {
		t.Fatal(err)
	}
	return screen
}

// A plan is asked about as always, and one that has something overruled by the name of the cluster, also if it was saved.
func TestAgree(t *testing.T) {
	step := plan.StepChange{Changes: []plan.ResourceChange{{Resource: resource.ID{Kind: "host", Name: "w1"}, Action: plan.Remove}}}
	lost := plan.Problem{Message: "9 of 12 hosts leave", Blocks: true, Loss: "all that is on them"}.Overrule()
	usual, nothing, forced := &plan.Plan{Steps: []plan.StepChange{step}}, &plan.Plan{}, &plan.Plan{Steps: []plan.StepChange{step}, Problems: []plan.Problem{lost}}
	const named, yesNo = "type the name of the cluster (prod): ", "Apply it? [y/N] "
	for _, c := range []struct {
		name    string
		p       *plan.Plan
		consent typedName
		saved   bool
		typed   string
		asked   string
		want    error
	}{
		{name: "nothing to do", p: nothing},
		{name: "yes", p: usual, typed: "y", asked: yesNo},
		{name: "no", p: usual, typed: "prod", asked: yesNo, want: converge.ErrDeclined},
		{name: "as a script", p: usual, consent: typedName{yes: true, name: "prod"}},
		{name: "saved", p: usual, saved: true},
		{name: "overruled: the name", p: forced, typed: "prod", asked: named},
		{name: "overruled: yes is not enough", p: forced, typed: "yes", asked: named, want: converge.ErrDeclined},
		{name: "overruled: nothing", p: forced, asked: named, want: converge.ErrDeclined},
		{name: "overruled: as a script", p: forced, consent: typedName{yes: true, name: "prod"}},
		{name: "overruled: saved", p: forced, saved: true, typed: "prod", asked: named},
		{name: "overruled: saved, and yes is not enough", p: forced, saved: true, typed: "y", asked: named, want: converge.ErrDeclined},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, out := &cobra.Command{}, bytes.Buffer{}
			cmd.SetContext(t.Context())
			cmd.SetIn(terminal(t, c.typed))
			cmd.SetErr(&out)
			if err := agree(cmd, c.p, c.consent, c.saved, "prod"); !errors.Is(err, c.want) || !strings.HasSuffix(out.String(), c.asked) || c.asked == "" && out.Len() > 0 {
				t.Errorf("it asks %q and says %v", out.String(), err)
			}
		})
	}
}
