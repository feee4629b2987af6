package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/converge"
)

func readStatus(t *testing.T, name string) converge.Status {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../converge/testdata", "status-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var s converge.Status
	if err := json.Unmarshal(content, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// wide is a status of a cluster of 500 nodes, of which some are down.
func wide(t *testing.T, down int) converge.Status {
	s := readStatus(t, "well")
	for i := len(s.Nodes); i < 500; i++ {
		s.Nodes = append(s.Nodes, converge.NodeStatus{Name: fmt.Sprintf("w%d", i-2), State: converge.Well, Roles: []string{"worker"}, Version: "v1.37.1"})
	}
	for i := 100; i < 100+down; i++ {
		n := &s.Nodes[i]
		n.State, n.Why = converge.Wrong, "NodeStatusUnknown: Kubelet stopped posting node status."
		s.Findings = append(s.Findings, converge.Finding{Severity: converge.SevereWrong, Host: n.Name, Message: "the host does not answer: dialling 10.0.0.1:22: no route to host",
			Remedy: "Look at it, or take it out of the cluster file"})
	}
	s.Well = down == 0
	return s
}

var watchTime = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func watchedAt(s converge.Status) watched {
	return watched{status: s, looked: watchTime, every: 5 * time.Second}
}

func TestWatchRows(t *testing.T) {
	for name, s := range map[string]converge.Status{
		"well": readStatus(t, "well"), "broken": readStatus(t, "broken"), "quorum-lost": readStatus(t, "quorum-lost"), "500-nodes": wide(t, 2), "500-nodes-down": wide(t, 60),
	} {
		for _, size := range [][2]int{{40, 20}, {80, 24}, {200, 50}} {
			v := watchedAt(s)
			var b strings.Builder
			for _, r := range v.rows(watchTime.Add(3*time.Second), size[0], size[1]) {
				b.WriteString(r.Text)
				if r.Red {
					b.WriteString("\t(red)")
				}
				b.WriteString("\n")
			}
			golden := filepath.Join("testdata", fmt.Sprintf("watch-%s-%dx%d.golden", name, size[0], size[1]))
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; go test -update writes it", err)
			}
			if b.String() != string(want) {
				t.Errorf("%s differs; go test -update writes it anew:\n%s", golden, b.String())
			}
		}
	}
}

// TestWatchRowsFit tries all sizes. What is wrong is always there.
func TestWatchRowsFit(t *testing.T) {
	for _, name := range []string{"well", "broken", "no-cluster", "warnings"} {
		v := watchedAt(readStatus(t, name))
		v.looking = watchTime.Add(5 * time.Second)
		for width := 1; width < 210; width += 1 + width/4 {
			for height := 1; height < 80; height++ {
				rows := v.rows(watchTime.Add(30*time.Second), width, height)
				if len(rows) == 0 || len(rows) > max(1, height-1) {
					t.Errorf("%s: %d rows on a terminal of %d", name, len(rows), height)
				}
				all := ""
				for _, r := range rows {
					if n := len([]rune(r.Text)); n > max(1, width-1) {
						t.Fatalf("%s: a row of %d columns on a terminal of %d: %q", name, n, width, r.Text)
					}
					all += r.Text + "\n"
				}
				if height >= 12 && width >= 80 {
					for _, f := range v.status.Findings {
						if !strings.Contains(strings.Join(strings.Fields(all), " "), f.Message[:min(len(f.Message), 40)]) {
							t.Errorf("%s: on %dx%d nobody says that %s:\n%s", name, width, height, f.Message, all)
						}
					}
				}
				if height >= 3 && width >= 60 && !strings.Contains(all, "prod at 12:00:00, looked 30s ago, looking again for 25s") {
					t.Errorf("%s: it does not say how old it is:\n%s", name, all)
				}
			}
		}
	}
}

// TestPrintedWatch writes one status after another.
func TestPrintedWatch(t *testing.T) {
	var out bytes.Buffer
	c := &cobra.Command{}
	c.SetOut(&out)
	s := readStatus(t, "well")
	var one bytes.Buffer
	if err := showStatus(&one, s); err != nil {
		t.Fatal(err)
	}
	show := printStatuses(c, "text")
	for range 2 {
		if err := show(s); err != nil {
			t.Fatal(err)
		}
	}
	at := s.Time.Local().Format("2006-01-02 15:04:05") + "\n"
	if want := at + one.String() + "\n" + at + one.String(); out.String() != want {
		t.Errorf("it is\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	show = printStatuses(c, "json")
	for range 2 {
		if err := show(s); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last converge.Status
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &last) != nil || last.Cluster != "prod" {
		t.Errorf("as JSON it is\n%s", out.String())
	}
}

func TestWatchFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--interval", "10s"}, "say both"},
		{[]string{"--watch", "--interval", "999ms"}, "at least 1s"},
		{[]string{"--watch", "--interval", "1s", "none.yaml"}, "none.yaml"},
		{[]string{"-w", "none.yaml"}, "none.yaml"},
	} {
		cmd := newStatus(nil)
		cmd.SetArgs(c.args)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, want %q in it", c.args, err, c.want)
		}
	}
}
