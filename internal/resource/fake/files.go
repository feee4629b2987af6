package fake

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kubewright/kubewright/internal/resource"
)

type kind int

const (
	file kind = iota
	directory
	link
)

func (k kind) String() string { return [...]string{"file", "directory", "link"}[k] }

// node is what a path leads to. Nodes are replaced, not changed, so that who reads one has all of it.
type node struct {
	kind       kind
	attributes resource.Attributes
	content    []byte
	holds      *content // what content is of, if it is shared
	link       string
	inode      uint64
	written    time.Time // content
	changed    time.Time // content or attributes
}

// node gives a new node its number and times.
func (m *Machine) node(n node) *node {
	m.inodes++
	n.inode = m.inodes
	n.written = m.now()
	n.changed = n.written
	return &n
}

// maxLinks is how many links a path may lead through, as on Linux.
const maxLinks = 40

// resolve is the path without links in it, but for the last one if that is not followed.
func (m *Machine) resolve(name string, follow bool) (string, error) {
	name = path.Clean("/" + name)
	for range maxLinks {
		through, rest, found := m.firstLink(name, follow)
		if !found {
			return name, nil
		}
		target := m.nodes[through].link
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(through), target)
		}
		name = path.Join(target, rest)
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
}

// firstLink is the first link on a path, and what comes after it.
func (m *Machine) firstLink(name string, follow bool) (through, rest string, found bool) {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' || i == len(name) && !follow {
			continue
		}
		if n := m.nodes[name[:i]]; n != nil && n.kind == link {
			return name[:i], name[i:], true
		}
	}
	return "", "", false
}

func (m *Machine) find(name string, follow bool) (*node, error) {
	p, err := m.resolve(name, follow)
	if err != nil {
		return nil, err
	}
	n := m.nodes[p]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	}
	return n, nil
}

// makeParents makes the directories above a path that are missing, and gives the path without links in it.
func (m *Machine) makeParents(name string) (string, error) {
	p, err := m.resolve(name, false)
	if err != nil {
		return "", err
	}
	var missing []string
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		n := m.nodes[dir]
		if n != nil && n.kind != directory {
			return "", fmt.Errorf("%s is not a directory; move it away if nobody needs it", dir)
		}
		if n != nil {
			break
		}
		missing = append(missing, dir)
	}
	for _, dir := range missing {
		m.nodes[dir] = m.node(node{kind: directory, attributes: resource.Attributes{Mode: 0o755, Owner: "root", Group: "root"}})
	}
	return p, nil
}

func complete(a resource.Attributes) resource.Attributes {
	a.Mode = a.Mode.Perm()
	if a.Owner == "" {
		a.Owner = "root"
	}
	if a.Group == "" {
		a.Group = "root"
	}
	return a
}

// files are the machine's.
type files struct{ m *Machine }

func (f files) Stat(name string) (resource.Info, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	n, err := f.m.find(name, false)
	if err != nil {
		return resource.Info{}, err
	}
	i := resource.Info{Mode: n.attributes.Mode, Owner: n.attributes.Owner, Group: n.attributes.Group, ModTime: n.written, Changed: n.changed, Inode: n.inode}
	switch n.kind {
	case directory:
		i.Type = fs.ModeDir
	case link:
		i.Type, i.Link = fs.ModeSymlink, n.link
	default:
		i.Size = int64(len(n.content))
	}
	return i, nil
}

func (f files) Open(name string) (io.ReadCloser, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	n, err := f.m.find(name, true)
	if err != nil {
		return nil, err
	}
	if n.kind == directory {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EISDIR}
	}
	return io.NopCloser(bytes.NewReader(n.content)), nil
}

func (f files) Write(name string, a resource.Attributes, content io.Reader) error {
	if err := f.m.before("write %s", name); err != nil {
		return err
	}
	// Content may come from far; meanwhile others go on.
	b, err := io.ReadAll(content)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	shared := f.m.contents.intern(b)
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if uint64(len(b)) > f.m.free {
		return fmt.Errorf("writing %s: %w", name, syscall.ENOSPC)
	}
	p, err := f.m.makeParents(name)
	if err != nil {
		return err
	}
	if n := f.m.nodes[p]; n != nil && n.kind == directory {
		return &fs.PathError{Op: "rename", Path: name, Err: syscall.EISDIR}
	}
	f.m.nodes[p] = f.m.node(node{content: shared.bytes, holds: shared, attributes: complete(a)})
	return nil
}

func (f files) SetAttributes(name string, a resource.Attributes) error {
	if err := f.m.before("attributes %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.resolve(name, false)
	if err != nil {
		return err
	}
	n := f.m.nodes[p]
	if n == nil {
		return &fs.PathError{Op: "chmod", Path: name, Err: syscall.ENOENT}
	}
	changed := *n
	changed.attributes = complete(a)
	if changed.attributes != n.attributes {
		changed.changed = f.m.now()
	}
	f.m.nodes[p] = &changed
	return nil
}

func (f files) Mkdir(name string, a resource.Attributes) error {
	if err := f.m.before("mkdir %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.makeParents(name)
	if err != nil {
		return err
	}
	n := f.m.nodes[p]
	if n == nil {
		n = f.m.node(node{kind: directory})
	}
	if n.kind != directory {
		return fmt.Errorf("%s is a %s; move it away if nobody needs it", name, n.kind)
	}
	changed := *n
	changed.attributes = complete(a)
	f.m.nodes[p] = &changed
	return nil
}

func (f files) Link(target, name string) error {
	if err := f.m.before("link %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.makeParents(name)
	if err != nil {
		return err
	}
	if n := f.m.nodes[p]; n != nil && n.kind == directory {
		return &fs.PathError{Op: "rename", Path: name, Err: syscall.EEXIST}
	}
	f.m.nodes[p] = f.m.node(node{kind: link, link: target, attributes: resource.Attributes{Mode: 0o777, Owner: "root", Group: "root"}})
	return nil
}

func (f files) Remove(name string) error {
	if err := f.m.before("remove %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.resolve(name, false)
	if err != nil {
		return err
	}
	if len(f.m.below(p)) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	delete(f.m.nodes, p)
	return nil
}

func (f files) Move(from, to string) error {
	if err := f.m.before("move %s", from); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	was, err := f.m.resolve(from, false)
	if err != nil {
		return err
	}
	is, err := f.m.resolve(to, false)
	if err != nil {
		return err
	}
	if f.m.nodes[was] == nil {
		return &fs.PathError{Op: "move", Path: from, Err: fs.ErrNotExist}
	}
	if f.m.nodes[is] != nil {
		return &fs.PathError{Op: "move", Path: to, Err: fs.ErrExist}
	}
	for _, p := range f.m.below(was) {
		f.m.nodes[is+strings.TrimPrefix(p, was)] = f.m.nodes[p]
		delete(f.m.nodes, p)
	}
	f.m.nodes[is] = f.m.nodes[was]
	delete(f.m.nodes, was)
	return nil
}

// below are the paths within a directory, at any depth.
func (m *Machine) below(dir string) []string {
	var found []string
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for p := range m.nodes {
		if p != dir && strings.HasPrefix(p, prefix) {
			found = append(found, p)
		}
	}
	return found
}

func (f files) RemoveAll(name string) error {
	if err := f.m.before("remove all %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.resolve(name, false)
	if err != nil {
		return err
	}
	for _, b := range f.m.below(p) {
		delete(f.m.nodes, b)
	}
	delete(f.m.nodes, p)
	return nil
}

func (f files) Clear(name string) error {
	if err := f.m.before("clear %s", name); err != nil {
		return err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.resolve(name, true)
	if err != nil {
		return err
	}
	for _, b := range f.m.below(p) {
		if rest := strings.TrimPrefix(b, p+"/"); rest != "lost+found" && !strings.HasPrefix(rest, "lost+found/") {
			delete(f.m.nodes, b)
		}
	}
	return nil
}

func (f files) List(name string) ([]string, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	p, err := f.m.resolve(name, true)
	if err != nil {
		return nil, err
	}
	n := f.m.nodes[p]
	switch {
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOENT}
	case n.kind != directory:
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	names := []string{}
	for _, b := range f.m.below(p) {
		if path.Dir(b) == p {
			names = append(names, path.Base(b))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (f files) Free(string) (uint64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.free, nil
}
