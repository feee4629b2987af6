// Package e2e tests what users do, on local machines, with the real program. It needs root and the Debian packages that
// `make test` installs. CONTRIBUTING says how to look inside a test.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/machines"
)

var (
	keep  = flag.Bool("keep", false, "leave the machines of a failed test as they are, and say how to reach them")
	long  = flag.Bool("long", false, "run what takes long, too: clusters of older versions, more changes of members, kills within them, chaos")
	vmAll = flag.Bool("vm-all", false, "run all tests in the virtual machine that could differ there, with as many machines as outside")

	chaos = flag.Duration("chaos", 30*time.Minute, "how long TestChaos has things go wrong")
	seed  = flag.Uint64("seed", 0, "have TestChaos do again what it did with this seed; 0 is one that nobody knows yet")

	// kubewright is the program under test.
	kubewright string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (int, error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("the end-to-end tests make machines and need root: sudo make test")
	}
	// Set where the tests run on a computer without Go.
	if kubewright = os.Getenv("KUBEWRIGHT"); kubewright == "" {
		dir, err := os.MkdirTemp("", "kubewright-e2e-")
		if err != nil {
			return 1, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		kubewright = filepath.Join(dir, "kubewright")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", kubewright, "../../cmd/kubewright")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building kubewright: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// output is what a command said and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// run runs a program to its end.
func run(t testing.TB, name string, args ...string) output {
	t.Helper()
	return runWith(t, "", name, args...)
}

func runWith(t testing.TB, stdin, name string, args ...string) output {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is run where everything but success fails the test.
func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	o := run(t, name, args...)
	if o.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", filepath.Base(name), strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o.stdout
}

// fixture is a set of machines of a test, used through the program and through the library.
type fixture struct {
	*machines.Set
}

// newFixture names a set of machines; it is removed at the end of the test. Machines that are made or reset by its methods, not those of the program, have
// the packages.
func newFixture(t testing.TB, name string, packages ...string) fixture {
	t.Helper()
	name = fmt.Sprintf("e2e-%s-%d", name, os.Getpid())
	set, err := machines.Open(machines.Config{Name: name, Program: kubewright, Packages: packages, Progress: func(machine, message string) { t.Log(machine, message) }})
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{set}
	t.Cleanup(func() {
		set.Close()
		if t.Failed() && *keep {
			t.Logf("the machines are left: kubewright machines list --set %s", name)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := set.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	return f
}

// network is the file that holds the network namespace of the set.
func (f fixture) network() string { return filepath.Join(filepath.Dir(f.SSHConfig()), "network") }

// machines runs "kubewright machines …" on the set.
func (f fixture) machines(t testing.TB, args ...string) string {
	t.Helper()
	start := time.Now()
	out := must(t, kubewright, append([]string{"machines", "--set", f.Name()}, args...)...)
	t.Logf("%5.1fs  machines %s", time.Since(start).Seconds(), strings.Join(args, " "))
	return out
}

// on runs a shell command as root on a machine; it must succeed.
func (f fixture) on(t testing.TB, machine, command string) string {
	t.Helper()
	start := time.Now()
	r := f.try(t, machine, command)
	t.Logf("%5.1fs  on %s: %.60q", time.Since(start).Seconds(), machine, command)
	if r.ExitCode != 0 {
		t.Fatalf("on %s: %s: exit code %d\n%s%s", machine, command, r.ExitCode, r.Stdout, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

// try runs a shell command as root on a machine, whatever becomes of it.
func (f fixture) try(t testing.TB, machine, command string) machines.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := f.Run(ctx, machine, command)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wait waits until holds returns no error, for a time that is long enough for a slow computer.
func wait(t testing.TB, what string, holds func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := machines.Wait(ctx, what, holds); err != nil {
		t.Fatal(err)
	}
}
