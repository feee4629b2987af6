package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Unneeded is what Prune removes.
type Unneeded struct {
	Bundles []string `json:"bundles"` // that were named
	Blobs   int      `json:"blobs"`   // that no bundle needs
	Notes   []string `json:"notes"`   // of components that were built, but are in no bundle
	Left    int      `json:"left"`    // files and directories that interrupted commands left
	Bytes   int64    `json:"bytes"`   // of all

	drop  []v1.Descriptor
	files []string // in the order in which they go
}

// Empty says whether there is nothing to remove.
func (u *Unneeded) Empty() bool { return len(u.drop) == 0 && len(u.files) == 0 }

// Unneeded finds what Prune would remove: the bundles in drop, which may be none, and all that no other bundle needs. It fails where a
// bundle is so damaged that nobody knows what it needs.
func (s *Store) Unneeded(drop ...BundleID) (*Unneeded, error) {
	index, err := s.index()
	if err != nil {
		return nil, err
	}
	for _, d := range s.foreign(index) {
		return nil, fmt.Errorf("the index of the store names %s (%s), which is part of no bundle, so nothing is removed: the store is for bundles alone; take that out of %s",
			partName(d), d.Digest, filepath.Join(s.dir, indexFile))
	}
	u := &Unneeded{Bundles: []string{}, Notes: []string{}}
	for _, id := range drop {
		d, err := s.find(index, id.Kubernetes, id.Platform)
		if err != nil {
			return nil, err
		}
		u.drop = append(u.drop, d)
		u.Bundles = append(u.Bundles, d.Annotations[VersionAnnotation]+" for "+d.Annotations[PlatformAnnotation])
	}
	keep := slices.DeleteFunc(bundlesOf(index), u.drops)
	needed, err := s.reachable(&v1.IndexManifest{Manifests: keep})
	if err != nil {
		return nil, fmt.Errorf("%w; so what it needs is not known, and nothing is removed: mend it (build or import it again) or name it to be removed", err)
	}
	if err := s.unneededNotes(u, needed); err != nil {
		return nil, err
	}
	have, err := s.stored()
	if err != nil {
		return nil, err
	}
	for h, size := range have {
		if _, ok := needed[h]; !ok {
			u.Blobs++
			u.Bytes += size
			u.files = append(u.files, s.BlobPath(h))
		}
	}
	left, err := os.ReadDir(s.unfinished())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, f := range left {
		u.Left++
		path := filepath.Join(s.unfinished(), f.Name())
		u.Bytes += sizeOf(path)
		u.files = append(u.files, path)
	}
	return u, nil
}

// BundleID names a bundle. Platform may be empty where there is just one for the version.
type BundleID struct{ Kubernetes, Platform string }

func (u *Unneeded) drops(d v1.Descriptor) bool {
	return slices.ContainsFunc(u.drop, func(o v1.Descriptor) bool {
		return o.Annotations[RefNameAnnotation] == d.Annotations[RefNameAnnotation]
	})
}

// unneededNotes finds notes of builds whose blobs are not all needed by a bundle. They go before their blobs do.
func (s *Store) unneededNotes(u *Unneeded, needed map[v1.Hash]int64) error {
	notes, err := filepath.Glob(filepath.Join(s.Builds(), "*.json"))
	if err != nil {
		return err
	}
	for _, f := range notes {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(digestsIn(b), func(h v1.Hash) bool { _, ok := needed[h]; return !ok }) {
			u.Notes = append(u.Notes, strings.TrimSuffix(filepath.Base(f), ".json"))
			u.files = append(u.files, f)
		}
	}
	return nil
}

// digestsIn are the digests of blobs in a note: the values of "digest", wherever they are.
func digestsIn(note []byte) []v1.Hash {
	var found []v1.Hash
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				if text, ok := value.(string); ok && name == "digest" {
					if h, err := v1.NewHash(text); err == nil {
						found = append(found, h)
					}
				}
				look(value)
			}
		case []any:
			for _, value := range v {
				look(value)
			}
		}
	}
	var v any
	if json.Unmarshal(note, &v) == nil {
		look(v)
	}
	return found
}

// Prune removes what Unneeded found, and what became unneeded since, when no other command uses the store, and returns what it removed. A bundle that
// was named and has been replaced since stays.
func (s *Store) Prune(ctx context.Context, found *Unneeded) (*Unneeded, error) {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return &Unneeded{}, nil
	}
	var drop []BundleID
	for _, d := range found.drop {
		drop = append(drop, BundleID{d.Annotations[VersionAnnotation], d.Annotations[PlatformAnnotation]})
	}
	release, err := s.lock(ctx, lockFile, false, "another command uses")
	if err != nil {
		return nil, err
	}
	defer release()
	u, err := s.Unneeded(drop...)
	if err != nil {
		return nil, err
	}
	for i, d := range u.drop {
		if d.Digest != found.drop[i].Digest {
			return nil, fmt.Errorf("the bundle %s has been built or imported again since: nothing was removed", u.Bundles[i])
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(u.drop) > 0 {
		err := s.replaceIndex(ctx, func(bundles []v1.Descriptor) []v1.Descriptor { return slices.DeleteFunc(bundles, u.drops) })
		if err != nil {
			return nil, err
		}
	}
	for _, f := range u.files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(f); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// sizeOf is the size of a file, or of all files below a directory, in bytes.
func sizeOf(path string) int64 {
	var n int64
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}
