package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/hostprep"
	"github.com/kubewright/kubewright/internal/component/timesync"
	"github.com/kubewright/kubewright/internal/converge"
	"github.com/kubewright/kubewright/internal/event"
	"github.com/kubewright/kubewright/internal/machines"
	"github.com/kubewright/kubewright/internal/plan"
	record "github.com/kubewright/kubewright/internal/run"
	"github.com/kubewright/kubewright/internal/ssh"
	"github.com/kubewright/kubewright/internal/ui"
)

// BenchmarkAgainstAnsible prepares five hosts by Kubewright and by a playbook that does the same (testdata/ansible), and both again where nothing is
// left to do. Each begins with fresh machines that have what it is not about: the packages, and what Ansible needs of a host. They take turns, and
// in beginning, too. What is reported are medians of all rounds.
func BenchmarkAgainstAnsible(b *testing.B) {
	if _, err := exec.LookPath("ansible-playbook"); err != nil {
		b.Skip("there is no ansible-playbook: make bench installs it")
	}
	f := newFixture(b, "ansible", "python3", "python3-apt", "conntrack", "e2fsprogs", "ethtool", "iptables")
	if err := f.Up(b.Context(), machines.UpOptions{Count: 5, NamePrefix: "m", Hardware: machines.Hardware{CPUs: 2, Memory: 4 << 30, Disk: 20 << 30}}); err != nil {
		b.Fatal(err)
	}
	o := newOperator(b, f, "")
	playbook := newPlaybook(b, o)
	took := map[string][]cost{}
	measure := func(what string, cmd *exec.Cmd) { took[what] = append(took[what], o.cost(b, cmd)) }
	sides := []func(){
		func() {
			measure("kubewright-first", o.prepare("apply"))
			measure("kubewright-noop", o.prepare("apply"))
			measure("kubewright-plan", o.prepare("plan"))
		},
		func() {
			measure("ansible-first", playbook.command())
			measure("ansible-noop", playbook.command())
		},
	}
	for round := 0; b.Loop(); round++ {
		var outcomes [2]map[string]string
		for i := range sides {
			i = (i + round) % 2 // Kubewright begins, since the playbook's files are taken from what it made
			if err := f.Reset(b.Context()); err != nil {
				b.Fatal(err)
			}
			o.settled(b)
			unix.Sync() // what was written before is not to be waited for
			sides[i]()
			outcomes[i] = o.outcome(b)
			switch {
			case round == 0 && i == 0:
				playbook.takeFiles(b)
			case round == 0:
				b.Logf("what Kubewright would still do after the playbook:\n%s", o.remains(b))
			}
		}
		for m, kubewright := range outcomes[0] {
			if ansible := outcomes[1][m]; kubewright != ansible {
				b.Errorf("%s is not the same after both:\n%s", m, strings.Join(difference(sortedLines(kubewright), sortedLines(ansible)), "\n"))
			}
		}
	}
	report(b, took)
}

// report prints medians, and how many times as long Ansible takes.
func report(b *testing.B, took map[string][]cost) {
	var table strings.Builder
	fmt.Fprintf(&table, "%-17s %9s   %s\n%-17s %9s %9s %9s %9s\n", "five hosts,", "wall", "CPU of", "medians", "", "operator", "machines", "others")
	wall := map[string]float64{}
	for _, what := range slices.Sorted(maps.Keys(took)) {
		median := func(part func(cost) time.Duration) float64 {
			var list []time.Duration
			for _, c := range took[what] {
				list = append(list, part(c))
			}
			slices.Sort(list)
			return list[len(list)/2].Seconds()
		}
		wall[what] = median(func(c cost) time.Duration { return c.wall })
		b.ReportMetric(wall[what], what+"-s")
		fmt.Fprintf(&table, "%-17s %7.2f s %7.2f s %7.2f s %7.2f s\n", what, wall[what], median(func(c cost) time.Duration { return c.operator }),
			median(func(c cost) time.Duration { return c.machines }), median(func(c cost) time.Duration { return c.others }))
	}
	for _, run := range []string{"first", "noop"} {
		times := wall["ansible-"+run] / wall["kubewright-"+run]
		b.ReportMetric(times, run+"-times")
		fmt.Fprintf(&table, "%s: Ansible takes %.1f times as long\n", run, times)
	}
	fmt.Printf("\n%s\n", table.String()) // of what a benchmark logs, ten lines are shown
}

// cost is what a command took.
type cost struct {
	wall time.Duration
	// CPU of the command and what it waited for; connections that ssh keeps for later are not among it.
	operator time.Duration
	machines time.Duration // CPU of all machines meanwhile
	// CPU of this computer besides, the kernel's own work for the machines among it. If it is much, somebody else is at work, and the times are worth little.
	others time.Duration
}

func (o operator) cost(b *testing.B, cmd *exec.Cmd) cost {
	b.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	inside, all, start := o.machinesCPU(b), busyCPU(b), time.Now()
	err := cmd.Run()
	c := cost{wall: time.Since(start)}
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, said.String())
	}
	c.operator = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.machines = o.machinesCPU(b) - inside
	c.others = max(0, busyCPU(b)-all-c.operator-c.machines)
	b.Logf("%-17s %6.2fs, others %.2fs", filepath.Base(cmd.Path), c.wall.Seconds(), c.others.Seconds())
	return c
}

// busyCPU is what this computer's CPUs have done so far, by proc_stat(5).
func busyCPU(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		b.Fatalf("/proc/stat: %v", err)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on all platforms that Go runs on
	return time.Duration(user+nice+system+irq+softirq) * tick
}

// machinesCPU is what the processes of all machines have used so far.
func (o operator) machinesCPU(b *testing.B) time.Duration {
	b.Helper()
	groups, err := filepath.Glob("/sys/fs/cgroup/cpuacct/kubewright/" + o.Name() + "/*/cpuacct.usage") // version 1
	if err == nil && len(groups) == 0 {
		groups, err = filepath.Glob("/sys/fs/cgroup/kubewright/" + o.Name() + "/*/cpu.stat")
	}
	if err != nil || len(groups) == 0 {
		b.Fatalf("no control groups of %s that count CPU (%v)", o.Name(), err)
	}
	var sum time.Duration
	for _, g := range groups {
		text, err := os.ReadFile(g)
		if err != nil {
			b.Fatal(err)
		}
		unit := time.Nanosecond
		first, _, _ := strings.Cut(string(text), "\n")
		if micro, ok := strings.CutPrefix(first, "usage_usec "); ok {
			first, unit = micro, time.Microsecond
		}
		n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
		if err != nil {
			b.Fatalf("%s: %v", g, err)
		}
		sum += time.Duration(n) * unit
	}
	return sum
}

// outcome is what both sides are to make of the machines, by machine.
func (o operator) outcome(b *testing.B) map[string]string {
	b.Helper()
	all := map[string]string{}
	for _, m := range o.names(b) {
		all[m] = o.on(b, m, `
hostname; cat /etc/hostname
sed 's/^/hosts: /' /etc/hosts
grep -n swap /etc/fstab | sed 's/#kubewright# */#/'
for f in /etc/sysctl.d/* /etc/systemd/*.conf.d/*; do stat -c '%n %a %U:%G' $f; grep -v -e '^#' -e '^$' $f | sed "s|^|$f: |"; done
sed -n 's/^-\?\([a-z].*\) = .*/\1/p' /etc/sysctl.d/zz-kubewright.conf | xargs sysctl -e
stat -c '%n %a %U:%G' /var/log/journal
systemctl is-active systemd-journald
systemctl list-units --all --plain --no-legend '*.swap' | sed 's/^/unit: /'
journalctl --header | grep -c '^File path: /var/log/journal/'
cat /proc/swaps
dpkg-query -W -f '${Package} ${db:Status-Status}\n'`)
	}
	return all
}

func sortedLines(s string) []string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return lines
}

// remains is the plan.
func (o operator) remains(b *testing.B) string {
	b.Helper()
	out, err := o.prepare("plan").CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// playbook is a directory in which ansible-playbook is run.
type playbook struct {
	dir string
	o   operator
}

func newPlaybook(b *testing.B, o operator) playbook {
	b.Helper()
	p := playbook{b.TempDir(), o}
	for _, name := range []string{"ansible.cfg", "playbook.yml"} {
		content, err := os.ReadFile(filepath.Join("testdata", "ansible", name))
		if err != nil {
			b.Fatal(err)
		}
		o.write(b, filepath.Join(p.dir, name), string(content))
	}
	list, err := o.List()
	if err != nil {
		b.Fatal(err)
	}
	var inventory strings.Builder
	t := template.Must(template.ParseFiles(filepath.Join("testdata", "ansible", "inventory.yml.tmpl")))
	if err := t.Execute(&inventory, map[string][]machines.Status{"control_planes": list[:3], "workers": list[3:]}); err != nil {
		b.Fatal(err)
	}
	o.write(b, filepath.Join(p.dir, "inventory.yml"), inventory.String())
	o.write(b, filepath.Join(p.dir, "ssh_config"), fmt.Sprintf("IdentityFile %s\nUserKnownHostsFile %s\nIdentitiesOnly yes\n", o.IdentityFile(), o.KnownHosts()))
	return p
}

// takeFiles takes those files that Kubewright wrote on a machine, for the playbook to write.
func (p playbook) takeFiles(b *testing.B) {
	b.Helper()
	for from, to := range map[string]string{
		"/etc/sysctl.d/zz-kubewright.conf":                "sysctl.d/zz-kubewright.conf",
		"/etc/systemd/system.conf.d/90-kubewright.conf":   "system.conf.d/90-kubewright.conf",
		"/etc/systemd/journald.conf.d/90-kubewright.conf": "journald.conf.d/90-kubewright.conf",
	} {
		file := filepath.Join(p.dir, "files", to)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			b.Fatal(err)
		}
		p.o.write(b, file, p.o.on(b, "m1", "cat "+from)+"\n")
	}
}

func (p playbook) command() *exec.Cmd {
	cmd := exec.Command("ansible-playbook", "playbook.yml")
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.o.home, "SSH_AUTH_SOCK=")
	return cmd
}

// Environment of a process that is TestPrepareHosts.
const (
	prepareDoing = "KUBEWRIGHT_E2E_PREPARE"
)

// prepare is kubewright as it would be if clusters were made of nothing but prepared hosts.
func (o operator) prepare(doing string) *exec.Cmd {
	like := o.command()
	cmd := exec.Command(os.Args[0], "-test.run=^TestPrepareHosts$", "-test.v=false")
	cmd.Dir = o.dir
	cmd.Env = append(like.Env, "KUBEWRIGHT="+kubewright, prepareDoing+"="+doing)
	return cmd
}

// TestPrepareHosts is no test, but the process that prepares hosts: what internal/cli does for plan and apply, with these components only.
func TestPrepareHosts(t *testing.T) {
	doing := os.Getenv(prepareDoing)
	if doing == "" {
		t.Skip("a part of BenchmarkAgainstAnsible")
	}
	if err := prepareHosts(t.Context(), doing, os.Stdout); err != nil {
		t.Fatal(err)
	}
}

func prepareHosts(ctx context.Context, doing string, w io.Writer) error {
	content, err := os.ReadFile("cluster.yaml")
	if err != nil {
		return err
	}
	spec, err := v1alpha1.Parse("cluster.yaml", content)
	if err != nil {
		return err
	}
	c, err := cluster.Load(ctx, spec, ".")
	if err != nil {
		return err
	}
	store, err := bundle.Open(filepath.Join(os.Getenv("XDG_DATA_HOME"), "kubewright", "bundles"))
	if err != nil {
		return err
	}
	all, err := store.List(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("there is no bundle: make bundles")
	}
	binary, err := agent.OpenBinary(kubewright)
	if err != nil {
		return err
	}
	defer func() { _ = binary.Close() }()
	dialer, err := ssh.NewDialer(ssh.Config{})
	if err != nil {
		return err
	}
	defer dialer.Close()
	view := ui.New(w, false)
	defer view.Close()
	id, err := converge.NewRunID(time.Now())
	if err != nil {
		return err
	}
	journal, err := record.NewJournal(filepath.Join(os.Getenv("XDG_STATE_HOME"), "kubewright", "runs"), id)
	if err != nil {
		return err
	}
	defer func() { _ = journal.Close() }()
	s, err := converge.Open(ctx, converge.Options{
		Cluster: c, Components: hostPreparation(all[0]), Connect: converge.OverSSH(dialer, binary, nil), Blobs: blobsOf{store},
		Events: func(v event.Event) { journal.Record(v); view.Event(v) },
		Holder: agent.Holder{Run: id, Who: "somebody", From: "here", Since: time.Now(), Doing: doing},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	if doing == "apply" {
		return s.Apply(ctx, func(p *plan.Plan) error { return p.Text(w, plan.TextOptions{Lines: 20}) })
	}
	p, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	return p.Text(w, plan.TextOptions{Lines: 20})
}

// hostPreparation are the components that prepare hosts, without packages that others need.
func hostPreparation(b *bundle.Bundle) converge.Components {
	return func(w converge.Wish) ([]plan.Step, []plan.Problem) {
		clocks := timesync.Input{Cluster: w.Cluster, Hosts: w.Hosts, After: func(host string) []plan.Condition {
			return []plan.Condition{plan.After(plan.StepID{Host: host, Name: hostprep.Step})}
		}}
		steps, problems := hostprep.Steps(hostprep.Input{
			Cluster: w.Cluster, Hosts: w.Hosts, Bundle: b, After: w.After, TimeServers: timesync.Servers(clocks), Packages: timesync.Packages(clocks),
		})
		more, wrong := timesync.Steps(clocks)
		return append(steps, more...), append(problems, wrong...)
	}
}

type blobsOf struct{ *bundle.Store }

func (s blobsOf) Open(digest string) (io.ReadCloser, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, err
	}
	return s.Blob(h)
}
