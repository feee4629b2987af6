package resource

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// localOwners are the users and groups that passwd(5) and group(5) named when they were last read. Each look at a file asks for one of either, so they are
// kept. It is safe for use by several goroutines.
type localOwners struct {
	mu   sync.Mutex
	read map[string]ownersRead // by path
}

// ownersRead is what was read of one of the files.
type ownersRead struct {
	file   fileState
	owners []localOwner
}

// localOwner is a user or a group.
type localOwner struct {
	name string
	id   uint32
}

// fileState is what is another if a file has changed.
type fileState struct {
	device, inode uint64
	size          int64
	mtime, ctime  syscall.Timespec
}

// stateOf is known of real files.
func stateOf(fi fs.FileInfo) (s fileState, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}, false
	}
	return fileState{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}, true
}

// named are the entries of passwd(5) or group(5), in order. The machine's libraries may know others from the network; those have to be given by number.
func (l LocalFiles) named(file string) ([]localOwner, error) {
	l.owners.mu.Lock()
	defer l.owners.mu.Unlock()
	// Where the path is a link, this is the state of the link, which is never that of what was read; so that is read each time.
	if fi, err := l.tree.Lstat(l.in(file)); err == nil {
		read, there := l.owners.read[file]
		if now, ok := stateOf(fi); ok && there && now == read.file {
			return read.owners, nil
		}
	}
	f, err := l.tree.OpenFile(l.in(file), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return []localOwner{{"root", 0}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	// The state comes first: of what changes while it is read, it is an old one, and the next look finds another.
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	owners := parseOwners(string(b))
	if state, ok := stateOf(fi); ok {
		if l.owners.read == nil {
			l.owners.read = map[string]ownersRead{}
		}
		l.owners.read[file] = ownersRead{state, owners}
	}
	return owners, nil
}

// parseOwners reads passwd(5) or group(5). Lines that are none of theirs are passed over.
func parseOwners(text string) []localOwner {
	var owners []localOwner
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimRight(line, "\r\n"), ":", 4)
		if len(fields) < 3 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			owners = append(owners, localOwner{fields[0], uint32(id)})
		}
	}
	return owners
}

// nameOf is the name of a number, or the number where it has none.
func (l LocalFiles) nameOf(file string, id uint32) (string, error) {
	owners, err := l.named(file)
	for _, o := range owners {
		if o.id == id {
			return o.name, nil
		}
	}
	return strconv.FormatUint(uint64(id), 10), err
}

// numberOf is the number of a name, or of root.
func (l LocalFiles) numberOf(file, name string) (int, error) {
	name = cmp.Or(name, "root")
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	owners, err := l.named(file)
	for _, o := range owners {
		if o.name == name {
			return int(o.id), nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%s has no %s; create it, or give a number", file, name)
	}
	return -1, err
}
