package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/facts"
)

func TestWhoIsAskedForTheClusterFile(t *testing.T) {
	for _, c := range []struct {
		from, name, address, user string
		port                      int
		wrong                     bool
	}{
		{from: "10.0.0.11", name: "10.0.0.11", address: "10.0.0.11"},
		{from: "admin@cp1.example.com:2222", name: "cp1.example.com", address: "cp1.example.com", user: "admin", port: 2222},
		{from: "root@[fd00::1]:22", name: "control-plane", address: "fd00::1", user: "root", port: 22},
		{from: "fd00::1", name: "control-plane", address: "fd00::1"},
		{from: "", wrong: true}, {from: "@10.0.0.1", wrong: true}, {from: "a@", wrong: true}, {from: "10.0.0.1:x", wrong: true}, {from: "10.0.0.1:0", wrong: true}, {from: "a b", wrong: true},
	} {
		host, text, err := fileOfOne(c.from, "~/k")
		if c.wrong {
			if err == nil {
				t.Errorf("%q is taken for %s", c.from, host)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.from, err)
			continue
		}
		spec, err := v1alpha1.Parse("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if h := spec.Hosts[0]; host != c.name || h.Name != c.name || h.Address != c.address || h.SSH.User != c.user || h.SSH.Port != c.port || h.SSH.Key != "~/k" {
			t.Errorf("%q: %s, %+v", c.from, host, h)
		}
	}
}

func TestRecoverConfigInVain(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	if out, err := said("recover-config", "--from", "10.0.0.1", "--key", "no-such-key"); err == nil || exitCode(err) != exitFailed || !strings.Contains(err.Error(), "the key no-such-key does not exist") {
		t.Errorf("%s%v", out, err)
	}
	for _, args := range [][]string{{"--from", "a b"}, {"--from", "10.0.0.1", "more"}} {
		if out, err := said(append([]string{"recover-config"}, args...)...); err == nil || exitCode(err) != exitUsage {
			t.Errorf("%q: %s%v", args, out, err)
		}
	}
	if err := os.WriteFile("cluster.yaml", []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := said("recover-config", "--from", "10.0.0.1", "--key", "no-such-key"); err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("with a file there: %s%v", out, err)
	}
}

func TestRecoveredFileIsTheVeryFile(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	file := "# ours\napiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: prod\nssh: {key: here}\nhosts: [{name: c1, address: 10.0.0.1, roles: [control-plane]}]\nfiles: [{source: motd, path: /etc/motd}]\n"
	if err := os.WriteFile("here", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := converge.Remembered{File: []byte(file), Inventory: facts.Inventory{Hosts: []facts.InventoryHost{{Name: "c1", Address: "10.0.0.7", Roles: []string{"control-plane"}}}}}
	for _, where := range []string{"prod.yaml", "-"} {
		c := newRecoverConfig()
		var out, warnings bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&warnings)
		if err := writeRecovered(c, r, where); err != nil {
			t.Fatal(err)
		}
		written := out.String()
		if where != "-" {
			content, err := os.ReadFile(where)
			if err != nil || !strings.Contains(out.String(), "prod.yaml: cluster prod, 1 host, as it was applied last") || !strings.HasSuffix(out.String(), "kubewright plan prod.yaml\n") {
				t.Errorf("%v: %s", err, out.String())
			}
			written = string(content)
		}
		if written != file {
			t.Errorf("%s: written is\n%s", where, written)
		}
		want := "Warning: c1 is at 10.0.0.1 in the file, and was reached at 10.0.0.7 before\nWarning: files[0].source names motd, which is not here: all hosts have it as /etc/motd\n"
		if warnings.String() != want {
			t.Errorf("%s: %s", where, warnings.String())
		}
	}
	r.File = []byte("kind: Other\n")
	c := newRecoverConfig()
	c.SetOut(new(bytes.Buffer))
	if err := writeRecovered(c, r, "other.yaml"); err == nil || !strings.Contains(err.Error(), "this version of Kubewright does not read it") {
		t.Errorf("%v", err)
	}
	if content, err := os.ReadFile("other.yaml"); err != nil || string(content) != "kind: Other\n" {
		t.Errorf("%q, %v", content, err)
	}
}
