package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOtherControlGroups runs the tests of machines on a computer whose control groups are of the other version: a
// virtual machine with Debian's kernel, which also has its parts as modules, and systemd as its own first process.
func TestOtherControlGroups(t *testing.T) {
	var fsinfo unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fsinfo); err != nil {
		t.Fatal(err)
	}
	version := "v2"
	if fsinfo.Type == unix.CGROUP2_SUPER_MAGIC {
		version = "v1"
	}
	// What is to be had there: the program, the tests, and the root file system, which would take long to build.
	f := newFixture(t, "vm")
	f.machines(t, "up", "--count", "1", "--memory", "1G")
	f.machines(t, "down", "--all")
	dir := t.TempDir()
	must(t, "cp", kubewright, filepath.Join(dir, "kubewright"))
	rootfs, err := filepath.Glob("/var/cache/kubewright/rootfs-*-*")
	if err != nil || len(rootfs) == 0 {
		t.Fatalf("no root file system in the cache: %v", err)
	}
	must(t, "cp", append([]string{"--archive", "--target-directory=" + dir}, rootfs...)...)
	compile := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "e2e.test"), ".")
	compile.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tests := "-test.short -test.run '^(TestMachines|TestNothingLeaves|TestKilledSupervisor)$'"
	if *vmAll {
		// Not TestKilledBuild, which needs package sources, and not this one.
		tests = "-test.run '^(TestMachines|TestNothingLeaves|TestTwoSets|TestDiskIsFull|TestKilled|TestKilledSupervisor|TestRefusals)$'"
	}
	vm := exec.CommandContext(t.Context(), "./vm-run.sh", dir,
		"mkdir -p /var/cache/kubewright && mv /work-in/rootfs-* /var/cache/kubewright/ && KUBEWRIGHT=/work-in/kubewright ./e2e.test -test.v -test.failfast "+tests)
	vm.Env = append(os.Environ(), "VM_CGROUP="+version, "VM_TIMEOUT=2400")
	out, err := vm.CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r", "")
	for line := range strings.Lines(said) {
		if strings.Contains(line, "---") || strings.Contains(line, " after ") {
			t.Log("control groups " + version + ": " + strings.TrimRight(line, "\n"))
		}
	}
	if err != nil || !strings.Contains(said, "--- PASS: TestMachines ") {
		t.Errorf("%v\n%s", err, said)
	}
}
