package measure

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Room is what a file system has.
type Room struct {
	// Dir was asked for.
	Dir string `json:"dir"`
	// Size and Free in bytes; Free is what others than root may use.
	Size uint64 `json:"size"`
	Free uint64 `json:"free"`
	// Files are how many it can hold, 0 if it has no such limit, and FreeFiles how many more.
	Files     uint64 `json:"files,omitempty"`
	FreeFiles uint64 `json:"freeFiles,omitempty"`
	// ReadOnly says that nothing can be written to it.
	ReadOnly bool `json:"readOnly,omitempty"`
}

// Rooms are those of directories that are there, each file system once, under the first directory that is on it.
func Rooms(dirs ...string) ([]Room, error) {
	var list []Room
	seen := map[uint64]bool{}
	for _, dir := range dirs {
		var s unix.Statfs_t
		var on unix.Stat_t
		if err := unix.Stat(dir, &on); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return list, fmt.Errorf("looking at %s: %w", dir, err)
		}
		if seen[on.Dev] {
			continue
		}
		seen[on.Dev] = true
		if err := unix.Statfs(dir, &s); err != nil {
			return list, fmt.Errorf("looking at the file system of %s: %w", dir, err)
		}
		list = append(list, Room{
			Dir: dir, Size: s.Blocks * uint64(s.Bsize), Free: s.Bavail * uint64(s.Bsize), Files: s.Files, FreeFiles: s.Ffree, ReadOnly: s.Flags&unix.ST_RDONLY != 0,
		})
	}
	return list, nil
}
