package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/machines"
)

// killed runs "kubewright machines …" on the set and kills it after a while, or when it says something (whichever is given),
// as if by kill -9. It reports whether the program was still there to be killed.
func (f fixture) killed(t *testing.T, after time.Duration, saying string, args ...string) bool {
	t.Helper()
	cmd := exec.Command(kubewright, append([]string{"machines", "--set", f.Name()}, args...)...)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if saying == "" {
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if saying != "" && strings.Contains(lines.Text(), saying) {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// TestKilled kills the program at many points of making, starting and removing machines. Each time "down --all" must find
// everything, or "up" must be able to go on.
func TestKilled(t *testing.T) {
	before := traces(t)
	f := newFixture(t, "killed")
	up := []string{"up", "--count", "3", "--memory", "1G"}
	start := time.Now()
	f.machines(t, up...)
	whole := time.Since(start)
	start = time.Now()
	f.machines(t, "down", "--all")
	wholeDown := time.Since(start)
	noTraces(t, before)

	const points = 12
	kills := 0
	for i := range points {
		if f.killed(t, whole*time.Duration(i)/points, "", up...) {
			kills++
		}
		f.machines(t, "down", "--all")
		noTraces(t, before)
	}
	for i := range points {
		if f.killed(t, whole*time.Duration(i)/points, "", up...) {
			kills++
		}
		if i%3 == 2 { // resumed after one, two and three kills
			f.machines(t, up...)
			f.on(t, "m3", "systemctl is-system-running --wait")
			if f.killed(t, wholeDown*time.Duration(i)/points, "", "down", "--all") {
				kills++
			}
		}
	}
	// Everything else that changes something, killed, and then done.
	f.machines(t, up...)
	for _, args := range [][]string{{"restart", "--all"}, {"reset", "--all"}, {"down", "m2"}, {"stop", "m1"}, {"start", "m1"}} {
		for i := range 4 {
			if f.killed(t, whole*time.Duration(i)/4, "", args...) {
				kills++
			}
		}
		f.machines(t, up...)
		f.on(t, "m1", "true")
	}
	for i := range 4 {
		if f.killed(t, wholeDown*time.Duration(i)/4, "", "down", "--all") {
			kills++
		}
		f.machines(t, "down", "--all")
		noTraces(t, before)
		f.machines(t, up...)
	}
	f.machines(t, "down", "--all")
	noTraces(t, before)
	if kills < points {
		t.Errorf("only %d of %d runs were killed; the others had ended before", kills, 2*points+24)
	}
	t.Logf("%d kills over %s of up and %s of down", kills, whole.Round(time.Millisecond), wholeDown.Round(time.Millisecond))
}

// TestKilledSupervisor kills the process that runs a machine: the machine goes with it, as with its power supply.
func TestKilledSupervisor(t *testing.T) {
	before := traces(t)
	f := newFixture(t, "supervisor")
	f.machines(t, "up", "--count", "1", "--memory", "1G")
	for line := range strings.Lines(ourProcesses(t)) {
		if strings.Contains(line, "supervise m1 --set "+f.Name()) {
			pid, err := strconv.Atoi(strings.Fields(line)[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	wait(t, "the machine to end", func(context.Context) error {
		list, err := f.List()
		if err != nil {
			return machines.Fatal(err)
		}
		if list[0].State != machines.Stopped {
			return fmt.Errorf("it is %s", list[0].State)
		}
		return nil
	})
	f.machines(t, "start", "m1")
	f.on(t, "m1", "true")
	f.machines(t, "down", "--all")
	noTraces(t, before)
}

// TestKilledBuild kills the program while it builds the root file system, and then lets it.
func TestKilledBuild(t *testing.T) {
	before := traces(t)
	cache := t.TempDir()
	f := newFixture(t, "build")
	up := []string{"--cache-dir", cache, "up", "--count", "1", "--memory", "1G"}
	for _, saying := range []string{"downloading packages", "installing essential packages"} {
		if !f.killed(t, 0, saying, up...) {
			t.Errorf("the build never said %q", saying)
		}
		f.machines(t, "down", "--all")
		noTraces(t, before)
	}
	f.machines(t, up...)
	f.on(t, "m1", "systemctl is-system-running --wait")
	left, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(left) != 2 { // the root file system and its lock
		t.Fatalf("the cache holds %q, %v", left, err)
	}
	// Nothing in it tells where it was built: package sources belong to the computer outside.
	for _, leak := range sourceHosts(t) {
		root := left[0]
		if o := run(t, "grep", "--recursive", "--files-with-matches", "--fixed-strings", "--devices=skip", leak, root+"/etc", root+"/var"); o.code != 1 {
			t.Errorf("a package source of this computer is named in:\n%s%s", o.stdout, o.stderr)
		}
	}
	f.machines(t, "down", "--all")
	noTraces(t, before)
}

// sourceHosts are the hosts of this computer's package sources.
func sourceHosts(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/etc/apt/sources.list.d/*")
	if err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, file := range append(files, "/etc/apt/sources.list") {
		content, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(content)) {
			if _, after, ok := strings.Cut(word, "://"); ok && !strings.HasSuffix(file, "disabled") {
				hosts = append(hosts, strings.Split(after, "/")[0])
			}
		}
	}
	return hosts
}
