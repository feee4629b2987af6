package resource

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLocalExec(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	t.Setenv("PATH", "/nowhere")
	script := Command{Name: "sh", Args: []string{"-c", `cat; echo "$LC_ALL $X" >&2; exit 3`}, Env: []string{"X=y"}, Stdin: strings.NewReader("in")}
	o, err := LocalExec{}.Run(t.Context(), script)
	if err != nil || o != (Output{Stdout: "in", Stderr: "C y\n", Code: 3}) {
		t.Errorf("it is %+v, %v", o, err)
	}
	if o, err := (LocalExec{}).Run(t.Context(), Command{Name: "sh", Args: []string{"-c", "kill -9 $$"}}); err != nil || o.Code != 137 {
		t.Errorf("killed: %+v, %v", o, err)
	}
	for _, name := range []string{"no-such-program", "/no/such/program"} {
		if _, err := (LocalExec{}).Run(t.Context(), Command{Name: name}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLocalExecKillsChildren has a program wait for its child when the context ends.
func TestLocalExecKillsChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := LocalExec{}.Run(ctx, Command{Name: "sh", Args: []string{"-c", `sleep 600 & echo $! > "$0"; wait`, pidFile}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it ends with %v", err)
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return // it is dead and buried
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	// It was sent a signal, of which it dies soon.
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(child), Events: unix.POLLIN}}, 5000); err != nil || n == 0 {
		t.Errorf("the child still runs: %v", err)
	}
}

func TestParseSwaps(t *testing.T) {
	const head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	got, err := parseSwaps(head + "/dev/sda2                               partition\t1048576\t\t0\t\t-2\n/my\\040swap\tfile\t8\t0\t7\n")
	if want := []SwapArea{{"/dev/sda2", 1 << 30, -2}, {"/my swap", 8 << 10, 7}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("it is %v, %v", got, err)
	}
	if got, err := parseSwaps(head); err != nil || len(got) > 0 {
		t.Errorf("none: %v, %v", got, err)
	}
	for _, bad := range []string{"/dev/sda2\n", "/dev/sda2 partition much 0 -2\n", "/dev/sda2 partition 8 0 first\n", "/dev/sda2 partition 8\n"} {
		if got, err := parseSwaps(head + bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":              "/proc/sys/net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.rp_filter": "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/1.x":           "/proc/sys/net/ipv4/conf/eth0.1/x",
		"net/ipv4/conf/eth0.1/x":           "/proc/sys/net/ipv4/conf/eth0.1/x",
		"kernel.keys.root_maxkeys":         "/proc/sys/kernel/keys/root_maxkeys",
		"fs.inotify.max_user_watches":      "/proc/sys/fs/inotify/max_user_watches",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s is at %s, want %s", name, got, want)
		}
	}
}

func TestModuleLists(t *testing.T) {
	const modules = "br_netfilter 32768 2 - Live 0x0\nbridge 311296 1 br_netfilter, Live 0x0\n"
	for name, want := range map[string]struct {
		users  int
		loaded bool
	}{"br_netfilter": {2, true}, "bridge": {1, true}, "br": {0, false}} {
		if users, loaded := moduleUsers([]byte(modules), name); users != want.users || loaded != want.loaded {
			t.Errorf("%s: %d, %v", name, users, loaded)
		}
	}
	list := filepath.Join(t.TempDir(), "modules.dep")
	if err := os.WriteFile(list, []byte("kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\nkernel/x/nf-log.ko:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"br_netfilter": true, "bridge": false, "nf_log": true, "br": false} {
		if got, err := listsModule(list, name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := listsModule(list+".none", "x"); err != nil || got {
		t.Errorf("a list that is not there: %v, %v", got, err)
	}
}

func TestSwapFlags(t *testing.T) {
	for priority, want := range map[int]uintptr{-2: 0, 0: 0x8000, 5: 0x8005, 32767: 0xffff} {
		if got := swapFlags(priority); got != want {
			t.Errorf("the priority %d has the flags %#x, want %#x", priority, got, want)
		}
	}
}
