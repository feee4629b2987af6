package resource

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// LocalFiles are the files of this machine, or those below another root directory.
type LocalFiles struct {
	tree   tree
	whole  bool // the root is "/"
	owners *localOwners
}

// tree is what os.Root does. There, links with absolute targets lead nowhere; so the machine itself needs another one.
type tree interface {
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
	OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error)
	Mkdir(name string, mode fs.FileMode) error
	Symlink(target, name string) error
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	Chmod(name string, mode fs.FileMode) error
	Lchown(name string, uid, gid int) error
	Close() error
}

// machine is the tree at "/".
type machine struct{}

func (machine) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }
func (machine) Readlink(name string) (string, error)      { return os.Readlink(name) }
func (machine) Mkdir(name string, mode fs.FileMode) error { return os.Mkdir(name, mode) }
func (machine) Symlink(target, name string) error         { return os.Symlink(target, name) }
func (machine) Rename(from, to string) error              { return os.Rename(from, to) }
func (machine) Remove(name string) error                  { return os.Remove(name) }
func (machine) RemoveAll(name string) error               { return os.RemoveAll(name) }
func (machine) Chmod(name string, mode fs.FileMode) error { return os.Chmod(name, mode) }
func (machine) Lchown(name string, uid, gid int) error    { return os.Lchown(name, uid, gid) }
func (machine) Close() error                              { return nil }
func (machine) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

func newLocalFiles(root string) (LocalFiles, error) {
	if filepath.Clean(root) == "/" {
		return LocalFiles{machine{}, true, &localOwners{}}, nil
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return LocalFiles{}, fmt.Errorf("opening the root directory: %w", err)
	}
	return LocalFiles{r, false, &localOwners{}}, nil
}

// in is a path as the tree wants it.
func (l LocalFiles) in(name string) string {
	if l.whole {
		return path.Clean(name)
	}
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+name), "/"), ".")
}

// Stat does not follow links.
func (l LocalFiles) Stat(name string) (Info, error) {
	fi, err := l.tree.Lstat(l.in(name))
	if err != nil {
		return Info{}, notThere(err)
	}
	i := Info{Type: fi.Mode().Type(), Mode: fi.Mode().Perm(), Size: fi.Size()}
	if i.Type&fs.ModeSymlink != 0 {
		if i.Link, err = l.tree.Readlink(l.in(name)); err != nil {
			return Info{}, err
		}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Info{}, fmt.Errorf("%s has no owner", name)
	}
	i.ModTime, i.Changed, i.Inode = fi.ModTime(), time.Unix(st.Ctim.Unix()), st.Ino
	if i.Owner, err = l.nameOf("/etc/passwd", st.Uid); err != nil {
		return Info{}, err
	}
	i.Group, err = l.nameOf("/etc/group", st.Gid)
	return i, err
}

// notThere makes of a path that leads through a file one that is not there.
func notThere(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// Open opens a file; links are followed.
func (l LocalFiles) Open(name string) (io.ReadCloser, error) {
	f, err := l.tree.OpenFile(l.in(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, notThere(err)
	}
	return f, nil
}

// beside is the name under which something is made before it takes its place. It is always the same, so that what a killed process left is found
// and taken by the next one; programs that read all files of a directory pass over it.
func beside(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+".kubewright")
}

// Write writes a file beside, and renames it.
func (l LocalFiles) Write(name string, a Attributes, content io.Reader) (err error) {
	if err := l.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	temp := l.in(beside(name))
	if err := l.tree.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := l.tree.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = l.tree.Remove(temp)
		}
	}()
	if _, err := io.Copy(f, content); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := l.own(temp, a); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := l.tree.Rename(temp, l.in(name)); err != nil {
		return err
	}
	return l.sync(path.Dir(name))
}

// sync has what changed in a directory written to the disk.
func (l LocalFiles) sync(dir string) error {
	d, err := l.tree.OpenFile(l.in(dir), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// own gives a file (in the tree) its owner and mode.
func (l LocalFiles) own(in string, a Attributes) error {
	uid, err := l.numberOf("/etc/passwd", a.Owner)
	if err != nil {
		return err
	}
	gid, err := l.numberOf("/etc/group", a.Group)
	if err != nil {
		return err
	}
	fi, err := l.tree.Lstat(in)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != uid || int(st.Gid) != gid {
		if err := l.tree.Lchown(in, uid, gid); err != nil {
			return err
		}
	}
	if fi.Mode()&fs.ModeSymlink != 0 || fi.Mode().Perm() == a.Mode.Perm() {
		return nil // links have no mode of their own
	}
	return l.tree.Chmod(in, a.Mode.Perm())
}

// SetAttributes changes what differs.
func (l LocalFiles) SetAttributes(name string, a Attributes) error { return l.own(l.in(name), a) }

// mkdirAll makes a directory, and those above it that are missing, for all to read.
func (l LocalFiles) mkdirAll(dir string) error {
	fi, err := l.tree.Lstat(l.in(dir))
	switch {
	case err == nil && fi.Mode()&fs.ModeSymlink != 0:
		_, err := l.List(dir) // it has to lead to a directory
		return err
	case err == nil && !fi.IsDir():
		return fmt.Errorf("%s is not a directory; move it away if nobody needs it", dir)
	case err == nil:
		return nil
	case !errors.Is(notThere(err), fs.ErrNotExist):
		return err
	}
	return l.Mkdir(dir, Attributes{Mode: 0o755})
}

// Mkdir makes a directory. If it is there, it gets the attributes.
func (l LocalFiles) Mkdir(name string, a Attributes) error {
	if name := path.Clean(name); name != "/" {
		if err := l.mkdirAll(path.Dir(name)); err != nil {
			return err
		}
	}
	switch err := l.tree.Mkdir(l.in(name), 0o700); {
	case err == nil:
		if err := l.own(l.in(name), a); err != nil {
			return err
		}
		return l.sync(path.Dir(name))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if fi, err := l.tree.Lstat(l.in(name)); err != nil {
		return err
	} else if !fi.IsDir() {
		return fmt.Errorf("%s is a %s; move it away if nobody needs it", name, typeName(fi.Mode().Type()))
	}
	return l.own(l.in(name), a)
}

// Link makes a link beside, and renames it.
func (l LocalFiles) Link(target, name string) error {
	if err := l.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	temp := l.in(beside(name))
	if err := l.tree.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.tree.Symlink(target, temp); err != nil {
		return err
	}
	if err := l.tree.Rename(temp, l.in(name)); err != nil {
		_ = l.tree.Remove(temp)
		return err
	}
	return l.sync(path.Dir(name))
}

// Remove removes a file, a link or an empty directory.
func (l LocalFiles) Remove(name string) error {
	err := l.tree.Remove(l.in(name))
	if errors.Is(notThere(err), fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.sync(path.Dir(name))
}

// RemoveAll removes all below a path, too. It never goes into other file systems: what is mounted there may be other people's data. Of a path that is a
// mount point itself it leaves the empty directory.
func (l LocalFiles) RemoveAll(name string) error {
	if l.whole {
		if done, err := l.clearMounted(name); done || err != nil {
			return err
		}
	}
	if err := l.tree.RemoveAll(l.in(name)); err != nil {
		return err
	}
	if err := l.sync(path.Dir(name)); !errors.Is(notThere(err), fs.ErrNotExist) {
		return err
	}
	return nil
}

// clearMounted refuses if something is mounted below a path, and clears a path that is a mount point itself.
func (l LocalFiles) clearMounted(name string) (done bool, err error) {
	above, err := filepath.EvalSymlinks(path.Dir(path.Clean(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	itself, err := l.mountedBelow(path.Join(above, path.Base(name)))
	if !itself || err != nil {
		return false, err
	}
	return true, l.empty(name)
}

// mountedBelow refuses if something is mounted below a path without links, and says whether it is a mount point itself.
func (l LocalFiles) mountedBelow(name string) (itself bool, err error) {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(name))
	if err != nil {
		return false, fmt.Errorf("looking for mounts below %s: %w", name, err)
	}
	for _, m := range mounts {
		if m.Mountpoint != name {
			return false, fmt.Errorf("%s is not removed, since something is mounted at %s; unmount that", name, m.Mountpoint)
		}
		itself = true
	}
	return itself, nil
}

// Clear removes all that a directory holds but lost+found, and nothing if anything is mounted below it.
func (l LocalFiles) Clear(name string) error {
	if l.whole {
		real, err := filepath.EvalSymlinks(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := l.mountedBelow(real); err != nil {
			return err
		}
	}
	return l.empty(name)
}

func (l LocalFiles) empty(name string) error {
	holds, err := l.List(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, h := range holds {
		if h == lostAndFound {
			continue
		}
		if err := l.tree.RemoveAll(l.in(path.Join(name, h))); err != nil {
			return err
		}
	}
	return l.sync(name)
}

// List names what a directory holds.
func (l LocalFiles) List(name string) ([]string, error) {
	d, err := l.tree.OpenFile(l.in(name), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// Move renames, and never over something that is there.
func (l LocalFiles) Move(from, to string) error {
	if _, err := l.tree.Lstat(l.in(to)); err == nil {
		return &fs.PathError{Op: "move", Path: to, Err: fs.ErrExist}
	} else if !errors.Is(notThere(err), fs.ErrNotExist) {
		return err
	}
	if err := l.tree.Rename(l.in(from), l.in(to)); err != nil {
		return err
	}
	if path.Dir(from) != path.Dir(to) {
		if err := l.sync(path.Dir(from)); err != nil {
			return err
		}
	}
	return l.sync(path.Dir(to))
}

// Free asks the file system that a path is on, or will be.
func (l LocalFiles) Free(name string) (uint64, error) {
	for dir := path.Clean(name); ; dir = path.Dir(dir) {
		f, err := l.tree.OpenFile(l.in(dir), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if errors.Is(notThere(err), fs.ErrNotExist) && dir != "/" {
			continue
		}
		if err != nil {
			return 0, err
		}
		var st unix.Statfs_t
		err = unix.Fstatfs(int(f.Fd()), &st)
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, fmt.Errorf("asking for the room below %s: %w", name, err)
		}
		return st.Bavail * uint64(st.Bsize), nil
	}
}
