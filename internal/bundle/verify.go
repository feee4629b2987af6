package bundle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Fault is a blob that is not what its digest says, and what cannot be used because of it.
type Fault struct {
	Digest string   `json:"digest"`
	Wrong  string   `json:"wrong"`  // "missing", "damaged: …"
	Breaks []string `json:"breaks"` // parts and blobs, by name
	Path   string   `json:"path"`   // where it lies, or should
}

func (f Fault) String() string {
	return fmt.Sprintf("%s is %s. It breaks:\n  %s", f.Digest, f.Wrong, strings.Join(f.Breaks, "\n  "))
}

// Verification is what became of verifying a store.
type Verification struct {
	Bundles []string `json:"bundles"`
	Blobs   int      `json:"blobs"`
	Bytes   int64    `json:"bytes"`
	Faults  []Fault  `json:"faults"`
}

// Verify reads every blob of every bundle and compares it with its digest. Progress is told the bytes read so far; it may be nil.
func (s *Store) Verify(ctx context.Context, progress func(bytes int64)) (*Verification, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	if _, err := os.Stat(s.dir); err != nil {
		return nil, fmt.Errorf("there is no store: %w", err)
	}
	index, release, err := s.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	v := &Verification{Bundles: []string{}, Faults: []Fault{}}
	for _, d := range bundlesOf(index) {
		v.Bundles = append(v.Bundles, d.Annotations[VersionAnnotation]+" for "+d.Annotations[PlatformAnnotation])
	}
	seen := map[v1.Hash]error{}
	faults := map[v1.Hash]*Fault{}
	err = s.walk(index, func(d v1.Descriptor, what string) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		wrong, known := seen[d.Digest]
		if !known {
			wrong = s.Check(d.Digest, d.Size)
			seen[d.Digest] = wrong
			v.Blobs++
			v.Bytes += d.Size
			progress(v.Bytes)
		}
		if wrong == nil {
			return true, nil
		}
		f := faults[d.Digest]
		if f == nil {
			f = &Fault{Digest: d.Digest.String(), Wrong: wrong.Error(), Path: s.BlobPath(d.Digest)}
			faults[d.Digest] = f
		}
		if !slices.Contains(f.Breaks, what) {
			f.Breaks = append(f.Breaks, what)
		}
		return false, nil
	})
	for _, d := range s.foreign(index) {
		f := faults[d.Digest]
		if f == nil {
			f = &Fault{Digest: d.Digest.String(), Wrong: "named in " + indexFile + ", but part of no bundle", Path: s.BlobPath(d.Digest)}
			faults[d.Digest] = f
		}
		f.Breaks = append(f.Breaks, "image "+partName(d))
	}
	for _, f := range faults {
		v.Faults = append(v.Faults, *f)
	}
	slices.SortFunc(v.Faults, func(a, b Fault) int { return strings.Compare(a.Digest, b.Digest) })
	return v, err
}

// walk visits all that an index names, from the bundles down, and says what each is. What visit returns false for, it does not look
// into. A blob is visited once for each thing that needs it.
func (s *Store) walk(index *v1.IndexManifest, visit func(d v1.Descriptor, what string) (bool, error)) error {
	for _, bd := range bundlesOf(index) {
		name := "bundle " + bd.Annotations[VersionAnnotation] + " for " + bd.Annotations[PlatformAnnotation]
		ok, err := visit(bd, "all of "+name)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		var parts v1.IndexManifest
		if err := s.readJSON(bd, &parts); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, pd := range parts.Manifests {
			if err := s.walkPart(pd, name, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) walkPart(pd v1.Descriptor, name string, visit func(d v1.Descriptor, what string) (bool, error)) error {
	kind := map[string]string{"": "image ", ProgramsType: "programs ", PackagesType: "packages "}[pd.ArtifactType]
	what := name + ": " + kind + partName(pd)
	ok, err := visit(pd, what)
	if err != nil || !ok {
		return err
	}
	var m v1.Manifest
	if err := s.readJSON(pd, &m); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if _, err := visit(m.Config, what+", its configuration"); err != nil {
		return err
	}
	for _, l := range m.Layers {
		if _, err := visit(l, what+", "+l.Annotations[TitleAnnotation]); err != nil {
			return err
		}
	}
	return nil
}

// reachable are the blobs that an index needs, with their sizes in bytes. It fails where that cannot be known for certain.
func (s *Store) reachable(index *v1.IndexManifest) (map[v1.Hash]int64, error) {
	all := map[v1.Hash]int64{}
	err := s.walk(index, func(d v1.Descriptor, _ string) (bool, error) {
		all[d.Digest] = d.Size
		return true, nil
	})
	return all, err
}

// stored are the blobs that are there, with their sizes in bytes.
func (s *Store) stored() (map[v1.Hash]int64, error) {
	files, err := os.ReadDir(filepath.Join(s.dir, "blobs", "sha256"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	all := map[v1.Hash]int64{}
	for _, f := range files {
		h, err := v1.NewHash("sha256:" + f.Name())
		if err != nil {
			continue // not a blob
		}
		info, err := f.Info()
		if err != nil {
			return nil, err
		}
		all[h] = info.Size()
	}
	return all, nil
}
