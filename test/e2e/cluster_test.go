package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/plan"
)

// operator is a person with a cluster file and a home directory of his own, who works on the machines of a fixture.
type operator struct {
	fixture
	home, dir string
	// program is kubewright, or what makes hosts fit to carry a cluster and stops there.
	program string
}

// newOperator makes a cluster file of all machines, the first three of which are control planes. What is appended to it goes below.
func newOperator(t testing.TB, f fixture, more string) operator {
	t.Helper()
	o := operator{f, t.TempDir(), t.TempDir(), kubewright}
	if err := os.MkdirAll(filepath.Join(o.home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	o.trusts(t)
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.file(t, more))
	return o
}

// trusts has the keys of all machines as they are now.
func (o operator) trusts(t testing.TB) {
	t.Helper()
	known, err := os.ReadFile(filepath.Join(filepath.Dir(o.SSHConfig()), "known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	o.write(t, filepath.Join(o.home, ".ssh", "known_hosts"), string(known))
}

// hostsOnly is somebody who prepares hosts, and no more: what can be proven without a cluster is proven in a fraction of the time.
func (o operator) hostsOnly(t testing.TB) operator {
	t.Helper()
	o.program = filepath.Join(t.TempDir(), "hosts")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", o.program, "./hosts")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return o
}

func (o operator) write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// file is a cluster file of all machines.
func (o operator) file(t testing.TB, more string) string {
	t.Helper()
	list, err := o.List()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: e2e\nssh: {user: root, key: %s}\nhosts:\n", filepath.Join(filepath.Dir(o.SSHConfig()), "id_ed25519"))
	for i, m := range list {
		role := "worker"
		if i < 3 {
			role = "control-plane"
		}
		fmt.Fprintf(&b, "- {name: %s, address: %s, roles: [%s]}\n", m.Name, m.Address, role)
	}
	b.WriteString(more)
	return b.String()
}

func (o operator) command(args ...string) *exec.Cmd {
	cmd := exec.Command(o.program, args...)
	cmd.Dir = o.dir
	data := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); data == "" && err == nil {
		data = filepath.Join(home, ".local", "share") // where make has the bundles
	}
	cmd.Env = append(os.Environ(), "HOME="+o.home, "XDG_DATA_HOME="+data, "XDG_STATE_HOME="+filepath.Join(o.home, "state"), "SSH_AUTH_SOCK=")
	return cmd
}

// try runs kubewright.
func (o operator) run(t testing.TB, args ...string) output {
	t.Helper()
	start := time.Now()
	cmd := o.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("%5.1fs  kubewright %s: exit code %d", time.Since(start).Seconds(), strings.Join(args, " "), cmd.ProcessState.ExitCode())
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is run where everything but success fails the test.
func (o operator) must(t testing.TB, args ...string) string {
	t.Helper()
	r := o.run(t, args...)
	if r.code != 0 {
		t.Fatalf("kubewright %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// planned is what a plan says for programs.
type planned struct {
	Steps  []plan.StepChange `json:"steps"`
	Counts plan.Counts       `json:"counts"`
	Digest string            `json:"digest"`
}

func (o operator) plan(t testing.TB) planned {
	t.Helper()
	var p planned
	out := o.must(t, "plan", "--output", "json")
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("the plan is no JSON: %v\n%s", err, out)
	}
	return p
}

// nothing fails the test unless nothing is left to do.
func (o operator) nothing(t testing.TB, when string) {
	t.Helper()
	if r := o.run(t, "plan", "--detailed-exitcode"); r.code != 0 {
		t.Fatalf("%s there is something to do:\n%s%s", when, r.stdout, r.stderr)
	}
}

// changes are "host kind name" of all resources that a plan changes, sorted.
func (p planned) changes() []string {
	var all []string
	for _, s := range p.Steps {
		for _, r := range s.Changes {
			all = append(all, s.ID.Host+" "+r.Resource.String())
		}
	}
	slices.Sort(all)
	return all
}

// names are those of the machines.
func (o operator) names(t testing.TB) []string {
	t.Helper()
	list, err := o.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

// running is which units run on a machine and since when; an apply that does nothing leaves it as it is.
func (o operator) running(t testing.TB, machine string) string {
	t.Helper()
	return o.on(t, machine, runningScript)
}

// runningScript says what runs on the machine that it runs on.
const runningScript = `systemctl show --property=Id,InvocationID --type=service --state=running '*' | grep -v '^$' | paste - - | grep -v -e 'user@' -e session- | sort`

// started is an apply that runs, with its events.
type started struct {
	cmd    *exec.Cmd
	events *json.Decoder
	stderr bytes.Buffer
}

func (o operator) start(t testing.TB, args ...string) *started {
	t.Helper()
	s := &started{cmd: o.command(args...)}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = &s.stderr
	s.events = json.NewDecoder(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// until reads events until one is wanted; false if the run ended before.
func (s *started) until(wanted func(event.Event) bool) (event.Event, bool) {
	for {
		var v event.Event
		if err := s.events.Decode(&v); err != nil {
			return v, false
		}
		if wanted(v) {
			return v, true
		}
	}
}

// end waits for the end, and returns the exit code.
func (s *started) end() int {
	s.until(func(event.Event) bool { return false })
	_ = s.cmd.Wait() // its code says it
	return s.cmd.ProcessState.ExitCode()
}

// TestApply is the life of five hosts: made, left alone, restarted, cut off from power, changed by hand, put back.
func TestApply(t *testing.T) {
	f := newFixture(t, "apply")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "").hostsOnly(t)
	o.write(t, filepath.Join(o.dir, "motd"), "Welcome.\n")
	file := o.file(t, "files:\n- {source: motd, path: /etc/welcome}\n")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), file)
	names := o.names(t)
	before := map[string][]string{}
	for _, m := range names {
		before[m] = o.snapshot(t, m)
	}

	if r := o.run(t, "plan", "--full", "--detailed-exitcode"); r.code != 2 || !strings.Contains(r.stdout, "+net.ipv4.ip_forward = 1") {
		t.Fatalf("the first plan exits with %d and says:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if got := o.on(t, "m1", "ls /var/lib/kubewright"); got != "agent" {
		t.Errorf("a plan left %q", got)
	}
	if r := o.run(t, "apply"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("an apply that can ask nobody exits with %d and says:\n%s", r.code, r.stderr)
	}
	o.must(t, "apply", "--yes")
	o.nothing(t, "after apply")
	running := map[string]string{}
	for _, m := range names {
		running[m] = o.running(t, m)
	}
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
		t.Errorf("a second apply says:\n%s", got)
	}
	for _, m := range names {
		if now := o.running(t, m); now != running[m] {
			t.Errorf("a second apply restarted something on %s:\n%s\n%s", m, running[m], now)
		}
	}

	// All is back without Kubewright.
	f.machines(t, "restart", "--all")
	o.settled(t)
	o.nothing(t, "after restarts")
	f.machines(t, "kill", "--all")
	f.machines(t, "start", "--all")
	o.settled(t)
	o.nothing(t, "after a power cut of all hosts at once")

	o.drift(t)
	o.saved(t)
	o.fullDisk(t)
	o.twoOperators(t)
	o.interrupted(t)

	// A host that left the file is remembered, and can be reset.
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), dropHost(file, "m5"))
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "m5 is not in the cluster file any more") {
		t.Errorf("without m5 in the file, apply says:\n%s", got)
	}
	o.must(t, "reset", "m5", "--yes")
	o.nothing(t, "after m5 was reset")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), file)

	o.must(t, "reset", "--all", "--yes")
	for _, m := range names {
		after := o.snapshot(t, m)
		for _, line := range difference(before[m], after) {
			t.Errorf("%s after reset: %s", m, line)
		}
	}
	if got := o.must(t, "runs"); !strings.Contains(got, "reset e2e") || !strings.Contains(got, "apply e2e") {
		t.Errorf("runs says:\n%s", got)
	}
	if got := o.must(t, "runs", "show"); !strings.Contains(got, "Critical path") {
		t.Errorf("runs show says:\n%s", got)
	}
}

// dropHost takes a host out of a cluster file.
func dropHost(file, name string) string {
	var kept strings.Builder
	for line := range strings.Lines(file) {
		if !strings.HasPrefix(line, "- {name: "+name+",") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// settled waits until systemd on all machines has started what it wants to.
func (o operator) settled(t testing.TB) {
	t.Helper()
	for _, m := range o.names(t) {
		wait(t, m+" to have started", func(ctx context.Context) error {
			r, err := o.Run(ctx, m, "systemctl is-system-running")
			if state := strings.TrimSpace(r.Stdout); err == nil && state != "running" && state != "degraded" {
				err = fmt.Errorf("it is %s", state)
			}
			return err
		})
	}
}

// drift changes different things on different hosts by hand: they and nothing else are named and repaired.
func (o operator) drift(t *testing.T) {
	t.Helper()
	hands := map[string]string{
		"m1": "echo 'vm.swappiness = 60' >>/etc/sysctl.d/zz-kubewright.conf; rm /etc/welcome",
		"m2": "sysctl -qw net.ipv4.ip_forward=0",
		"m3": "echo '/dev/sdz1 none swap sw 0 0' >>/etc/fstab; hostname elsewhere",
		"m4": "systemctl stop containerd; rm /usr/local/bin/runc",
		"m5": "systemctl disable -q containerd; sed -i 's/m1$/m1 m11/' /etc/hosts; chmod 600 /etc/containerd/config.toml",
	}
	for m, hand := range hands {
		o.on(t, m, hand)
	}
	running := map[string]string{}
	for _, m := range []string{"m1", "m2", "m3"} {
		running[m] = o.running(t, m)
	}
	p := o.plan(t)
	want := []string{
		"m1 file /etc/welcome", "m1 sysctl-file /etc/sysctl.d/zz-kubewright.conf", "m2 sysctl net.ipv4.ip_forward", "m3 fstab swap", "m3 hostname static",
		"m4 program runc", "m4 unit containerd.service", "m5 block /etc/hosts cluster", "m5 file /etc/containerd/config.toml", "m5 unit containerd.service",
	}
	if got := p.changes(); !slices.Equal(got, want) {
		t.Errorf("after changes by hand, the plan names\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	o.must(t, "apply", "--yes")
	o.nothing(t, "after repairing what was changed by hand")
	o.on(t, "m3", "sed -i /sdz1/d /etc/fstab") // nobody but whoever wrote it can take it back
	for m, before := range running {
		if now := o.running(t, m); now != before {
			t.Errorf("repairing files and kernel parameters restarted something on %s:\n%s\n%s", m, before, now)
		}
	}
	if got := o.on(t, "m2", "cat /proc/sys/net/ipv4/ip_forward"); got != "1" {
		t.Errorf("ip_forward is %s after it was repaired", got)
	}
}

// saved executes a saved plan, but not when the world has changed.
func (o operator) saved(t *testing.T) {
	t.Helper()
	o.on(t, "m1", "rm /etc/welcome")
	o.must(t, "plan", "-o", "motd.plan")
	o.on(t, "m2", "rm /etc/welcome")
	if r := o.run(t, "apply", "motd.plan"); r.code != 1 || !strings.Contains(r.stderr, "the world is not as it was") {
		t.Errorf("applying a plan to a changed world exits with %d and says:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if got := o.on(t, "m1", "ls /etc/welcome 2>/dev/null || echo none"); got != "none" {
		t.Errorf("a plan was executed although the world had changed")
	}
	o.must(t, "plan", "-o", "motd.plan")
	o.must(t, "apply", "motd.plan")
	o.nothing(t, "after a saved plan")
}

// fullDisk has a host without room: it says so, the others go on, and all is well when there is room again.
func (o operator) fullDisk(t *testing.T) {
	t.Helper()
	o.on(t, "m4", "rm /etc/welcome; fallocate -l $(($(df --output=avail -k / | tail -n 1) - 1))K /fill || true; dd if=/dev/zero of=/fill2 bs=4k 2>/dev/null || true")
	o.on(t, "m5", "rm /etc/welcome")
	r := o.run(t, "apply", "--yes")
	if r.code != 1 || !strings.Contains(r.stderr, "m4") || !strings.Contains(r.stderr, "no space left") {
		t.Errorf("an apply on a full disk exits with %d and says:\n%s%s", r.code, r.stdout, r.stderr)
	}
	if got := o.on(t, "m5", "cat /etc/welcome"); got != "Welcome." {
		t.Errorf("the disk of m4 is full, so m5 has %q", got)
	}
	if got := o.try(t, "m4", "ls -A /etc/.motd* /etc/welcome?* 2>/dev/null").Stdout; got != "" {
		t.Errorf("on the full disk there is left %q", got)
	}
	o.on(t, "m4", "rm /fill /fill2")
	o.must(t, "apply", "--yes")
	o.nothing(t, "after there was room again")
}

// twoOperators have two people apply at once: one waits and is told for whom, and both end well.
func (o operator) twoOperators(t *testing.T) {
	t.Helper()
	o.on(t, "m5", "rm /usr/local/bin/containerd /etc/welcome")
	first := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = first.cmd.Process.Kill() }()
	if _, ok := first.until(func(v event.Event) bool { return v.Kind == event.LockTaken }); !ok {
		t.Fatalf("the first operator got no lock:\n%s", first.stderr.String())
	}
	// Stopped, it holds its locks: its agents hear nothing for less than they wait.
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = second.cmd.Process.Kill() }()
	v, ok := second.until(func(v event.Event) bool { return v.Kind == event.LockWaiting })
	if !ok || !strings.Contains(v.Message, "apply e2e") || !strings.Contains(v.Message, "root on ") {
		t.Errorf("the second operator is told %q\n%s", v.Message, second.stderr.String())
	}
	if r := o.run(t, "apply", "--yes", "--lock-timeout", "1s"); r.code != 1 || !strings.Contains(r.stderr, "--lock-timeout") {
		t.Errorf("a third operator in a hurry exits with %d and is told:\n%s", r.code, r.stderr)
	}
	o.must(t, "plan", "--output", "json") // takes no lock
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code := first.end(); code != 0 {
		t.Errorf("the first operator exits with %d:\n%s", code, first.stderr.String())
	}
	if code := second.end(); code != 0 {
		t.Errorf("the second operator exits with %d:\n%s", code, second.stderr.String())
	}
	o.nothing(t, "after two operators")
}

// interrupted has an apply be interrupted: it finishes what is in hand, and says what to do.
func (o operator) interrupted(t *testing.T) {
	t.Helper()
	o.on(t, "m5", "rm /usr/local/bin/containerd /usr/local/bin/runc /etc/welcome")
	s := o.start(t, "apply", "--yes", "--output", "json")
	v, ok := s.until(func(v event.Event) bool {
		return v.Kind == event.ResourceStarted && strings.HasPrefix(v.Resource, "program ")
	})
	if !ok {
		t.Fatalf("no program was put in place:\n%s", s.stderr.String())
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := s.end(); code != 130 || !strings.Contains(s.stderr.String(), "run it again") {
		t.Errorf("an interrupted apply exits with %d and says:\n%s", code, s.stderr.String())
	}
	program := strings.TrimPrefix(v.Resource, "program ")
	if got := o.on(t, "m5", "ls /usr/local/bin/"+program); !strings.Contains(got, program) {
		t.Errorf("%s was in hand when apply was interrupted, and is not there", program)
	}
	o.must(t, "apply", "--yes")
	o.nothing(t, "after an interrupt")
}

// snapshot is what a machine is, a line each: all that a reset has to put back.
func (o operator) snapshot(t testing.TB, machine string) []string {
	t.Helper()
	return snapshotOf(o.on(t, machine, snapshotScript))
}

// snapshotScript says what the machine is that it runs on.
const snapshotScript = `
export LC_ALL=C
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run/systemd -o -path /var/log -o -path /var/tmp \) -prune -o -printf 'path %p %y %m %u:%g %l\n'
find /etc /usr /opt /root /boot /home /srv /var/lib /var/spool -xdev -type f -print0 | xargs -0 md5sum | sed 's/^/content /'
systemctl list-units --all --plain --no-legend | awk '{print "unit", $1, $2, $3, $4}'
systemctl list-unit-files --plain --no-legend | awk '{print "unit file", $1, $2}'
findmnt --list --noheadings --output TARGET,FSTYPE | sed 's/^/mount /; s/ *$//'
dpkg-query -W -f 'package ${Package} ${Version} ${db:Status-Status}\n'
sysctl -a 2>/dev/null | sed 's/^/sysctl /'
cat /proc/swaps | sed 's/^/swap /'
ps -eo comm= | sort | uniq -c | sed 's/^/process /'
hostname | sed 's/^/hostname /'
nft --stateless list ruleset | sed 's/^/firewall /'
ip -br addr | sed 's/^/address /; s/@[^ ]*//; s/  */ /g'
`

// snapshotOf are the lines that the script said which tell something, sorted.
func snapshotOf(out string) []string {
	var lines []string
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if !volatile(line) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// volatile is what changes by itself, or that a package manager keeps of what it did.
func volatile(line string) bool {
	for _, part := range []string{
		"/var/lib/systemd/", "/var/lib/dpkg/", "/var/cache/", "/var/lib/apt/", "/etc/ld.so.cache", "/run/user", "/run/log", "/run/sshd", "/run/utmp", "/root/.ssh",
		"/var/lib/private", "/var/lib/ucf/", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "sysctl fs.dentry-state", "sysctl fs.inode", "sysctl fs.file-nr", "sysctl fs.quota", "sysctl kernel.random", "sysctl kernel.ns_last_pid", "sysctl kernel.pty.nr", "sysctl net.netfilter.nf_conntrack_count",
		"sysctl kernel.loadavg", "process ", "unit session-", "unit user", "unit run-", ".scope", "/run/user", "unit systemd-tmpfiles-clean", "unit apt-daily", "unit dpkg-db-backup",
	} {
		if strings.Contains(line, part) && !strings.Contains(line, "kubewright") && !strings.Contains(line, "containerd") {
			return true
		}
	}
	return false
}

// difference are lines of one list that the other has not.
func difference(before, after []string) []string {
	var lines []string
	for _, l := range before {
		if _, ok := slices.BinarySearch(after, l); !ok {
			lines = append(lines, "gone: "+l)
		}
	}
	for _, l := range after {
		if _, ok := slices.BinarySearch(before, l); !ok {
			lines = append(lines, "new: "+l)
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return cmp.Compare(a[5:], b[5:]) })
	return lines
}
