package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile is on a file system that a restart empties. Who holds the lock stands in it; that it is held is flock(2)'s to say, so nothing can be left
// locked.
const lockFile = "/run/kubewright/lock"

// FileLock is the lock of the machine that this process runs on.
type FileLock struct {
	// Path of its file; lockFile if empty.
	Path string
}

// TryLock takes it, or says who has it.
func (l FileLock) TryLock(h Holder) (release func(), busy *Holder, err error) {
	path := l.Path
	if path == "" {
		path = lockFile
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		busy = &Holder{Who: "somebody", From: "an unknown computer", Since: time.Now(), Doing: "has just begun"}
		b, readErr := io.ReadAll(f)
		// The holder may be about to write who it is.
		_ = json.Unmarshal(b, busy)
		return nil, busy, errors.Join(readErr, f.Close())
	}
	if err == nil && !same(f, path) {
		// A reset took the file away while it was waited for: another one is the lock now.
		if err := f.Close(); err != nil {
			return nil, nil, err
		}
		return l.TryLock(h)
	}
	if err == nil {
		err = write(f, h)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, errors.Join(err, f.Close()))
	}
	return func() { _ = f.Close() }, nil, nil
}

// same says whether a path still leads to an open file.
func same(f *os.File, path string) bool {
	is, err := f.Stat()
	there, errThere := os.Stat(path)
	return err == nil && errThere == nil && os.SameFile(is, there)
}

func write(f *os.File, h Holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return err
}
