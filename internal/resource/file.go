package resource

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// File is a regular file with some content.
type File struct {
	Path string `json:"path"`
	// Mode is its permissions; 0644 if 0.
	Mode fs.FileMode `json:"mode,omitempty"`
	// Owner and Group by name; root if empty.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
	// Digest of the content ("sha256:…"), by which it travels.
	Digest string `json:"digest"`
	// Secret keeps the content out of plans, and what was there before. What not everybody on the machine may read is kept out of them in any case, but for ShowMasked.
	Secret bool `json:"secret,omitempty"`
	// ShowMasked says that Kubewright writes no secrets into it: plans show the content although not everybody on the machine may read it, without what looks like a
	// secret, since the user or somebody on the machine may have written one into it. That is left out on the machine already.
	ShowMasked bool `json:"showMasked,omitempty"`
	// Disturbs says that what runs by it notices at once: a manifest, whose Pod is started anew when it changes.
	Disturbs bool `json:"disturbs,omitempty"`
	// Content is known where the file is asked for, to show what changes; not to the agent.
	Content []byte `json:"-"`
}

// NewFile is a file with 0644 root:root.
func NewFile(path, content string) File {
	return File{Path: path, Digest: DigestOf([]byte(content)), Content: []byte(content)}
}

// DigestOf is the digest of a content.
func DigestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (f File) ID() ID { return ID{"file", f.Path} }

func (f File) mode() fs.FileMode { return cmp.Or(f.Mode, 0o644) }

// Keeps is what the file held before.
func (f File) Keeps() []string { return []string{f.Path} }

func (f File) attributes() Attributes { return Attributes{f.mode(), f.Owner, f.Group} }

func (f File) Observe(_ context.Context, env *Env) (Observed, error) {
	i, err := env.Files.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Observed{State: Absent}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Present, Values: map[string]string{"type": typeName(i.Type), "mode": modeName(i.Mode), "owner": i.Owner + ":" + i.Group}}
	if i.Type != 0 {
		o.Values["target"] = i.Link
		return o, nil
	}
	r, err := env.Files.Open(f.Path)
	if err != nil {
		return Observed{}, err
	}
	defer func() { _ = r.Close() }()
	hash := sha256.New()
	var text bytes.Buffer
	if _, err := io.Copy(io.MultiWriter(hash, &limited{&text, MaxText}), r); err != nil {
		return Observed{}, fmt.Errorf("reading %s: %w", f.Path, err)
	}
	o.Values["digest"] = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	if o.Values["digest"] != f.Digest && i.Size <= MaxText {
		o.Text, _ = f.shown(text.Bytes(), i.Mode)
	}
	return o, nil
}

// shown is a content that the file has or shall have with these permissions as people may see it, and whether they may.
func (f File) shown(content []byte, mode fs.FileMode) (string, bool) {
	switch {
	case f.Secret || len(content) > MaxText || !isText(content):
		return "", false
	case f.ShowMasked:
		return mask(string(content)), true
	case !public(mode):
		return "", false
	}
	return string(content), true
}

// public says whether everybody on the machine may read a file with these permissions; what is in others may be a secret, whoever wrote it.
func public(mode fs.FileMode) bool { return mode&0o004 != 0 }

// limited keeps the first bytes of what is written to it.
type limited struct {
	b   *bytes.Buffer
	max int
}

func (l *limited) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), l.max-l.b.Len())])
	return len(p), nil
}

func isText(b []byte) bool { return utf8.Valid(b) && !bytes.ContainsRune(b, 0) }

func (f File) Diff(o Observed) []Change {
	if o.State == Absent {
		c := Change{What: "present", Old: "absent", New: "present"}
		if text, ok := f.shown(f.Content, f.mode()); ok {
			c.Lines = DiffLines("", text)
		}
		return []Change{c}
	}
	var changes []Change
	if t := o.Value("type"); t != "file" {
		return []Change{{What: "type", Old: t, New: "file"}}
	}
	if o.Value("digest") != f.Digest {
		changes = append(changes, f.contentChange(o))
	}
	if want := modeName(f.mode()); o.Value("mode") != want {
		changes = append(changes, Change{What: "mode", Old: o.Value("mode"), New: want})
	}
	if want := cmp.Or(f.Owner, "root") + ":" + cmp.Or(f.Group, "root"); o.Value("owner") != want {
		changes = append(changes, Change{What: "owner", Old: o.Value("owner"), New: want})
	}
	return changes
}

// contentChange is another content.
func (f File) contentChange(o Observed) Change {
	c := Change{What: "content", Disturbs: f.Disturbs}
	text, ok := f.shown(f.Content, f.mode())
	switch {
	case f.Secret:
		c.Why = "it is secret and not shown"
	case f.Content == nil || !ok || o.Text == "" && o.Value("digest") != DigestOf(nil):
		c.Old, c.New = short(o.Value("digest")), short(f.Digest)
	default:
		c.Lines, c.Why = f.lines(o.Text, text)
		if f.ShowMasked && strings.Contains(o.Text+text, hidden) {
			// Digests would let people try what is hidden.
			c.Why = "what looks like a secret is not shown, and may be another"
			if len(c.Lines) == 0 {
				c.Why = "only what looks like a secret is another, and is not shown"
			}
		}
	}
	return c
}

// lines are DiffLines, but for the digest in a manifest, which changes whenever anything else does. Only if nothing else does it is shown, and why says what it means.
func (f File) lines(old, updated string) (lines []string, why string) {
	if !f.ShowMasked {
		return DiffLines(old, updated), ""
	}
	if lines = DiffLines(withoutDigest(old), withoutDigest(updated)); len(lines) > 0 {
		return lines, ""
	}
	if lines = DiffLines(old, updated); len(lines) > 0 {
		why = "as its digest says, what the Pod reads when it starts is another"
	}
	return lines, why
}

// short is enough of a digest for people.
func short(digest string) string {
	return digest[:min(len(digest), len("sha256:")+12)]
}

func (f File) Apply(ctx context.Context, env *Env) error {
	o, err := f.Observe(ctx, env)
	if err != nil {
		return err
	}
	switch {
	case o.Value("type") == "directory":
		return BlockedError{fmt.Sprintf("%s is a directory; move it away if nobody needs it", f.Path)}
	case o.Value("digest") == f.Digest:
		return env.Files.SetAttributes(f.Path, f.attributes())
	}
	r, err := env.Blob(ctx, f.Digest)
	if err != nil {
		return fmt.Errorf("getting the content of %s: %w", f.Path, err)
	}
	defer func() { _ = r.Close() }()
	return env.Files.Write(f.Path, f.attributes(), r)
}

func (f File) Undo(_ context.Context, env *Env, previous Observed) error {
	return undoFile(env, f.Path, previous)
}

// undoFile puts back what a path led to. Where its directory has gone, nothing is put back: a package that brought both was purged.
func undoFile(env *Env, path string, previous Observed) error {
	if _, err := env.Files.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	switch {
	case previous.State == Absent:
		return env.Files.Remove(path)
	case previous.Value("type") == "link":
		return env.Files.Link(previous.Value("target"), path)
	case previous.Value("type") != "file":
		return nil // Apply refused to replace it
	}
	mode, err := strconv.ParseUint(previous.Value("mode"), 8, 32)
	if err != nil {
		return fmt.Errorf("what is remembered of %s has the mode %q", path, previous.Value("mode"))
	}
	owner, group, _ := strings.Cut(previous.Value("owner"), ":")
	r, err := env.Kept(previous.Value("digest"))
	if err != nil {
		return fmt.Errorf("looking for what %s held before: %w", path, err)
	}
	defer func() { _ = r.Close() }()
	return env.Files.Write(path, Attributes{fs.FileMode(mode), owner, group}, r)
}

func modeName(m fs.FileMode) string { return fmt.Sprintf("%04o", m.Perm()) }

func typeName(m fs.FileMode) string {
	switch {
	case m == 0:
		return "file"
	case m&fs.ModeDir != 0:
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "link"
	}
	return "special file"
}
