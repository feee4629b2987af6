package measure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Syncs is how long a disk takes to have written what was written to it (fdatasync).
type Syncs struct {
	// Dir is where it was measured: the directory that was asked for, or the first above it that is there.
	Dir string `json:"dir"`
	// Count is how many writes there were.
	Count int `json:"count"`
	// Half of the writes took no longer than P50, 99 % no longer than P99, and none longer than Most.
	P50  time.Duration `json:"p50"`
	P99  time.Duration `json:"p99"`
	Most time.Duration `json:"most"`
}

// As etcd's log writes, and as its documentation has fio measure a disk for it ("How to benchmark disk performance with fio", op-guide of v3.6: --bs=2300 --size=22m
// --fdatasync=1).
const (
	syncedSize = 2300
	mostSynced = 22 << 20
)

// Sync writes to a file on the disk of a directory, and syncs each write, for as long as it is told, or until it has written 22 MiB. The file has no name, so nothing of it
// stays, whatever happens.
func Sync(ctx context.Context, dir string, limit time.Duration) (Syncs, error) {
	for {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return Syncs{}, err
		}
		dir = filepath.Dir(dir)
	}
	s := Syncs{Dir: dir}
	f, err := unnamed(dir)
	if err != nil {
		return s, err
	}
	defer func() { _ = f.Close() }()
	piece := make([]byte, syncedSize)
	for i := range piece {
		piece[i] = byte(i * 7) // not what a disk can leave out
	}
	var took []time.Duration
	for end := time.Now().Add(limit); time.Now().Before(end) && len(took)*syncedSize < mostSynced; {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		if _, err := f.Write(piece); err != nil {
			return s, fmt.Errorf("writing in %s: %w", dir, err)
		}
		start := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return s, fmt.Errorf("syncing a file in %s: %w", dir, err)
		}
		took = append(took, time.Since(start))
	}
	return distribute(s, took), nil
}

// unnamed is a file in a directory that has no name, or none any more.
func unnamed(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	f, err := os.CreateTemp(dir, ".kubewright-sync-") // some file systems have no other
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func distribute(s Syncs, took []time.Duration) Syncs {
	if s.Count = len(took); s.Count == 0 {
		return s
	}
	slices.Sort(took)
	s.P50, s.P99, s.Most = took[(s.Count-1)/2], took[(s.Count-1)*99/100], took[s.Count-1]
	return s
}
