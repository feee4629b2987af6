package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hold keeps the lock that who adds to a store holds, until the test ends or release is called.
func hold(t testing.TB, s *Store) (release func()) {
	t.Helper()
	release, err := s.Add(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func putJSON(t testing.TB, s *Store, v any) (v1.Hash, int64) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	h, n, err := s.Put(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return h, n
}

func put(t testing.TB, s *Store, content string) (v1.Hash, int64) {
	t.Helper()
	h, n, err := s.Put(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return h, n
}

// addBundle publishes a bundle of one image with the layers "shared" and "of VERSION", and of programs with the layer "shared".
func addBundle(t testing.TB, s *Store, version, platform string) {
	t.Helper()
	defer hold(t, s)()
	amd64 := &v1.Platform{OS: "linux", Architecture: strings.TrimPrefix(platform, "linux/")}
	layer := func(mediaType types.MediaType, content string) v1.Descriptor {
		h, n := put(t, s, content)
		return v1.Descriptor{MediaType: mediaType, Digest: h, Size: n, Annotations: map[string]string{TitleAnnotation: content}}
	}
	manifest := func(artifact, config string, layers ...v1.Descriptor) v1.Descriptor {
		h, n := put(t, s, config)
		mh, mn := putJSON(t, s, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifact, Config: v1.Descriptor{Digest: h, Size: n}, Layers: layers})
		return v1.Descriptor{MediaType: types.OCIManifestSchema1, ArtifactType: artifact, Digest: mh, Size: mn, Platform: amd64}
	}
	image := manifest("", `{"image":"`+version+platform+`"}`, layer(types.OCILayerZStd, "shared"), layer(types.OCILayerZStd, "of "+version))
	image.Annotations = map[string]string{RefNameAnnotation: "registry.example/thing:" + version, VersionAnnotation: version}
	programs := manifest(ProgramsType, "{}", layer(ProgramLayer, "shared"))
	programs.Annotations = map[string]string{TitleAnnotation: "thing"}
	h, n := putJSON(t, s, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, ArtifactType: BundleType, Manifests: []v1.Descriptor{image, programs},
		Annotations: map[string]string{VersionAnnotation: version, PlatformAnnotation: platform, ToolchainAnnotation: "go1.0"},
	})
	if _, err := s.Publish(t.Context(), v1.Descriptor{Digest: h, Size: n}); err != nil {
		t.Fatal(err)
	}
}

func names(list []*Bundle) []string {
	var n []string
	for _, b := range list {
		n = append(n, b.Name())
	}
	return n
}

// prune finds what is not needed, and removes it.
func prune(t testing.TB, s *Store, drop ...BundleID) (*Unneeded, error) {
	t.Helper()
	u, err := s.Unneeded(drop...)
	if err != nil {
		return nil, err
	}
	return s.Prune(t.Context(), u)
}

// intact fails the test unless the store verifies and holds the bundles with these names.
func intact(t testing.TB, s *Store, want ...string) {
	t.Helper()
	if _, err := os.Stat(s.Dir()); err == nil || len(want) > 0 {
		v, err := s.Verify(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Faults) > 0 {
			t.Errorf("the store has faults: %v", v.Faults)
		}
	}
	list, err := s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := names(list); !slices.Equal(got, want) {
		t.Errorf("the store holds %q, not %q", got, want)
	}
}

func TestBundlesAreListedAndFound(t *testing.T) {
	s := newStore(t)
	if list, err := s.List(context.Background()); err != nil || len(list) > 0 {
		t.Fatalf("a store that is not there holds %v, %v", list, err)
	}
	addBundle(t, s, "v1.9.10", "linux/amd64")
	addBundle(t, s, "v1.37.1", "linux/amd64")
	addBundle(t, s, "v1.37.1", "linux/arm64")
	addBundle(t, s, "v1.37.1", "linux/amd64") // again: takes its own place
	intact(t, s, "v1.37.1 for linux/amd64", "v1.37.1 for linux/arm64", "v1.9.10 for linux/amd64")

	b, err := s.Find(t.Context(), "v1.9.10", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Parts) != 2 || b.Parts[0].Kind != Image || b.Parts[1].Kind != Programs || b.Parts[0].Name != "registry.example/thing:v1.9.10" || b.Parts[1].Name != "thing" {
		t.Errorf("parts are %+v", b.Parts)
	}
	var notFound NotFoundError
	if _, err := s.Find(t.Context(), "v1.38.0", ""); !errors.As(err, &notFound) || !strings.Contains(err.Error(), "v1.9.10 for linux/amd64") {
		t.Errorf("finding what is not there: %v", err)
	}
	if _, err := s.Find(t.Context(), "v1.37.1", ""); err == nil || !strings.Contains(err.Error(), "--platform") {
		t.Errorf("finding what is not unique: %v", err)
	}
}

// Other programs find images by their names in index.json.
func TestIndexNamesImages(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.37.1", "linux/amd64")
	addBundle(t, s, "v1.37.1", "linux/arm64")
	index, err := s.index()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range index.Manifests {
		platform := ""
		if d.Platform != nil {
			platform = " " + d.Platform.String()
		}
		got = append(got, d.Annotations[RefNameAnnotation]+platform)
	}
	want := []string{"kubewright-bundle:v1.37.1-linux-amd64", "kubewright-bundle:v1.37.1-linux-arm64", "registry.example/thing:v1.37.1 linux/amd64", "registry.example/thing:v1.37.1 linux/arm64"}
	if !slices.Equal(got, want) {
		t.Errorf("index.json names %q, not %q", got, want)
	}
}

func TestOpenRefusesWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.odt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a directory of somebody else's was opened")
	}
	if err := os.WriteFile(filepath.Join(dir, layoutFile), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a layout of an unknown version was opened")
	}
}

func TestVerifyNamesWhatIsBroken(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.36.0", "linux/amd64")
	addBundle(t, s, "v1.37.1", "linux/amd64")
	shared, _ := put(t, s, "shared")
	only, _ := put(t, s, "of v1.37.1")
	for _, c := range []struct {
		name   string
		harm   func(path string) error
		blob   v1.Hash
		wrong  string
		breaks []string
	}{
		{"missing", os.Remove, only, "missing", []string{"bundle v1.37.1 for linux/amd64: image registry.example/thing:v1.37.1, of v1.37.1"}},
		{"cut", func(p string) error { return os.Truncate(p, 3) }, shared, "damaged: 3 bytes instead of 6", []string{
			"bundle v1.37.1 for linux/amd64: image registry.example/thing:v1.37.1, shared", "bundle v1.37.1 for linux/amd64: programs thing, shared",
			"bundle v1.36.0 for linux/amd64: image registry.example/thing:v1.36.0, shared", "bundle v1.36.0 for linux/amd64: programs thing, shared",
		}},
		{"flipped", func(p string) error { return os.WriteFile(p, []byte("Shared"), 0o600) }, shared, "damaged: its content has another digest", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.harm(s.BlobPath(c.blob)); err != nil {
				t.Fatal(err)
			}
			v, err := s.Verify(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Faults) != 1 || v.Faults[0].Wrong != c.wrong || v.Faults[0].Digest != c.blob.String() || c.breaks != nil && !slices.Equal(v.Faults[0].Breaks, c.breaks) {
				t.Errorf("faults are %+v", v.Faults)
			}
			put(t, s, "shared") // putting it again mends it
			put(t, s, "of v1.37.1")
			intact(t, s, "v1.37.1 for linux/amd64", "v1.36.0 for linux/amd64")
		})
	}

	// A bundle whose index is gone is named, too, and does not hide the others.
	b, err := s.Find(t.Context(), "v1.36.0", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.BlobPath(b.descriptor.Digest)); err != nil {
		t.Fatal(err)
	}
	v, err := s.Verify(t.Context(), nil)
	if err != nil || len(v.Faults) != 1 || v.Faults[0].Breaks[0] != "all of bundle v1.36.0 for linux/amd64" {
		t.Errorf("verifying: %+v, %v", v, err)
	}
	if list, err := s.List(context.Background()); err == nil || !slices.Equal(names(list), []string{"v1.37.1 for linux/amd64"}) {
		t.Errorf("listing: %q, %v", names(list), err)
	}
	if _, err := s.Unneeded(); err == nil {
		t.Error("pruning went on, though nobody knows what a bundle needs")
	}
	if _, err := prune(t, s, BundleID{"v1.36.0", ""}); err != nil {
		t.Errorf("pruning the damaged bundle itself: %v", err)
	}
	intact(t, s, "v1.37.1 for linux/amd64")
}

func export(t testing.TB, s *Store, versions ...string) []byte {
	t.Helper()
	var bundles []*Bundle
	for _, v := range versions {
		b, err := s.Find(t.Context(), v, "")
		if err != nil {
			t.Fatal(err)
		}
		bundles = append(bundles, b)
	}
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out, bundles, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExportAndImport(t *testing.T) {
	from := newStore(t)
	addBundle(t, from, "v1.36.0", "linux/amd64")
	addBundle(t, from, "v1.37.1", "linux/amd64")
	file := export(t, from, "v1.37.1")
	if !bytes.Equal(file, export(t, from, "v1.37.1")) {
		t.Error("two exports of one bundle differ")
	}
	to := newStore(t)
	added, err := to.Import(t.Context(), bytes.NewReader(file), nil)
	if err != nil || !slices.Equal(names(added), []string{"v1.37.1 for linux/amd64"}) {
		t.Fatalf("importing: %q, %v", names(added), err)
	}
	intact(t, to, "v1.37.1 for linux/amd64")
	if _, err := to.Import(t.Context(), bytes.NewReader(export(t, from, "v1.36.0", "v1.37.1")), nil); err != nil {
		t.Fatal(err)
	}
	intact(t, to, "v1.37.1 for linux/amd64", "v1.36.0 for linux/amd64")
	a, err := os.ReadFile(filepath.Join(from.Dir(), indexFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(to.Dir(), indexFile)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the indexes differ: %v", err)
	}
}

func TestExportRefusesDamage(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.37.1", "linux/amd64")
	b, err := s.Find(t.Context(), "v1.37.1", "")
	if err != nil {
		t.Fatal(err)
	}
	h, _ := put(t, s, "shared")
	if err := os.WriteFile(s.BlobPath(h), []byte("Shared"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Export(t.Context(), io.Discard, []*Bundle{b}, nil); err == nil || !strings.Contains(err.Error(), h.String()) {
		t.Errorf("exporting a damaged blob: %v", err)
	}
}

// However much of a file arrives, the store verifies, holds all or nothing of its bundles, and takes the whole file afterwards.
func TestImportOfPartOfAFile(t *testing.T) {
	from := newStore(t)
	addBundle(t, from, "v1.37.1", "linux/amd64")
	file := export(t, from, "v1.37.1")
	for n := 0; n < len(file); n += 1 + len(file)/60 {
		to := newStore(t)
		if _, err := to.Import(t.Context(), bytes.NewReader(file[:n]), nil); err == nil {
			t.Fatalf("%d of %d bytes were imported", n, len(file))
		}
		intact(t, to)
		if _, err := to.Import(t.Context(), bytes.NewReader(file), nil); err != nil {
			t.Fatal(err)
		}
		intact(t, to, "v1.37.1 for linux/amd64")
		if u, err := to.Unneeded(); err != nil || !u.Empty() {
			t.Fatalf("after %d bytes and the whole, left are %+v, %v", n, u, err)
		}
	}
}

// rewrite unpacks an exported file and packs it again after change.
func rewrite(t testing.TB, file []byte, change func(name string, content []byte) (string, []byte)) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(w)
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name, b = change(h.Name, b); h.Name == "" {
			continue
		}
		h.Size = int64(len(b))
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestImportRefusesWhatIsWrong(t *testing.T) {
	from := newStore(t)
	addBundle(t, from, "v1.37.1", "linux/amd64")
	file := export(t, from, "v1.37.1")
	shared, _ := put(t, from, "shared")
	for _, c := range []struct {
		name string
		file []byte
		says string
	}{
		{"something else", []byte("PK\x03\x04 a zip file"), "bundle export"},
		{"nothing", nil, "bundle export"},
		{"a changed blob", rewrite(t, file, func(name string, b []byte) (string, []byte) {
			return name, bytes.ReplaceAll(b, []byte("shared"), []byte("Shared"))
		}), "damaged"},
		{"a missing blob", rewrite(t, file, func(name string, b []byte) (string, []byte) {
			if strings.HasSuffix(name, shared.Hex) {
				return "", nil
			}
			return name, b
		}), "the blob " + shared.String() + " is missing"},
		{"a file outside", rewrite(t, file, func(name string, b []byte) (string, []byte) {
			if strings.HasSuffix(name, shared.Hex) {
				return "blobs/sha256/../../../../evil", b
			}
			return name, b
		}), "no blob"},
		{"no index", rewrite(t, file, func(name string, b []byte) (string, []byte) {
			if name == indexFile {
				return "", nil
			}
			return name, b
		}), "comes before"},
		{"no bundles", rewrite(t, file, func(name string, b []byte) (string, []byte) {
			if name == indexFile {
				return name, []byte(`{"schemaVersion":2,"manifests":[]}`)
			}
			return name, b
		}), "names no bundles"},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := newStore(t)
			if _, err := to.Import(t.Context(), bytes.NewReader(c.file), nil); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("importing: %v", err)
			}
			intact(t, to)
		})
	}
}

func FuzzImport(f *testing.F) {
	from := newStore(f)
	addBundle(f, from, "v1.37.1", "linux/amd64")
	file := export(f, from, "v1.37.1")
	f.Add(file)
	f.Add(rewrite(f, file, func(name string, b []byte) (string, []byte) { return strings.ToUpper(name), b }))
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := z.DecodeAll(file, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStore(t)
		_, err := s.Import(t.Context(), bytes.NewReader(b), nil)
		// The same as what is within the compression.
		var packed bytes.Buffer
		w, zerr := zstd.NewWriter(&packed)
		if zerr != nil {
			t.Fatal(zerr)
		}
		if _, zerr := w.Write(b); zerr != nil || w.Close() != nil {
			t.Fatal(zerr)
		}
		_, err2 := s.Import(t.Context(), &packed, nil)
		v, verr := s.Verify(t.Context(), nil)
		if verr != nil || len(v.Faults) > 0 {
			t.Errorf("after an import (%v, %v) the store does not verify: %v, %v", err, err2, v, verr)
		}
	})
}

func TestPruneRemovesOnlyWhatIsNotNeeded(t *testing.T) {
	s := newStore(t)
	if u, err := prune(t, s); err != nil || !u.Empty() {
		t.Fatalf("pruning a store that is not there: %+v, %v", u, err)
	}
	addBundle(t, s, "v1.36.0", "linux/amd64")
	addBundle(t, s, "v1.37.1", "linux/amd64")
	// What was built for a bundle that is there, and for one that never came to be.
	shared, _ := put(t, s, "shared")
	stray, _ := put(t, s, "stray")
	for name, h := range map[string]v1.Hash{"kept": shared, "stray": stray} {
		if err := os.WriteFile(filepath.Join(s.Builds(), name+".json"), fmt.Appendf(nil, `{"programs":{"x":{"digest":%q}}}`, h), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(s.unfinished(), "work-1", "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	u, err := s.Unneeded()
	if err != nil || u.Blobs != 1 || u.Left != 1 || !slices.Equal(u.Notes, []string{"stray"}) {
		t.Fatalf("not needed are %+v, %v", u, err)
	}
	if _, err := prune(t, s); err != nil {
		t.Fatal(err)
	}
	intact(t, s, "v1.37.1 for linux/amd64", "v1.36.0 for linux/amd64")
	if _, err := os.Stat(s.BlobPath(stray)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stray blob: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Builds(), "kept.json")); err != nil {
		t.Error(err)
	}

	of36, _ := put(t, s, "of v1.36.0")
	if _, err := prune(t, s, BundleID{"v1.36.0", ""}); err != nil {
		t.Fatal(err)
	}
	intact(t, s, "v1.37.1 for linux/amd64")
	if _, err := os.Stat(s.BlobPath(of36)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the blob of the bundle that was named: %v", err)
	}
	if u, err := s.Unneeded(); err != nil || !u.Empty() {
		t.Errorf("left are %+v, %v", u, err)
	}
}

// Many import and prune at once; each has locks of its own, as processes have.
func TestManyAtOnce(t *testing.T) {
	from := newStore(t)
	var files [][]byte
	var want []string
	for i := range 4 {
		v := fmt.Sprintf("v1.%d.0", 39-i)
		addBundle(t, from, v, "linux/amd64")
		files = append(files, export(t, from, v))
		want = append(want, v+" for linux/amd64")
	}
	dir := filepath.Join(t.TempDir(), "store")
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			s, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if i%3 == 2 {
				_, err = prune(t, s)
			} else {
				_, err = s.Import(t.Context(), bytes.NewReader(files[i%4]), nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files { // the last prune may have come before an import of each, but none after it lost anything
		if _, err := s.Import(t.Context(), bytes.NewReader(f), nil); err != nil {
			t.Fatal(err)
		}
	}
	intact(t, s, want...)
}

// What others put into index.json is named, and neither removed nor forgotten.
func TestForeignImages(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.37.1", "linux/amd64")
	index, err := s.index()
	if err != nil {
		t.Fatal(err)
	}
	release := hold(t, s)
	h, n := put(t, s, "mine")
	index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: h, Size: n, Annotations: map[string]string{RefNameAnnotation: "mine:1"}})
	b, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.writeFile(filepath.Join(s.Dir(), indexFile), b); err != nil {
		t.Fatal(err)
	}
	release()
	addBundle(t, s, "v1.36.0", "linux/amd64")
	v, err := s.Verify(t.Context(), nil)
	if err != nil || len(v.Faults) != 1 || !slices.Equal(v.Faults[0].Breaks, []string{"image mine:1"}) {
		t.Errorf("verifying: %+v, %v", v, err)
	}
	if _, err := s.Unneeded(); err == nil || !strings.Contains(err.Error(), "mine:1") {
		t.Errorf("pruning: %v", err)
	}
}

// A store that lost its index is not an empty one.
func TestIndexIsLost(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.37.1", "linux/amd64")
	if err := os.Remove(filepath.Join(s.Dir(), indexFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("verifying: %v", err)
	}
	if u, err := s.Unneeded(); err == nil {
		t.Errorf("not needed are %+v", u)
	}
	nowhere := newStore(t)
	if _, err := nowhere.Verify(t.Context(), nil); err == nil {
		t.Error("a store that is not there verifies")
	}
}

// Of several bundles in a file, all appear or none.
func TestImportIsAllOrNothing(t *testing.T) {
	from := newStore(t)
	addBundle(t, from, "v1.36.0", "linux/amd64")
	addBundle(t, from, "v1.37.1", "linux/amd64")
	only, _ := put(t, from, "of v1.37.1")
	file := rewrite(t, export(t, from, "v1.36.0", "v1.37.1"), func(name string, b []byte) (string, []byte) {
		if strings.HasSuffix(name, only.Hex) {
			return "", nil
		}
		return name, b
	})
	to := newStore(t)
	if _, err := to.Import(t.Context(), bytes.NewReader(file), nil); err == nil {
		t.Error("it was imported")
	}
	intact(t, to)
}

// What bundles say of themselves may come from others, and must do nothing to terminals and files.
func TestHostileBundles(t *testing.T) {
	for name, change := range map[string]func(*v1.IndexManifest, *v1.Manifest){
		"version":  func(i *v1.IndexManifest, _ *v1.Manifest) { i.Annotations[VersionAnnotation] = "../../v1.1.1" },
		"platform": func(i *v1.IndexManifest, _ *v1.Manifest) { i.Annotations[PlatformAnnotation] = "linux/../x" },
		"name": func(i *v1.IndexManifest, _ *v1.Manifest) {
			i.Manifests[0].Annotations[RefNameAnnotation] = "a\x1b[2Jb:1"
		},
		"type":      func(i *v1.IndexManifest, _ *v1.Manifest) { i.Manifests[0].ArtifactType = "application/x" },
		"title":     func(_ *v1.IndexManifest, m *v1.Manifest) { m.Layers[0].Annotations[TitleAnnotation] = "a\nb" },
		"command":   func(_ *v1.IndexManifest, m *v1.Manifest) { m.Layers[0].Annotations[CommandsAnnotation] = "../../sh" },
		"no digest": func(_ *v1.IndexManifest, m *v1.Manifest) { m.Layers[0].Digest = v1.Hash{} },
		"no size": func(_ *v1.IndexManifest, m *v1.Manifest) {
			m.Layers[0].Size = 0
			m.Layers[0].Digest.Hex = strings.Repeat("0", 64)
		},
		"no config":     func(_ *v1.IndexManifest, m *v1.Manifest) { m.Config = v1.Descriptor{} },
		"nothing wrong": func(*v1.IndexManifest, *v1.Manifest) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			defer hold(t, s)()
			h, n := put(t, s, "layer")
			m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: v1.Descriptor{Digest: h, Size: n}, Layers: []v1.Descriptor{{Digest: h, Size: n, Annotations: map[string]string{}}}}
			i := v1.IndexManifest{SchemaVersion: 2, ArtifactType: BundleType, Annotations: map[string]string{VersionAnnotation: "v1.1.1", PlatformAnnotation: "linux/amd64"}, Manifests: []v1.Descriptor{{Annotations: map[string]string{}}}}
			change(&i, &m)
			i.Manifests[0].Digest, i.Manifests[0].Size = putJSON(t, s, m)
			d := v1.Descriptor{ArtifactType: BundleType}
			d.Digest, d.Size = putJSON(t, s, i)
			index, err := json.Marshal(v1.IndexManifest{Manifests: []v1.Descriptor{d}})
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			z, err := zstd.NewWriter(&file)
			if err != nil {
				t.Fatal(err)
			}
			w := tar.NewWriter(z)
			if err := writeFile(w, indexFile, bytes.NewReader(index), int64(len(index))); err != nil {
				t.Fatal(err)
			}
			blobs, err := s.stored()
			if err != nil {
				t.Fatal(err)
			}
			for h, size := range blobs {
				f, err := s.Blob(h)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(writeFile(w, "blobs/sha256/"+h.Hex, f, size), f.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(w.Close(), z.Close()); err != nil {
				t.Fatal(err)
			}
			to := newStore(t)
			_, err = to.Import(t.Context(), &file, nil)
			if (err == nil) != (name == "nothing wrong") {
				t.Errorf("importing: %v", err)
			}
		})
	}
}

// A cancelled prune removes nothing, and one that was shown something else neither.
func TestPruneMindsWhatChanged(t *testing.T) {
	s := newStore(t)
	addBundle(t, s, "v1.36.0", "linux/amd64")
	found, err := s.Unneeded(BundleID{"v1.36.0", ""})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Prune(ctx, found); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled prune: %v", err)
	}
	intact(t, s, "v1.36.0 for linux/amd64")
	found.drop[0].Digest.Hex = strings.Repeat("0", 64)
	if _, err := s.Prune(t.Context(), found); err == nil || !strings.Contains(err.Error(), "again since") {
		t.Errorf("pruning a bundle that was replaced: %v", err)
	}
	intact(t, s, "v1.36.0 for linux/amd64")
}

func TestCompareVersions(t *testing.T) {
	list := []string{"v1.9.10", "v1.37.1", "v1.37.10", "v1.10.0", "v1.37.2"}
	slices.SortFunc(list, compareVersions)
	if want := []string{"v1.9.10", "v1.10.0", "v1.37.1", "v1.37.2", "v1.37.10"}; !slices.Equal(list, want) {
		t.Errorf("sorted: %q", list)
	}
}
