package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusals tries what cannot work: the message must name everything, and nothing may be touched.
func TestRefusals(t *testing.T) {
	before := traces(t)
	set := newFixture(t, "refused").Name()
	// A computer with nothing on its search path but /usr/sbin, where the program always looks.
	bare := exec.CommandContext(t.Context(), kubewright, "machines", "--set", set, "up")
	bare.Env = []string{"PATH=" + t.TempDir()}
	out, err := bare.CombinedOutput()
	if err == nil {
		t.Error("up works without any tool")
	}
	for _, want := range []string{"systemd-nspawn", "mmdebstrap", "unshare", "ssh", "apt-get install", "systemd-container", "openssh-client"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the message does not name %s:\n%s", want, out)
		}
	}

	// Not root. The program is copied to where anybody may run it.
	dir, err := os.MkdirTemp("/tmp", "kubewright-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	public := filepath.Join(dir, "kubewright")
	must(t, "cp", kubewright, public)
	must(t, "chmod", "755", dir, public)
	for _, command := range []string{"up", "list"} {
		if o := run(t, "setpriv", "--reuid=65534", "--clear-groups", public, "machines", "--set", set, command); o.code != 1 || !strings.Contains(o.stderr, "sudo") {
			t.Errorf("%s without root: %+v", command, o)
		}
	}

	for args, want := range map[string]string{
		"up --count 0":           "want 1 to 100",
		"up --count 101":         "want 1 to 100",
		"up --cpus -1":           "at least 0.01",
		"up --memory 1M":         "at least 64 MiB",
		"up --name-prefix Node-": "lower-case",
		"up --disk 1M":           "at least 1 GiB",
		"kill m1":                "machines up",
		"limit m1 1kbit":         "at least 64,000",
	} {
		o := run(t, kubewright, append([]string{"machines", "--set", set}, strings.Fields(args)...)...)
		wantCode := 2
		if args == "kill m1" {
			wantCode = 1 // meant well, but there is no such set
		}
		if o.code != wantCode || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v, want %q", args, o, want)
		}
	}
	noTraces(t, before)
}
