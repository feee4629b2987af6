package resource

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/klauspost/compress/zstd"
)

// Program is a program of a bundle, in its place and with the links by which it is called.
type Program struct {
	Name string `json:"name"` // unique on a machine: "kubernetes"
	// Path of the file: "/usr/local/bin/kubernetes". It is 0755 root:root.
	Path string `json:"path"`
	// Blob is the digest ("sha256:…") of a tar archive compressed by zstd that holds one regular file, at Path.
	Blob string `json:"blob"`
	// Size of the blob in bytes, to say how far it is; 0 if unknown.
	Size int64 `json:"size,omitempty"`
	// Near is a directory that may have the blob, as ALGORITHM/DIGITS: a container runtime's, whose images have equal layers. Then it does not travel.
	Near string `json:"near,omitempty"`
	// Commands are names that are links to it, beside it.
	Commands []string `json:"commands,omitempty"`
}

const programMode fs.FileMode = 0o755

// stampsDir holds what is known of each program that was installed.
const stampsDir = Dir + "/programs"

// stamp says which blob a file came from, and what the file was like then: while it is still like that, nobody has to read it.
type stamp struct {
	Path    string    `json:"path"`
	Blob    string    `json:"blob"`
	Digest  string    `json:"digest"` // of the file's content
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
	Changed time.Time `json:"changed"`
	Inode   uint64    `json:"inode"`
}

func (s stamp) fits(i Info) bool {
	return s.Size == i.Size && s.Inode == i.Inode && s.ModTime.Equal(i.ModTime) && s.Changed.Equal(i.Changed)
}

// ID is by the name.
func (p Program) ID() ID { return ID{"program", p.Name} }

func (p Program) stampPath() string { return path.Join(stampsDir, p.Name+".json") }

func (p Program) link(command string) string { return path.Join(path.Dir(p.Path), command) }

// Keeps are the file and those in whose place links come.
func (p Program) Keeps() []string {
	paths := []string{p.Path}
	for _, c := range p.Commands {
		paths = append(paths, p.link(c))
	}
	return paths
}

// Observe finds type, mode, owner and digest of the file, and "blob" if the file is what came of one. What stands where the links belong is in
// values that begin with the command's name: "kubelet target".
func (p Program) Observe(ctx context.Context, env *Env) (Observed, error) {
	s, err := p.readStamp(env)
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Absent, Values: map[string]string{}}
	file, err := observePath(ctx, env, p.Path, s)
	if err != nil {
		return Observed{}, err
	}
	if file != nil {
		o.State = Present
		o.Values = file
		if s.Path == p.Path && file["digest"] == s.Digest {
			o.Values["blob"] = s.Blob
		}
	}
	for _, c := range p.Commands {
		link, err := observePath(ctx, env, p.link(c), stamp{})
		if err != nil {
			return Observed{}, err
		}
		for name, value := range link {
			o.Values[c+" "+name] = value
		}
	}
	return o, nil
}

// observePath says what a path leads to, in the values that undoFile reads; nothing if it leads nowhere. It reads the file only if the stamp is
// not of it.
func observePath(ctx context.Context, env *Env, name string, s stamp) (map[string]string, error) {
	i, err := env.Files.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := map[string]string{"type": typeName(i.Type), "mode": modeName(i.Mode), "owner": i.Owner + ":" + i.Group}
	switch {
	case i.Type&fs.ModeSymlink != 0:
		return map[string]string{"type": v["type"], "target": i.Link}, nil
	case i.Type != 0:
		return v, nil
	case s.Path == name && s.fits(i):
		v["digest"] = s.Digest
		return v, nil
	}
	r, err := env.Files.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, contextReader{ctx, r}); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	v["digest"] = digestOf(sum)
	return v, nil
}

func digestOf(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// contextReader stops when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// readStamp is empty if there is none, or none that can be read: then nothing is known of the file.
func (p Program) readStamp(env *Env) (stamp, error) {
	var s stamp
	r, err := env.Files.Open(p.stampPath())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(r)
	if err != nil {
		return s, fmt.Errorf("reading %s: %w", p.stampPath(), err)
	}
	if json.Unmarshal(b, &s) != nil {
		return stamp{}, nil
	}
	return s, nil
}

// Diff names what is not as the blob has it, and links that are not there.
func (p Program) Diff(o Observed) []Change {
	var changes []Change
	switch {
	case o.State == Absent:
		changes = append(changes, Change{What: "present", Old: "absent", New: "present"})
	case o.Value("type") != "file":
		changes = append(changes, Change{What: "type", Old: o.Value("type"), New: "file"})
	case o.Value("blob") == "":
		now := short(o.Value("digest"))
		changes = append(changes, Change{What: "content", Old: now, New: "of blob " + short(p.Blob), Why: "it is not what Kubewright installed"})
	case o.Value("blob") != p.Blob:
		changes = append(changes, Change{What: "content", Old: "of blob " + short(o.Value("blob")), New: "of blob " + short(p.Blob)})
	default:
		if want := modeName(programMode); o.Value("mode") != want {
			changes = append(changes, Change{What: "mode", Old: o.Value("mode"), New: want})
		}
		if want := "root:root"; o.Value("owner") != want {
			changes = append(changes, Change{What: "owner", Old: o.Value("owner"), New: want})
		}
	}
	for _, c := range p.Commands {
		if old := linkName(o, c); old != "link to "+path.Base(p.Path) {
			changes = append(changes, Change{What: "command " + c, Old: old, New: "link to " + path.Base(p.Path)})
		}
	}
	return changes
}

// linkName says in words what stands in the place of a link.
func linkName(o Observed, command string) string {
	switch t := o.Value(command + " type"); t {
	case "":
		return "absent"
	case "link":
		return "link to " + o.Value(command+" target")
	default:
		return t
	}
}

// Apply installs what differs. A program that runs goes on with the file it was started from.
func (p Program) Apply(ctx context.Context, env *Env) error {
	o, err := p.Observe(ctx, env)
	if err != nil {
		return err
	}
	for _, place := range append([]string{""}, p.Commands...) {
		name, t := p.Path, o.Value("type")
		if place != "" {
			name, t = p.link(place), o.Value(place+" type")
		}
		if t == "directory" || t == "special file" {
			return BlockedError{fmt.Sprintf("%s is a %s; move it away if nobody needs it", name, t)}
		}
	}
	if o.Value("blob") != p.Blob {
		err = p.install(ctx, env)
	} else if o.Value("mode") != modeName(programMode) || o.Value("owner") != "root:root" {
		err = p.mend(env, o.Value("digest"))
	}
	if err != nil {
		return err
	}
	for _, c := range p.Commands {
		if linkName(o, c) == "link to "+path.Base(p.Path) {
			continue
		}
		if err := env.Files.Link(path.Base(p.Path), p.link(c)); err != nil {
			return fmt.Errorf("linking %s to %s: %w", p.link(c), path.Base(p.Path), err)
		}
	}
	return nil
}

// install takes the blob from where it is. What is near may be gone or damaged; then it travels.
func (p Program) install(ctx context.Context, env *Env) error {
	near := func(_ context.Context, digest string) (io.ReadCloser, error) {
		f, err := env.Files.Open(path.Join(p.Near, strings.Replace(digest, ":", "/", 1)))
		if err != nil {
			return nil, err
		}
		return Verified(f, digest), nil
	}
	if p.Near != "" {
		if err := p.installFrom(ctx, env, near); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return p.installFrom(ctx, env, env.Blob)
}

func (p Program) installFrom(ctx context.Context, env *Env, from func(context.Context, string) (io.ReadCloser, error)) error {
	blob, err := from(ctx, p.Blob)
	if err != nil {
		return fmt.Errorf("getting program %s: %w", p.Name, err)
	}
	defer func() { _ = blob.Close() }()
	r, err := openProgram(&counted{r: contextReader{ctx, blob}, what: "program " + p.Name, total: p.Size, env: env}, p.Path[1:])
	if err != nil {
		return fmt.Errorf("unpacking program %s: %w", p.Name, err)
	}
	defer r.close()
	if err := needRoom(env, path.Dir(p.Path), r.size, "program "+p.Name); err != nil {
		return err
	}
	if err := env.Files.Write(p.Path, Attributes{Mode: programMode}, r); err != nil {
		return fmt.Errorf("installing program %s: %w", p.Name, err)
	}
	return p.writeStamp(env, digestOf(r.sum))
}

// mend gives the file its attributes, and a stamp that fits it again.
func (p Program) mend(env *Env, digest string) error {
	if err := env.Files.SetAttributes(p.Path, Attributes{Mode: programMode}); err != nil {
		return err
	}
	return p.writeStamp(env, digest)
}

func (p Program) writeStamp(env *Env, digest string) error {
	i, err := env.Files.Stat(p.Path)
	if err != nil {
		return err
	}
	b, err := json.Marshal(stamp{p.Path, p.Blob, digest, i.Size, i.ModTime, i.Changed, i.Inode})
	if err != nil {
		return err
	}
	return env.Files.Write(p.stampPath(), Attributes{Mode: 0o644}, bytes.NewReader(b))
}

// needRoom fails where there is less room than needed (bytes).
func needRoom(env *Env, dir string, needed int64, what string) error {
	free, err := env.Files.Free(dir)
	if err != nil {
		return fmt.Errorf("asking how much room there is in %s: %w", dir, err)
	}
	if needed > 0 && free < uint64(needed) {
		return fmt.Errorf("%s needs %s in %s, where only %s are free; make room there",
			what, units.BytesSize(float64(needed)), dir, units.BytesSize(float64(free)))
	}
	return nil
}

// counted says how far reading is, every twentieth of the whole.
type counted struct {
	r           io.Reader
	what        string
	total, done int64 // bytes
	said        int64 // twentieths
	env         *Env
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.done += int64(n)
	if c.total > 0 {
		if now := min(20*c.done/c.total, 20); now > c.said {
			c.said = now
			c.env.progress(fmt.Sprintf("%s: %s of %s, %d %%", c.what, units.BytesSize(float64(c.done)), units.BytesSize(float64(c.total)), 5*now))
		}
	}
	return n, err
}

// programReader reads the one file of an archive. It ends without an error only after the blob did, which is verified by then.
type programReader struct {
	blob io.Reader
	zstd *zstd.Decoder
	tar  *tar.Reader
	name string
	size int64 // bytes of the file
	sum  hash.Hash
}

func openProgram(blob io.Reader, name string) (*programReader, error) {
	z, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	r := &programReader{blob: blob, zstd: z, tar: tar.NewReader(z), name: name, sum: sha256.New()}
	h, err := nextFile(r.tar)
	if err == nil && path.Clean(h.Name) != name {
		err = fmt.Errorf("the blob holds %s, not %s", h.Name, name)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the blob holds no file")
	}
	if err != nil {
		r.close()
		return nil, err
	}
	r.size = h.Size
	return r, nil
}

// nextFile goes to the next regular file of an archive; io.EOF if there is none.
func nextFile(t *tar.Reader) (*tar.Header, error) {
	for {
		h, err := t.Next()
		if err != nil {
			return nil, err
		}
		switch h.Typeflag {
		case tar.TypeReg:
			return h, nil
		case tar.TypeDir:
		default:
			return nil, fmt.Errorf("%s in the archive is neither file nor directory", h.Name)
		}
	}
}

func (r *programReader) Read(b []byte) (int, error) {
	n, err := r.tar.Read(b)
	r.sum.Write(b[:n])
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if h, err := nextFile(r.tar); err == nil {
		return n, fmt.Errorf("the blob holds %s besides %s", h.Name, r.name)
	} else if !errors.Is(err, io.EOF) {
		return n, err
	}
	// Whether it is the right blob is known at its very end.
	if _, err := io.Copy(io.Discard, r.zstd); err != nil {
		return n, err
	}
	if _, err := io.Copy(io.Discard, r.blob); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (r *programReader) close() { r.zstd.Close() }

// Undo puts back what was at each of its places before.
func (p Program) Undo(_ context.Context, env *Env, previous Observed) error {
	var errs []error
	for _, c := range p.Commands {
		before := Observed{State: Absent, Values: map[string]string{}}
		for _, name := range []string{"type", "target", "mode", "owner", "digest"} {
			if v, ok := previous.Values[c+" "+name]; ok {
				before.State, before.Values[name] = Present, v
			}
		}
		errs = append(errs, undoFile(env, p.link(c), before))
	}
	errs = append(errs, undoFile(env, p.Path, previous))
	if previous.Value("blob") == "" {
		errs = append(errs, env.Files.Remove(p.stampPath()))
	}
	if left, err := env.Files.List(stampsDir); err == nil && len(left) == 0 {
		errs = append(errs, env.Files.Remove(stampsDir))
	}
	return errors.Join(errs...)
}
