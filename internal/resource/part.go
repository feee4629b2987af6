package resource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// part is one of the files of a resource that has several, such as a key; owned by root. What is observed of it bears its name: "key.mode".
type part struct {
	name string
	path string
	mode fs.FileMode
}

// partFields are what is remembered of a part, as a File observes it.
var partFields = [...]string{"type", "mode", "owner", "digest", "target"}

// observe adds to what was observed, and gives the content; none if there is no file, or none behind a link. A directory in its place blocks.
func (p part) observe(ctx context.Context, env *Env, o *Observed) ([]byte, error) {
	f, err := File{Path: p.path, Secret: true}.Observe(ctx, env)
	if err != nil || f.State == Absent {
		return nil, err
	}
	o.State = Present
	if o.Values == nil {
		o.Values = map[string]string{}
	}
	for _, field := range partFields {
		if v := f.Value(field); v != "" {
			o.Values[p.name+"."+field] = v
		}
	}
	if t := f.Value("type"); t != "file" && t != "link" {
		o.Blocked = fmt.Sprintf("%s is a %s; move it away if nobody needs it", p.path, t)
		return nil, nil
	}
	return readIfThere(env, p.path)
}

// readIfThere is the content of a file of a few KB; none if it is not there.
func readIfThere(env *Env, path string) ([]byte, error) {
	r, err := env.Files.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, maxEdited))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return content, nil
}

// was is what was observed of the part alone.
func (p part) was(o Observed) Observed {
	if o.Value(p.name+".type") == "" {
		return Observed{State: Absent}
	}
	was := Observed{State: Present, Values: map[string]string{}}
	for _, field := range partFields {
		was.Values[field] = o.Value(p.name + "." + field)
	}
	return was
}

// changes compares type, mode and owner of a part that is there.
func (p part) changes(o Observed) []Change {
	was := p.was(o)
	if was.State == Absent {
		return nil
	}
	if t := was.Value("type"); t != "file" {
		return []Change{{What: "type of the " + p.name, Old: t, New: "file"}}
	}
	var changes []Change
	if want := modeName(p.mode); was.Value("mode") != want {
		changes = append(changes, Change{What: "mode of the " + p.name, Old: was.Value("mode"), New: want})
	}
	if owner := was.Value("owner"); owner != "root:root" {
		changes = append(changes, Change{What: "owner of the " + p.name, Old: owner, New: "root:root"})
	}
	return changes
}

// write replaces it, but for its attributes if it has the content already. A link becomes a file.
func (p part) write(env *Env, o Observed, content []byte) error {
	a := Attributes{Mode: p.mode}
	switch was := p.was(o); {
	case was.Value("digest") != DigestOf(content):
		return env.Files.Write(p.path, a, bytes.NewReader(content))
	case len(p.changes(o)) > 0:
		return env.Files.SetAttributes(p.path, a)
	}
	return nil
}

// undo puts back what was there.
func (p part) undo(env *Env, previous Observed) error { return undoFile(env, p.path, p.was(previous)) }
