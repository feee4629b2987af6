package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Link is a symbolic link.
type Link struct {
	Path string `json:"path"`
	// Target is where it points; relative ones start at the directory of Path.
	Target string `json:"target"`
	// MustExist says that the machine has to have the target already: a time zone.
	MustExist bool `json:"mustExist,omitempty"`
}

// ID is its path.
func (l Link) ID() ID { return ID{"link", l.Path} }

// Keeps is the file that it may replace.
func (l Link) Keeps() []string { return []string{l.Path} }

// Observe looks where it points.
func (l Link) Observe(ctx context.Context, env *Env) (Observed, error) {
	// What is replaced has to be remembered as a file is; its text is nobody's concern.
	o, err := File{Path: l.Path, Secret: true}.Observe(ctx, env)
	if err != nil {
		return Observed{}, err
	}
	if o.Value("type") == "directory" {
		o.Blocked = fmt.Sprintf("%s is a directory; move it away if nobody needs it", l.Path)
	}
	if l.MustExist {
		switch _, err := env.Files.Stat(l.leadsTo(l.Target)); {
		case errors.Is(err, fs.ErrNotExist):
			o.Blocked = fmt.Sprintf("%s does not exist on this machine; correct the name, or install the package that brings it", l.Target)
		case err != nil:
			return Observed{}, err
		}
	}
	return o, nil
}

// leadsTo is the absolute path of a target.
func (l Link) leadsTo(target string) string {
	if path.IsAbs(target) {
		return path.Clean(target)
	}
	return path.Join(path.Dir(l.Path), target)
}

// Diff compares where it leads; how that is written does not matter.
func (l Link) Diff(o Observed) []Change {
	switch {
	case o.State == Absent:
		return []Change{{What: "target", New: l.Target}}
	case o.Value("type") != "link":
		return []Change{{What: "type", Old: o.Value("type"), New: "link to " + l.Target}}
	case l.leadsTo(o.Value("target")) != l.leadsTo(l.Target):
		return []Change{{What: "target", Old: o.Value("target"), New: l.Target}}
	}
	return nil
}

// Apply points it there.
func (l Link) Apply(ctx context.Context, env *Env) error {
	o, err := l.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(l.Diff(o)) == 0:
		return nil
	}
	return env.Files.Link(l.Target, l.Path)
}

// Undo puts back what was there.
func (l Link) Undo(_ context.Context, env *Env, previous Observed) error {
	return undoFile(env, l.Path, previous)
}
