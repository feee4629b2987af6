package cli

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

func TestInit(t *testing.T) {
	t.Chdir(t.TempDir())
	out, err := said("init", "--name", "prod", "--hosts", "10.0.0.11, 10.0.0.12,10.0.0.13", "--hosts", "worker=10.0.0.21")
	if err != nil || !strings.Contains(out, "cluster.yaml: cluster prod, 4 hosts") || !strings.HasSuffix(out, "kubewright plan\n") {
		t.Fatalf("%s%v", out, err)
	}
	content, err := os.ReadFile("cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := v1alpha1.Parse("cluster.yaml", content)
	if err != nil || len(c.Hosts) != 4 || c.Hosts[0].Name != "cp1" || c.Hosts[3].Name != "worker" || c.Hosts[3].Address != "10.0.0.21" {
		t.Errorf("%v\n%s", err, content)
	}
	if out, err := said("init", "--hosts", "10.0.0.99"); err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), "cluster.yaml is there already") {
		t.Errorf("a second time: %s%v", out, err)
	}
	if now, err := os.ReadFile("cluster.yaml"); err != nil || string(now) != string(content) {
		t.Errorf("what was there is now\n%s", now)
	}
	if out, err := said("init", "-", "--hosts", "10.0.0.1", "--full"); err != nil || !strings.Contains(out, "#network:") {
		t.Errorf("to standard output: %s%v", out, err)
	}
	if left, err := os.ReadDir("."); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, args := range [][]string{{"init"}, {"init", "--hosts", "10.0.0.1", "--from-machines"}, {"init", "-", "--hosts", "10.0.0.1,10.0.0.1"}, {"init", "-", "--hosts", "10.0.0.1", "--name", "My cluster"}} {
		if out, err := said(args...); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %s%v", args, out, err)
		}
	}
}

// Of hosts none of which can be looked at, nothing is written; a file that is there keeps them from being asked.
func TestInitLooksInVain(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	args := []string{"init", "--look", "--hosts", "10.0.0.1,10.0.0.2", "--key", "no-such-key"}
	out, err := said(args...)
	if err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "no host answered") || !strings.Contains(out, "10.0.0.2: the key no-such-key does not exist") {
		t.Errorf("%s%v", out, err)
	}
	if _, err := os.Stat("cluster.yaml"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
	if out, err := said("init", "--look", "--hosts", "10.0.0.1,10.0.0.1"); err == nil || exitCode(err) != exitUsage || strings.Contains(out, "FAILED") {
		t.Errorf("of a host that is named twice: %s%v", out, err)
	}
	if err := os.WriteFile("cluster.yaml", []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := said(args...); err == nil || exitCode(err) != exitUsage || strings.Contains(out, "FAILED") {
		t.Errorf("with a file there: %s%v", out, err)
	}
}
