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
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// NotFoundError says that the store does not hold a bundle.
type NotFoundError struct {
	Kubernetes, Platform, Dir string
	Held                      []string // names of the bundles it holds
}

func (e NotFoundError) Error() string {
	what := "a bundle for Kubernetes " + e.Kubernetes
	if e.Platform != "" {
		what += " on " + e.Platform
	}
	held := "it is empty"
	if len(e.Held) > 0 {
		held = "it holds " + strings.Join(e.Held, ", ")
	}
	return fmt.Sprintf("the store %s does not hold %s (%s); make it with \"kubewright bundle build\" or fetch it with \"kubewright bundle import\"", e.Dir, what, held)
}

// List returns the bundles of the store, newest version of Kubernetes first. Those that cannot be read are in the error, the others
// are returned with it.
func (s *Store) List(ctx context.Context) ([]*Bundle, error) {
	index, release, err := s.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var list []*Bundle
	var errs []error
	for _, d := range bundlesOf(index) {
		b, err := s.readBundle(d)
		if err != nil {
			errs = append(errs, fmt.Errorf("bundle %s: %w; \"kubewright bundle verify\" says more", d.Annotations[RefNameAnnotation], err))
			continue
		}
		list = append(list, b)
	}
	slices.SortFunc(list, compareBundles)
	return list, errors.Join(errs...)
}

// Find returns the bundle for a version of Kubernetes. Platform may be empty where there is just one.
func (s *Store) Find(ctx context.Context, kubernetes, platform string) (*Bundle, error) {
	index, release, err := s.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	d, err := s.find(index, kubernetes, platform)
	if err != nil {
		return nil, err
	}
	b, err := s.readBundle(d)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w; \"kubewright bundle verify\" says more", d.Annotations[RefNameAnnotation], err)
	}
	return b, nil
}

func (s *Store) find(index *v1.IndexManifest, kubernetes, platform string) (v1.Descriptor, error) {
	var found []v1.Descriptor
	notFound := NotFoundError{Kubernetes: kubernetes, Platform: platform, Dir: s.dir}
	for _, d := range bundlesOf(index) {
		v, p := d.Annotations[VersionAnnotation], d.Annotations[PlatformAnnotation]
		notFound.Held = append(notFound.Held, v+" for "+p)
		if v == kubernetes && (platform == "" || p == platform) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return v1.Descriptor{}, notFound
	case 1:
		return found[0], nil
	}
	return v1.Descriptor{}, fmt.Errorf("there are bundles of %s for several platforms: say which with --platform", kubernetes)
}

// Publish makes bundles that are in the store part of what the store is for, all or none: indexes, by their digests and sizes, with all that they
// name. Each takes the place of a bundle for the same version and platform. The caller holds Add.
func (s *Store) Publish(ctx context.Context, indexes ...v1.Descriptor) ([]*Bundle, error) {
	var added []*Bundle
	for _, d := range indexes {
		d = v1.Descriptor{MediaType: types.OCIImageIndex, ArtifactType: BundleType, Digest: d.Digest, Size: d.Size}
		b, err := s.readBundle(d)
		if err != nil {
			return nil, err
		}
		b.descriptor.Annotations = map[string]string{RefNameAnnotation: refName(b.Kubernetes, b.Platform), VersionAnnotation: b.Kubernetes, PlatformAnnotation: b.Platform}
		added = append(added, b)
	}
	return added, s.replaceIndex(ctx, func(bundles []v1.Descriptor) []v1.Descriptor {
		for _, b := range added {
			bundles = slices.DeleteFunc(bundles, func(o v1.Descriptor) bool {
				return o.Annotations[RefNameAnnotation] == b.descriptor.Annotations[RefNameAnnotation]
			})
			bundles = append(bundles, b.descriptor)
		}
		return bundles
	})
}

// refName names a bundle among the images that other programs see in the store.
func refName(kubernetes, platform string) string {
	return "kubewright-bundle:" + kubernetes + "-" + strings.ReplaceAll(platform, "/", "-")
}

// replaceIndex writes index.json anew with the bundles that change returns, and flushes it to disk.
func (s *Store) replaceIndex(ctx context.Context, change func([]v1.Descriptor) []v1.Descriptor) error {
	release, err := s.lock(ctx, indexLockFile, false, "another command writes the index of")
	if err != nil {
		return err
	}
	defer release()
	old, err := s.index()
	if err != nil {
		return err
	}
	var bundles []*Bundle
	for _, d := range change(bundlesOf(old)) {
		b, err := s.readBundle(d)
		if err != nil {
			// Damage elsewhere must not keep a whole bundle out: this one keeps its name, its images are not listed.
			b = &Bundle{Kubernetes: d.Annotations[VersionAnnotation], Platform: d.Annotations[PlatformAnnotation], descriptor: d}
		}
		bundles = append(bundles, b)
	}
	root := rootIndex(bundles)
	root.Manifests = append(root.Manifests, s.foreign(old)...)
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, indexFile)
	if now, err := os.ReadFile(path); err == nil && string(now) == string(b) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writeFile(path, b); err != nil {
		return fmt.Errorf("writing the index of the store: %w", err)
	}
	return nil
}

// foreign is what an index names besides bundles and their images: other programs put it there, or the index is damaged.
func (s *Store) foreign(index *v1.IndexManifest) []v1.Descriptor {
	var bundles []*Bundle
	for _, d := range bundlesOf(index) {
		b, err := s.readBundle(d)
		if err != nil {
			return nil // what is its own cannot be told
		}
		bundles = append(bundles, b)
	}
	own := map[string]bool{}
	for _, b := range bundles {
		for _, p := range b.Parts {
			own[p.Name+" "+p.Digest] = true
		}
	}
	var list []v1.Descriptor
	for _, d := range index.Manifests {
		if d.ArtifactType != BundleType && !own[d.Annotations[RefNameAnnotation]+" "+d.Digest.String()] {
			list = append(list, d)
		}
	}
	return list
}

// rootIndex is index.json: the bundles, and each of their images under its name, for programs that know nothing of bundles. Where bundles
// hold different images of one name, it is the one of the newest Kubernetes; images for several platforms are told apart by
// their platform.
func rootIndex(bundles []*Bundle) *v1.IndexManifest {
	slices.SortFunc(bundles, compareBundles)
	root := &v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	for _, b := range bundles {
		root.Manifests = append(root.Manifests, b.descriptor)
	}
	seen := map[string]bool{}
	for _, b := range bundles {
		for _, p := range b.Parts {
			if p.Kind != Image || seen[p.Name+" "+p.Platform] {
				continue
			}
			seen[p.Name+" "+p.Platform] = true
			d := p.descriptor
			d.Annotations = map[string]string{RefNameAnnotation: p.Name}
			root.Manifests = append(root.Manifests, d)
		}
	}
	return root
}

// readIndex reads index.json, and keeps others from removing what it names until release is called.
func (s *Store) readIndex(ctx context.Context) (index *v1.IndexManifest, release func(), err error) {
	if release, err = s.read(ctx); err != nil {
		return nil, nil, err
	}
	if index, err = s.index(); err != nil {
		release()
		return nil, nil, err
	}
	return index, release, nil
}

// index reads index.json. A store that is not there is empty; one whose index is not there has lost it.
func (s *Store) index() (*v1.IndexManifest, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(s.dir, layoutFile)); err == nil {
			return nil, fmt.Errorf("the store %s has lost its %s, which says what it holds: restore that, or build or import into a new store", s.dir, indexFile)
		}
		return &v1.IndexManifest{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the index of the store: %w", err)
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("%s is not an index: %w; build or import again into an empty store", filepath.Join(s.dir, indexFile), err)
	}
	return &index, nil
}

func bundlesOf(index *v1.IndexManifest) []v1.Descriptor {
	var list []v1.Descriptor
	for _, d := range index.Manifests {
		if d.ArtifactType == BundleType {
			list = append(list, d)
		}
	}
	return list
}
