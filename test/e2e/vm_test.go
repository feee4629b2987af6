package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/bundle"
)

// TestOtherControlGroups runs the tests of machines on a computer whose control groups are of the other version: a
// virtual machine with Debian's kernel, which also has its parts as modules, and systemd as its own first process. There it is made a host of a cluster,
// too, by TestOwnKernel.
func TestOtherControlGroups(t *testing.T) {
	var fsinfo unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fsinfo); err != nil {
		t.Fatal(err)
	}
	version := "v2"
	if fsinfo.Type == unix.CGROUP2_SUPER_MAGIC {
		version = "v1"
	}
	// What is to be had there: the program, the tests, a bundle, and the root file system, which would take long to build.
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
	smallBundle(t, filepath.Join(dir, "data", "kubewright", "bundles"))
	for _, args := range [][]string{
		{"test", "-c", "-tags", "ownkernel", "-o", filepath.Join(dir, "e2e.test"), "."},
		{"build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "hosts"), "./hosts"},
	} {
		compile := exec.Command("go", args...)
		compile.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := compile.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	tests := "-test.short -test.run '^(TestMachines|TestNothingLeaves|TestKilledSupervisor)$'"
	if *vmAll {
		// Not TestKilledBuild, which needs package sources, and not this one.
		tests = "-test.run '^(TestMachines|TestNothingLeaves|TestTwoSets|TestDiskIsFull|TestKilled|TestKilledSupervisor|TestRefusals)$'"
	}
	// TestOwnKernel goes last: it leaves what it made of the virtual machine, such as addresses and swap.
	const ownKernel = "-test.run '^TestOwnKernel$'"
	vm := exec.CommandContext(t.Context(), "./vm-run.sh", dir,
		"mkdir -p /var/cache/kubewright && mv /work-in/rootfs-* /var/cache/kubewright/ && export KUBEWRIGHT=/work-in/kubewright XDG_DATA_HOME=/work-in/data && "+
			"./e2e.test -test.v -test.failfast "+tests+" && KUBEWRIGHT=/work-in/hosts ./e2e.test -test.v "+ownKernel)
	vm.Env = append(os.Environ(), "VM_CGROUP="+version, "VM_TIMEOUT=2400")
	out, err := vm.CombinedOutput()
	said := strings.ReplaceAll(string(out), "\r", "")
	for line := range strings.Lines(said) {
		if strings.Contains(line, "---") || strings.Contains(line, " after ") || strings.Contains(line, "s  kubewright ") {
			t.Log("control groups " + version + ": " + strings.TrimRight(line, "\n"))
		}
	}
	if err != nil || !strings.Contains(said, "--- PASS: TestMachines ") || !strings.Contains(said, "--- PASS: TestOwnKernel ") {
		t.Errorf("%v\n%s", err, said)
	}
}

// smallBundle makes a store of the newest bundle without most of its images: loading them would take minutes where each instruction is emulated.
func smallBundle(t *testing.T, dir string) {
	t.Helper()
	must(t, "mkdir", "-p", filepath.Dir(dir))
	must(t, "cp", "--archive", store(t), dir)
	s, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.List(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatalf("%d bundles, %v", len(all), err)
	}
	for _, b := range all[1:] {
		must(t, kubewright, "bundle", "prune", b.Kubernetes, "--yes", "--store", dir)
	}
	digest, err := v1.NewHash(all[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.BlobPath(digest))
	if err != nil {
		t.Fatal(err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	parts := all[0].Parts // in the order of the manifests
	var kept []v1.Descriptor
	for i, m := range index.Manifests {
		if name := parts[i].Name; parts[i].Kind != bundle.Image || strings.Contains(name, "/pause:") || strings.Contains(name, "/etcd:") {
			kept = append(kept, m)
		}
	}
	index.Manifests = kept
	if content, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	release, err := s.Add(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	small, size, err := s.Put(bytes.NewReader(content))
	if err == nil {
		_, err = s.Publish(t.Context(), v1.Descriptor{Digest: small, Size: size})
	}
	if err != nil {
		t.Fatal(err)
	}
}
