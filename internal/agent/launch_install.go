package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Install puts the program of this process, an agent that was uploaded, into a directory (Home) under its digest, so that the next run finds it, and
// removes the programs of other versions there. It runs beside the agent's work and must not be in its way: where the directory's
// file system does not run programs, or somebody else installs there, nothing is done.
func Install(ctx context.Context, home string) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("keeping the agent for the next run: %w", err)
	}
	if err := install(ctx, program, "/proc/self/exe", home); err != nil {
		return fmt.Errorf("keeping the agent for the next run: %w", err)
	}
	return nil
}

// install installs the content of a file as the program that was started from a path.
func install(ctx context.Context, program, content, home string) error {
	// Others than root have to see that the program is there, whoever made these directories.
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(home, &fs); err != nil {
		return err
	}
	if fs.Flags&unix.ST_NOEXEC != 0 {
		return nil
	}
	dir, err := os.Open(home)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	} else if err != nil {
		return err
	}
	name := filepath.Base(program)
	if filepath.Dir(program) != home {
		if name, err = keep(ctx, content, dir); err != nil {
			return err
		}
		// Only the directory that was made for the upload, and only if nothing else is in it.
		if up := filepath.Dir(program); strings.HasPrefix(filepath.Base(up), scratch) {
			if err := errors.Join(os.Remove(program), os.Remove(up)); err != nil {
				return err
			}
		}
	}
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != name {
			if err := os.RemoveAll(filepath.Join(home, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// unfinished begins the names of programs that are being written. The next one to install removes them.
const unfinished = ".new-"

// keep copies a program into a directory, under its digest, and returns that. It is a copy, whoever has the file that was uploaded still open can't
// change it.
func keep(ctx context.Context, content string, dir *os.File) (digest string, err error) {
	from, err := os.Open(content)
	if err != nil {
		return "", err
	}
	defer func() { _ = from.Close() }()
	to, err := os.CreateTemp(dir.Name(), unfinished)
	if err != nil {
		return "", err
	}
	defer func() {
		_ = to.Close()
		if err != nil {
			_ = os.Remove(to.Name())
		}
	}()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, hash), reading{ctx, from}); err != nil {
		return "", err
	}
	digest = hex.EncodeToString(hash.Sum(nil))
	if err := errors.Join(to.Chmod(0o755), to.Sync(), to.Close(), os.Rename(to.Name(), filepath.Join(dir.Name(), digest)), dir.Sync()); err != nil {
		return "", err
	}
	return digest, nil
}

// reading is a reader that ends with a context.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}
