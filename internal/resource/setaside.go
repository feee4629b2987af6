package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// SetAside is that a directory is not where it was: it lies beside, under a name that ends with when that was done, and is never deleted. It is for data that must not be used any
// more, and that somebody may still want.
type SetAside struct {
	Path string `json:"path"`
	// Unless is a directory in it: while that holds something, all stays where it is.
	Unless string `json:"unless,omitempty"`
}

// aside is between the name that a directory had and the time.
const aside = ".aside-"

// ID is the path.
func (d SetAside) ID() ID { return ID{"set-aside", d.Path} }

// Passing says that the machine does not remember it: it is not put back.
func (d SetAside) Passing() {}

// Observe finds whether something is "there" that has to go. It is Present whatever it finds.
func (d SetAside) Observe(_ context.Context, env *Env) (Observed, error) {
	there, err := d.there(env)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present}
	if there {
		o.Values = map[string]string{"there": "yes"}
	}
	return o, nil
}

func (d SetAside) there(env *Env) (bool, error) {
	holds, err := holdsSomething(env, d.Path)
	if err != nil || !holds || d.Unless == "" {
		return holds, err
	}
	used, err := holdsSomething(env, path.Join(d.Path, d.Unless))
	return !used, err
}

func holdsSomething(env *Env, dir string) (bool, error) {
	names, err := env.Files.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("listing %s: %w", dir, err)
	}
	return len(names) > 0, nil
}

// Diff says where it goes.
func (d SetAside) Diff(o Observed) []Change {
	if o.Value("there") == "" {
		return nil
	}
	return []Change{{What: "data", Old: d.Path, New: d.Path + aside + "TIME", Why: "it must not be used any more, and is kept"}}
}

// Apply gives it another name.
func (d SetAside) Apply(_ context.Context, env *Env) error {
	there, err := d.there(env)
	if err != nil || !there {
		return err
	}
	to := strings.TrimSuffix(d.Path, "/") + aside + env.Kernel.Now().UTC().Format("20060102-150405")
	if err := env.Files.Move(d.Path, to); err != nil {
		return fmt.Errorf("setting %s aside as %s: %w", d.Path, to, err)
	}
	return nil
}

// Undo leaves it.
func (d SetAside) Undo(context.Context, *Env, Observed) error { return nil }
