package machines

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func testSet(t *testing.T) *Set {
	t.Helper()
	set, err := Open(Config{Name: "test", StateDir: t.TempDir(), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"a": true, "m1": true, "control-plane-1": true, strings.Repeat("a", 32): true,
		"": false, "1a": false, "-a": false, "a-": false, "A": false, "a.b": false, "a/b": false, "..": false, "ä": false, strings.Repeat("a", 33): false,
	} {
		if err := checkName("machine", name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOrderGivesEachItsOwnAddressAndKeepsWhatThereIs(t *testing.T) {
	s := testSet(t)
	o := UpOptions{Hardware: Hardware{CPUs: 1, Memory: 1 << 30, Disk: 2 << 30}}
	if _, err := s.order([]string{"m1", "m2", "m3"}, o, "old"); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(s.machineFile("m3", hostKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.machineDir("m2")); err != nil {
		t.Fatal(err)
	}
	o = UpOptions{Hardware: Hardware{CPUs: 4, Memory: 8 << 30, Disk: 9 << 30}, SetMemory: true}
	wanted, err := s.order([]string{"m3", "m4"}, o, "new")
	if err != nil {
		t.Fatal(err)
	}
	m3, m4 := wanted[0], wanted[1]
	if m3.Index != 2 || m3.RootFS != "old" || m3.Disk != 2<<30 || m3.CPUs != 1 || m3.Memory != 8<<30 {
		t.Errorf("an existing machine: %+v", m3)
	}
	if m4.Index != 1 || m4.RootFS != "new" || m4.Disk != 9<<30 {
		t.Errorf("a new machine takes the free address: %+v", m4)
	}
	if again, err := os.ReadFile(s.machineFile("m3", hostKeyFile)); err != nil || string(again) != string(key) {
		t.Errorf("the host key changed: %v", err)
	}
}

func TestOrderEndsWithTheAddresses(t *testing.T) {
	s := testSet(t)
	for i := range maxMachines {
		if err := os.MkdirAll(s.machineDir(string(rune('a'+i%26))+"x"+string(rune('a'+i/26))), 0o700); err != nil {
			t.Fatal(err)
		}
		name := string(rune('a'+i%26)) + "x" + string(rune('a'+i/26))
		if err := writeJSON(s.machineFile(name, "machine.json"), machine{Name: name, Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.order([]string{"one-more"}, UpOptions{}, "r"); err == nil || !strings.Contains(err.Error(), "no address left") {
		t.Error(err)
	}
}

func TestPickNamesEverythingUnknown(t *testing.T) {
	s := testSet(t)
	if _, err := s.pick(nil); err == nil || !strings.Contains(err.Error(), "kubewright machines up --set test") {
		t.Errorf("no set: %v", err)
	}
	if err := os.MkdirAll(s.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.save(state{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.order([]string{"m1"}, UpOptions{}, "r"); err != nil {
		t.Fatal(err)
	}
	_, err := s.pick([]string{"x", "m1", "y"})
	if err == nil || !strings.Contains(err.Error(), "x, y") {
		t.Error(err)
	}
}

func TestLeftOversOfAMachineHaveNoPartInTheNext(t *testing.T) {
	s := testSet(t)
	if err := os.MkdirAll(s.machineDir("m1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.diskFile("m1"), []byte("a disk"), 0o600); err != nil { // "down" was killed after machine.json
		t.Fatal(err)
	}
	if _, err := s.order([]string{"m1"}, UpOptions{}, "r"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.diskFile("m1")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a new machine has the disk of the one before")
	}
}

func TestDownTouchesNothingThatIsNoSet(t *testing.T) {
	s := testSet(t)
	precious := filepath.Join(s.dir(), "precious")
	if err := os.MkdirAll(precious, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Down(t.Context()); err == nil || !strings.Contains(err.Error(), "precious") {
		t.Error(err)
	}
	if _, err := s.lock(t.Context()); err == nil {
		t.Error("a directory of somebody else's was taken for a set")
	}
	left, err := os.ReadDir(s.dir())
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Remove(precious); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir(), lockName), nil, 0o600); err != nil { // "up" was killed early
		t.Fatal(err)
	}
	if err := s.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished set is still there: %v", err)
	}
}

func TestDamagedFilesAreNamed(t *testing.T) {
	s := testSet(t)
	if err := os.MkdirAll(s.machineDir("m1"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := s.machineFile("m1", "machine.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.machines(); err == nil || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

func TestLockWaitsAndSurvivesTheRemovalOfTheSet(t *testing.T) {
	s := testSet(t)
	release, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	s.config.Progress = func(_, message string) { told <- message }
	got := make(chan error)
	go func() {
		second, err := s.lock(t.Context())
		if err == nil {
			_, err = os.Stat(filepath.Join(s.dir(), "lock"))
			second()
		}
		got <- err
	}()
	if m := <-told; !strings.Contains(m, "waiting for process") {
		t.Error(m)
	}
	if err := os.RemoveAll(s.dir()); err != nil { // what Down does with the last machine
		t.Fatal(err)
	}
	release()
	if err := <-got; err != nil {
		t.Error("the one that waited got the lock of a removed file:", err)
	}
}

func TestLockEndsWithTheContext(t *testing.T) {
	s := testSet(t)
	release, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	s.config.Progress = func(string, string) { cancel() }
	if _, err := s.lock(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStaleRootFileSystemsGo(t *testing.T) {
	s := testSet(t)
	if _, err := s.order([]string{"m1"}, UpOptions{}, "rootfs-used"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"rootfs-current", "rootfs-used", "rootfs-old", "rootfs-current.unfinished", "rootfs+current", "rootfs+old", "vm"} {
		if err := os.MkdirAll(filepath.Join(s.config.CacheDir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(current string, want ...string) {
		t.Helper()
		if err := s.dropStaleRootFS(current); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(s.config.CacheDir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range left {
			names = append(names, e.Name())
		}
		if !slices.Equal(names, want) {
			t.Errorf("left: %q, want %q", names, want)
		}
	}
	drop("rootfs-current", "rootfs+current", "rootfs+old", "rootfs-current", "rootfs-used", "vm")
	s.config.Packages = []string{"python3"}
	drop("rootfs+current", "rootfs+current", "rootfs-current", "rootfs-used", "vm")
}

func TestPackagesOfASetMakeItsRootFileSystemAnother(t *testing.T) {
	s := testSet(t)
	plain := s.rootfsName()
	s.config.Packages = []string{"python3", "ethtool"}
	with := s.rootfsName()
	s.config.Packages = []string{"ethtool", "python3", "systemd"}
	if again := s.rootfsName(); with == plain || with != again {
		t.Errorf("without, with and in another order it is called %s, %s, %s", plain, with, again)
	}
}

func TestSSHFiles(t *testing.T) {
	s := testSet(t)
	if _, err := s.order([]string{"m1"}, UpOptions{}, "r"); err != nil {
		t.Fatal(err)
	}
	if err := s.writeSSHFiles(3); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(s.KnownHosts())
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(s.machineFile("m1", hostKeyFile) + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if want := "198.18.3.11,m1 " + strings.TrimSuffix(string(public), " root@m1\n") + "\n"; string(known) != want {
		t.Errorf("known_hosts: %q, want %q", known, want)
	}
	info, err := os.Stat(s.machineFile("m1", hostKeyFile))
	if err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the host's private key: %v, %v", info.Mode(), err)
	}
}
