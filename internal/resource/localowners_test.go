package resource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// countedTree counts how often each file is opened.
type countedTree struct {
	tree
	mu     sync.Mutex
	opened map[string]int
}

func (c *countedTree) OpenFile(name string, flag int, mode fs.FileMode) (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[name]++
	return c.tree.OpenFile(name, flag, mode)
}

// Owners are read once, by whoever asks first, and again when the file has changed in any way that files change.
func TestLocalOwnersAreReadOnce(t *testing.T) {
	root := t.TempDir()
	passwd := filepath.Join(root, "etc/passwd")
	me := strconv.Itoa(os.Getuid())
	then := time.Now().Add(-time.Hour)
	write := func(file, text string, at time.Time) {
		t.Helper()
		// The kernel's clock of files may stand still for 10 ms, in which people write no two versions of it.
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o644), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(passwd, "anna:x:"+me+":\n", then)
	l, err := newLocalFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedTree{tree: l.tree, opened: map[string]int{}}
	l.tree = counted
	defer func() { _ = l.tree.Close() }()
	is := func(what, owner string, opened int) {
		t.Helper()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if i, err := l.Stat("/etc"); err != nil || i.Owner != owner {
					t.Errorf("%s: the owner is %s, %v; want %s", what, i.Owner, err, owner)
				}
				if id, err := l.numberOf("/etc/passwd", owner); err != nil || strconv.Itoa(id) != me {
					t.Errorf("%s: the number of %s is %d, %v", what, owner, id, err)
				}
			})
		}
		all.Wait()
		if got := counted.opened["etc/passwd"]; got != opened {
			t.Errorf("%s: it was opened %d times, want %d", what, got, opened)
		}
	}
	is("at first", "anna", 1)
	write(passwd, "anne:x:"+me+":\n", then.Add(time.Second))
	is("of another time", "anne", 2)
	write(passwd+"-", "otto:x:"+me+":\n", then.Add(time.Second))
	if err := os.Rename(passwd+"-", passwd); err != nil {
		t.Fatal(err)
	}
	is("another file", "otto", 3)
	write(passwd, "ottilie:x:"+me+":\n", then.Add(time.Second))
	is("of another size", "ottilie", 4)
	// What a link leads to may change without the link.
	if err := os.Rename(passwd, passwd+".real"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("passwd.real", passwd); err != nil {
		t.Fatal(err)
	}
	is("a link", "ottilie", 10)
	if err := os.Remove(passwd); err != nil {
		t.Fatal(err)
	}
	if id, err := l.numberOf("/etc/passwd", "ottilie"); err == nil {
		t.Errorf("after it has gone, ottilie is %d", id)
	}
	if id, err := l.numberOf("/etc/passwd", "root"); err != nil || id != 0 {
		t.Errorf("after it has gone, root is %d, %v", id, err)
	}
}

func TestParseOwners(t *testing.T) {
	got := parseOwners("root:x:0:0:root:/root:/bin/sh\n\nbroken\n+::::\nshort:x:7\nmuch:x:4294967296:\nroot:x:5:\nlast:x:8:a,b")
	want := []localOwner{{"root", 0}, {"short", 7}, {"root", 5}, {"last", 8}}
	if !slices.Equal(got, want) {
		t.Errorf("it is %v, want %v", got, want)
	}
}
