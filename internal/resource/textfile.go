package resource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// maxEdited is how large a text file may be that is edited in place, in bytes; those of /etc have a few KB.
const maxEdited = 1 << 20

// textFile is a file of the user's that is edited, with all but some lines left as they are.
type textFile struct {
	path       string // of the file itself, not of links to it
	present    bool
	text       string
	attributes Attributes
}

// readText reads the file that a path leads to. One that is absent has no text, and 0644 if it is written.
func readText(env *Env, name string) (textFile, error) {
	f := textFile{path: name, attributes: Attributes{Mode: 0o644}}
	// As many links as Linux follows.
	for range 40 {
		i, err := env.Files.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		switch {
		case i.Type&fs.ModeSymlink != 0 && path.IsAbs(i.Link):
			f.path = path.Clean(i.Link)
			continue
		case i.Type&fs.ModeSymlink != 0:
			f.path = path.Join(path.Dir(f.path), i.Link)
			continue
		case i.Type != 0:
			return f, fmt.Errorf("%s is a %s, not a file", f.path, typeName(i.Type))
		case i.Size > maxEdited:
			return f, fmt.Errorf("%s has %d bytes, which is too much for a file of its kind", f.path, i.Size)
		}
		f.present = true
		f.attributes = Attributes{i.Mode, i.Owner, i.Group}
		r, err := env.Files.Open(f.path)
		if err != nil {
			return f, err
		}
		b, err := io.ReadAll(io.LimitReader(r, maxEdited))
		if err := errors.Join(err, r.Close()); err != nil {
			return f, fmt.Errorf("reading %s: %w", f.path, err)
		}
		f.text = string(b)
		return f, nil
	}
	return f, fmt.Errorf("%s leads in a circle of links", name)
}

// write replaces the text.
func (f textFile) write(env *Env, text string) error {
	if f.present && text == f.text {
		return nil
	}
	return env.Files.Write(f.path, f.attributes, strings.NewReader(text))
}

// observe is the text for people, if it is one, not too long, and nothing that only some may read: fstab(5) may hold passwords.
func (f textFile) observe(o *Observed) {
	if public(f.attributes.Mode) && len(f.text) <= MaxText && isText([]byte(f.text)) {
		o.Text = f.text
	}
}
