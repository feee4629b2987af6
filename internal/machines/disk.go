package machines

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine's disk is a file with an ext4 file system: it has a size that can be reached, survives everything but Reset
// and Down, and is made fresh in no time. The machine's root is an overlay of it over the shared root file system, except
// /var/lib, which lies on the disk itself, because container runtimes keep overlays there and an overlay cannot lie on
// another.

// newDisk makes an empty disk.
func (s *Set) newDisk(ctx context.Context, m machine) error {
	path := s.diskFile(m.Name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := path + unfinishedSuffix
	f, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(m.Disk), f.Close()); err != nil {
		return err
	}
	mkfs := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", unfinished)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("making the disk of machine %s: %w: %s", m.Name, err, bytes.TrimSpace(out))
	}
	return os.Rename(unfinished, path)
}

// Places in the mount namespace of the process that runs a machine; nothing of them is visible elsewhere.
const (
	diskMount = "/run/machine/disk"
	rootMount = "/run/machine/root"
)

// mountDisk mounts the machine's root at rootMount.
func (s *Set) mountDisk(m machine) error {
	if err := errors.Join(os.MkdirAll(diskMount, 0o700), os.MkdirAll(rootMount, 0o755)); err != nil {
		return err
	}
	// mount(8) sets up the loop device so that it frees itself with its last user. noinit_itable: the inode tables of a
	// sparse file read as zeros already.
	mount := exec.Command("mount", "-t", "ext4", "-o", "loop,noinit_itable", s.diskFile(m.Name), diskMount)
	if out, err := mount.CombinedOutput(); err != nil {
		return fmt.Errorf("mounting the disk: %w: %s", err, bytes.TrimSpace(out))
	}
	upper, work, varLib := filepath.Join(diskMount, "root"), filepath.Join(diskMount, "work"), filepath.Join(diskMount, "var-lib")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if _, err := os.Stat(varLib); errors.Is(err, fs.ErrNotExist) {
		unfinished := varLib + unfinishedSuffix
		if err := os.RemoveAll(unfinished); err != nil {
			return err
		}
		if out, err := exec.Command("cp", "--archive", filepath.Join(s.rootfsPath(m.RootFS), "var/lib"), unfinished).CombinedOutput(); err != nil {
			return fmt.Errorf("filling the disk: %w: %s", err, bytes.TrimSpace(out))
		}
		if err := os.Rename(unfinished, varLib); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", s.rootfsPath(m.RootFS), upper, work)
	if err := unix.Mount("overlay", rootMount, "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting the root file system: %w", err)
	}
	if err := unix.Mount(varLib, filepath.Join(rootMount, "var/lib"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting /var/lib: %w", err)
	}
	return nil
}

// install gives a fresh disk the machine's own identity. A disk that has one is left alone.
func (s *Set) install(m machine, n subnet) error {
	const done = diskMount + "/installed"
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return err
	}
	hostKey, err := os.ReadFile(s.machineFile(m.Name, "ssh_host_ed25519_key"))
	if err != nil {
		return err
	}
	clientKey, err := os.ReadFile(s.IdentityFile() + ".pub")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"etc/hostname", m.Name + "\n", 0o644},
		{"etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + m.Name + "\n\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n", 0o644},
		{"etc/machine-id", fmt.Sprintf("%x\n", id), 0o444},
		{"etc/systemd/network/eth0.network", networkUnit(n, m.Index), 0o644},
		{"etc/ssh/ssh_host_ed25519_key", string(hostKey), 0o600},
		{"root/.ssh/authorized_keys", string(clientKey), 0o600},
		{"home/admin/.ssh/authorized_keys", string(clientKey), 0o600},
		{"home/ops/.ssh/authorized_keys", string(clientKey), 0o600},
	} {
		path := filepath.Join(rootMount, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
			return err
		}
		if user, ok := strings.CutPrefix(f.path, "home/"); ok {
			home := filepath.Join(rootMount, "home", strings.Split(user, "/")[0])
			var owner unix.Stat_t
			if err := unix.Stat(home, &owner); err != nil {
				return fmt.Errorf("%s: %w", home, err)
			}
			if err := errors.Join(os.Chown(path, int(owner.Uid), int(owner.Gid)), os.Chown(filepath.Dir(path), int(owner.Uid), int(owner.Gid))); err != nil {
				return err
			}
		}
	}
	if err := syncFS(diskMount); err != nil {
		return err
	}
	return os.WriteFile(done, nil, 0o600)
}

func networkUnit(n subnet, index int) string {
	return fmt.Sprintf("[Match]\nName=eth0\n\n[Network]\nAddress=%s\nGateway=%s\nLLDP=no\nIPv6AcceptRA=no\n",
		netip.PrefixFrom(n.machine(index), n.machines().Bits()), n.gateway())
}

// sizeOnDisk is what a file takes up, which for a sparse one is less than its length. A file that is not there takes nothing.
func sizeOnDisk(path string) (int64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	return st.Blocks * 512, err
}

// syncFS writes the file system that holds dir to its disk.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
