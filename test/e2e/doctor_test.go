package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/converge"
)

// looked has a file written of machines that are looked at: they are called what they call themselves, and above each stands what it is, or why that is not known.
func (o operator) looked(t *testing.T) {
	t.Helper()
	key := filepath.Join(filepath.Dir(o.SSHConfig()), "id_ed25519")
	r := o.run(t, "init", "-", "--look", "--user", "root", "--key", key, "--hosts", o.address(t, "m2")+","+o.address(t, "m4")+",localhost")
	if r.code != 1 || !strings.Contains(r.stderr, "localhost did not answer") { // nobody knows its key, if it listens at all
		t.Errorf("init exits with %d and says:\n%s", r.code, r.stderr)
	}
	for _, want := range []string{
		"\n# Debian GNU/Linux 12 (bookworm), Linux ", "\n- {name: m2, address: " + o.address(t, "m2") + ", roles: [control-plane, worker]}\n",
		"\n- {name: m4, address: " + o.address(t, "m4") + ", roles: [control-plane, worker]}\n", "\n# It did not answer: ", "\n- {name: cp3, address: localhost, roles: [control-plane, worker]}\n",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("of machines that were looked at, init does not say %q:\n%s", want, r.stdout)
		}
	}
}

// fit has machines checked before anything is done: they are fit, and figures say so.
func (o operator) fit(t *testing.T) {
	t.Helper()
	r := o.run(t, "check", "--output", "json")
	var s converge.Checks
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("check says what cannot be read: %v\n%s%s", err, r.stdout, r.stderr)
	}
	passed := map[string]bool{}
	for _, c := range s.Checks {
		// How fast the disk of this computer is, which others use at the same time, says nothing of the program.
		if c.Outcome != converge.Pass && c.Outcome != converge.Warn && c.Name != "disk latency" {
			t.Errorf("of bare machines, check says %+v", c)
		}
		if c.Outcome == converge.Pass || c.Outcome == converge.Warn && c.Value != "" {
			passed[c.Name] = true
		}
	}
	for _, name := range []string{"reached", "system", "processors", "memory", "room", "clock", "name servers", "address", "packet size", "ports", "possible"} {
		if !passed[name] {
			t.Errorf("check says nothing of %s:\n%s", name, r.stdout)
		}
	}
}

// sick has a doctor look at a cluster that was changed by hand (clusterDrift), whose m4 has lost long packets, and its address to m5, and reads what the component says that crashes.
func (o operator) sick(t *testing.T) {
	t.Helper()
	address := o.address(t, "m4")
	o.on(t, "m4", "ip link set eth0 mtu 1400")
	o.on(t, "m5", "ip address add "+address+"/32 dev eth0")
	r := o.run(t, "doctor", "--output", "json")
	o.on(t, "m5", "ip address del "+address+"/32 dev eth0")
	o.on(t, "m4", "ip link set eth0 mtu 1500")
	var d converge.Diagnosis
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil || r.code != 1 || d.Well {
		t.Fatalf("doctor exits with %d: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	for cause, host := range map[string]string{
		"somebody else has a host's address": "m4", "long packets get lost between hosts": "m1", "something was changed by hand, or is not as it was": "m2",
	} {
		if !slices.ContainsFunc(d.Causes, func(c converge.Cause) bool { return c.Name == cause && slices.Contains(c.Hosts, host) }) {
			t.Errorf("doctor does not say of %s that %s:\n%s", host, cause, r.stdout)
		}
	}
	if !slices.ContainsFunc(d.Causes, func(c converge.Cause) bool {
		return strings.HasPrefix(c.Name, "something was changed") && slices.ContainsFunc(c.Explains, func(f converge.Finding) bool {
			return f.Host == "m2" && strings.HasPrefix(f.Message, "kube-apiserver")
		})
	}) {
		t.Errorf("doctor does not know what the API server of m2 suffers from:\n%s", r.stdout)
	}
	// The one that ran before may still be ending.
	wait(t, "the API server of m2 to say why it does not start", func(context.Context) error {
		if r := o.run(t, "logs", "m2", "kube-apiserver"); !strings.Contains(r.stdout, "unknown flag: --no-such-flag") {
			return fmt.Errorf("it says:\n%s%s", r.stdout, r.stderr)
		}
		return nil
	})
	if got := o.must(t, "logs", "m4", "endpoint", "--lines", "50"); !strings.Contains(got, "haproxy") {
		t.Errorf("the balancer of m4 says:\n%s", got)
	}
	if r := o.run(t, "logs", "m4", "etcd"); r.code != 1 || !strings.Contains(r.stderr, "there is no container etcd; there are ") {
		t.Errorf("of etcd on a worker, logs says %+v", r)
	}
}

// told has everything put into one file for others, and unpacks it where secrets are looked for.
func (o operator) told(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "told.tar.gz")
	o.must(t, "support-bundle", "--out", file)
	if i, err := os.Stat(file); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", i, err)
	}
	dir := filepath.Join(o.dir, "told")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, "tar", "--extract", "--gzip", "--strip-components=1", "--directory="+dir, "--file="+file)
	for _, name := range []string{"cluster.yaml", "diagnosis.json", "doctor.txt", "status.txt", "check.txt", "plan.txt", "hosts/m1/facts.json", "hosts/m1/logs/etcd.log", "hosts/m1/logs/kube-apiserver.log",
		"hosts/m4/logs/kubelet.service.log", "hosts/m5/logs/kubewright-endpoint.service.log"} {
		if i, err := os.Stat(filepath.Join(dir, name)); err != nil || i.Size() < 50 {
			t.Errorf("%s in it is %v, %v", name, i, err)
		}
	}
	if runs, err := filepath.Glob(dir + "/runs/*.jsonl"); err != nil || len(runs) == 0 {
		t.Errorf("no run is in it: %v", err)
	}
}
