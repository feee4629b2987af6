package bundle

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/docker/go-units"
)

// Place is a directory that a command writes to, and how to have it elsewhere.
type Place struct{ What, Dir, Elsewhere string }

// ExplainRoom adds to an error about a full disk how much room each place has and what to do. Other errors it returns as they are.
func ExplainRoom(err error, needs string, places ...Place) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	var said strings.Builder
	for _, p := range places {
		if free, ok := freeBytes(p.Dir); ok {
			fmt.Fprintf(&said, "\n  %s (%s): %s free; elsewhere with %s", p.What, p.Dir, units.BytesSize(float64(free)), p.Elsewhere)
		}
	}
	return fmt.Errorf("no room: %w\n%s%s\nMake room and run it again: it goes on from there. \"kubewright bundle prune\" may help", err, needs, said.String())
}

// freeBytes is the room on the file system of a directory or, if it does not exist, of what is above it.
func freeBytes(dir string) (uint64, bool) {
	for {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err == nil {
			return st.Bavail * uint64(st.Bsize), true
		}
		if dir == filepath.Dir(dir) {
			return 0, false
		}
		dir = filepath.Dir(dir)
	}
}
