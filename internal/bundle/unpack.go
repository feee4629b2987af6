package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"
)

// PackagesDir is where a host has the repository of packages; the files in it name it.
const PackagesDir = "/var/lib/kubewright/packages"

// Unpack puts programs or packages of a bundle below a root directory, where a host has them: programs with links by the names that they are
// called by, packages as a repository (see apt.conf in it). It verifies what it unpacks. Files that are there are replaced.
func (s *Store) Unpack(ctx context.Context, b *Bundle, kind Kind, root string) error {
	if kind != Programs && kind != Packages {
		return fmt.Errorf("parts of kind %s are not for unpacking", kind)
	}
	release, err := s.read(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	for _, p := range b.Parts {
		if p.Kind != kind {
			continue
		}
		pool := ""
		for _, blob := range p.Blobs {
			if err := s.Check(blob.Digest, blob.Size); err != nil {
				return fmt.Errorf("%s, %s: blob %s is %w; \"kubewright bundle verify\" says more", p.Name, blob.Title, blob.Digest, err)
			}
			switch {
			case kind == Packages && blob.MediaType != RepositoryLayer:
				err = s.unpackFile(dir, path.Join(pool, path.Base(blob.Title)), blob)
			default:
				var names []string
				names, err = s.unpackLayer(ctx, dir, blob)
				for _, name := range names {
					if blob.MediaType == RepositoryLayer && path.Base(name) == "Packages" {
						pool = path.Join(path.Dir(name), "pool")
					}
				}
				if err == nil && blob.MediaType == ProgramLayer {
					err = linkCommands(dir, names, blob.Commands)
				}
			}
			if err != nil {
				return fmt.Errorf("unpacking %s, %s: %w", p.Name, blob.Title, err)
			}
		}
	}
	return ctx.Err()
}

func (s *Store) unpackFile(dir *os.Root, name string, blob Blob) error {
	f, err := s.Blob(blob.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return write(dir, name, f, 0o644)
}

// unpackLayer unpacks an archive and returns the names of the files in it.
func (s *Store) unpackLayer(ctx context.Context, dir *os.Root, blob Blob) ([]string, error) {
	f, err := s.Blob(blob.Digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	var names []string
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = dir.MkdirAll(name, 0o755)
		case tar.TypeReg:
			names = append(names, name)
			err = write(dir, name, t, os.FileMode(h.Mode&0o777))
		default:
			err = fmt.Errorf("%s is of a kind that programs and repositories have not", name)
		}
		if err != nil {
			return nil, err
		}
	}
}

// write makes a file beside its place and moves it there.
func write(dir *os.Root, name string, r io.Reader, mode os.FileMode) error {
	if err := dir.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	beside := path.Join(path.Dir(name), "."+path.Base(name)+".new")
	f, err := dir.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, dir.Remove(beside))
	}
	return dir.Rename(beside, name)
}

// linkCommands links the names that a program is called by to it.
func linkCommands(dir *os.Root, files, commands []string) error {
	for _, c := range commands {
		for _, f := range files {
			link := path.Join(path.Dir(f), c)
			if link == f {
				continue
			}
			if to, err := dir.Readlink(link); err == nil && to == path.Base(f) {
				continue
			}
			if err := dir.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			if err := dir.Symlink(path.Base(f), link); err != nil {
				return err
			}
		}
	}
	return nil
}
