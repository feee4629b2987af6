package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Directory is a directory that exists. A link that leads to one will do, too: people put large ones elsewhere; then mode and owner are theirs.
type Directory struct {
	Path string `json:"path"`
	// Mode is its permissions; 0755 if 0.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Owner and Group by name; root if empty.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
	// Purge says that undoing it takes away all that it holds by then, if there was nothing in it, or no directory. Otherwise what it holds stays, and
	// it goes only if it is empty.
	Purge bool `json:"purge,omitempty"`
}

// ID is its path.
func (d Directory) ID() ID { return ID{"directory", d.Path} }

func (d Directory) mode() fs.FileMode { return cmp.Or(d.Mode, 0o755) }

// wasEmpty is the value that says that a directory that is there holds nothing. It is looked for where that counts.
const wasEmpty = "empty"

// Observe looks at the directory itself. Of one that is absent it finds the first one above that is missing, too, since that goes with it.
func (d Directory) Observe(_ context.Context, env *Env) (Observed, error) {
	i, err := env.Files.Stat(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		first, err := firstMissing(env, d.Path)
		return Observed{State: Absent, Values: map[string]string{"missing": first}}, err
	}
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{"type": typeName(i.Type), "mode": modeName(i.Mode), "owner": i.Owner + ":" + i.Group}}
	switch {
	case i.Type&fs.ModeDir != 0:
		if !d.Purge {
			break
		}
		holds, err := env.Files.List(d.Path)
		if err != nil {
			return Observed{}, err
		}
		if holdsNothing(holds) {
			o.Values[wasEmpty] = "yes"
		}
	case i.Type&fs.ModeSymlink != 0:
		o.Values["target"] = i.Link
		holds, err := env.Files.List(d.Path)
		switch {
		case err == nil && d.Purge && holdsNothing(holds):
			o.Values[wasEmpty] = "yes"
		case err != nil:
			o.Blocked = fmt.Sprintf("%s is a link to %s, where there is no directory; make one there, or remove the link", d.Path, i.Link)
		}
	default:
		o.Blocked = fmt.Sprintf("%s is a %s; move it away if nobody needs it", d.Path, typeName(i.Type))
	}
	return o, nil
}

// lostAndFound is what ext4 has in the root of each file system; it belongs to that.
const lostAndFound = "lost+found"

func holdsNothing(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return name != lostAndFound })
}

// firstMissing is the topmost directory that is missing on the way to a path that is missing.
func firstMissing(env *Env, missing string) (string, error) {
	for above := path.Dir(missing); above != "/"; above = path.Dir(above) {
		switch _, err := env.Files.Stat(above); {
		case err == nil:
			return missing, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		missing = above
	}
	return missing, nil
}

// Diff compares type, mode and owner.
func (d Directory) Diff(o Observed) []Change {
	if o.State == Absent {
		return []Change{{What: "present", Old: "absent", New: "present"}}
	}
	if o.Value("type") != "directory" {
		return nil // a link to one, or it is blocked
	}
	var changes []Change
	if want := modeName(d.mode()); o.Value("mode") != want {
		changes = append(changes, Change{What: "mode", Old: o.Value("mode"), New: want})
	}
	if want := cmp.Or(d.Owner, "root") + ":" + cmp.Or(d.Group, "root"); o.Value("owner") != want {
		changes = append(changes, Change{What: "owner", Old: o.Value("owner"), New: want})
	}
	return changes
}

// Apply makes it, or gives it its mode and owner.
func (d Directory) Apply(ctx context.Context, env *Env) error {
	o, err := d.Observe(ctx, env)
	if err != nil {
		return err
	}
	a := Attributes{d.mode(), d.Owner, d.Group}
	switch {
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case o.State == Absent:
		return env.Files.Mkdir(d.Path, a)
	case o.Value("type") == "directory":
		return env.Files.SetAttributes(d.Path, a)
	}
	return nil
}

// Undo takes it away if it was not there, or puts its mode and owner back, and empties it if it was empty and nothing in it is anybody else's.
func (d Directory) Undo(ctx context.Context, env *Env, previous Observed) error {
	if previous.State == Absent {
		if d.Purge {
			if err := env.Files.RemoveAll(d.Path); err != nil {
				return err
			}
		}
		return removeEmpty(env, d.Path, cmp.Or(previous.Value("missing"), d.Path))
	}
	if err := d.Empty(ctx, env, previous); err != nil {
		return err
	}
	if previous.Value("type") != "directory" {
		return nil
	}
	mode, err := strconv.ParseUint(previous.Value("mode"), 8, 32)
	if err != nil {
		return fmt.Errorf("what is remembered of %s has the mode %q", d.Path, previous.Value("mode"))
	}
	owner, group, _ := strings.Cut(previous.Value("owner"), ":")
	err = env.Files.SetAttributes(d.Path, Attributes{fs.FileMode(mode), owner, group})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody removed it meanwhile
	}
	return err
}

// Empty takes away what it holds, if it was there and held nothing.
func (d Directory) Empty(_ context.Context, env *Env, previous Observed) error {
	if !d.Purge || previous.Value(wasEmpty) == "" {
		return nil
	}
	return env.Files.Clear(d.Path)
}

// removeEmpty removes a directory and those above it up to top, as far as they are empty.
func removeEmpty(env *Env, dir, top string) error {
	for ; ; dir = path.Dir(dir) {
		holds, err := env.Files.List(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case len(holds) > 0:
			return nil
		default:
			if err := env.Files.Remove(dir); err != nil {
				return err
			}
		}
		if dir == top || dir == "/" {
			return nil
		}
	}
}
