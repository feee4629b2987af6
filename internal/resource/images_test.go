package resource

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// testContainerd does what containerd does when it is asked, and when ctr asks it.
type testContainerd struct {
	images  map[string]*testImage
	content map[string]bool
	runs    bool // or nobody listens at its socket
	hangs   bool
	broken  bool
	absent  bool     // ctr is not installed
	packed  []string // chains of layers that are not unpacked; a load unpacks them
	m       *rootMachine
	// snapshotter is one that has to be asked for.
	snapshotter string
	// collects makes it lose content as soon as it was asked for what it has.
	collects []string
	sent     []string // digests that were in imports
}

type testImage struct {
	digest string
	labels []string
}

// exec answers for ctr.
func (c *testContainerd) exec(m *rootMachine) execFunc {
	return func(_ context.Context, cmd Command) (Output, error) {
		if c.absent {
			return Output{}, fs.ErrNotExist
		}
		args := strings.Join(cmd.Args, " ")
		const common = "--address /run/containerd/containerd.sock --connect-timeout 10s --namespace k8s.io "
		if cmd.Name != ctrPath || !strings.HasPrefix(args, common) {
			return Output{Code: 1, Stderr: "what is " + args}, nil
		}
		call := strings.TrimPrefix(args, common)
		if c.snapshotter != "" && strings.Contains(call, " import ") {
			with := " --snapshotter " + c.snapshotter + " --local"
			if !strings.Contains(call, with) {
				return Output{Code: 1, Stderr: "ctr: no unpack platforms defined: invalid argument"}, nil
			}
			call = strings.Replace(call, with, "", 1)
		}
		switch {
		case !c.runs:
			return Output{Code: 1, Stderr: `ctr: connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"`}, nil
		}
		var out strings.Builder
		switch words := strings.Fields(call); {
		case call == "content ls --quiet":
			for d := range c.content {
				out.WriteString(d + "\n")
			}
			for _, d := range c.collects {
				delete(c.content, d)
			}
		case call == "images import --label io.cri-containerd.pinned=pinned -":
			if err := c.importLayout(m, cmd.Stdin); err != nil {
				return Output{Code: 1, Stderr: "ctr: " + err.Error()}, nil
			}
		case strings.HasPrefix(call, "images label "):
			i := c.images[words[2]]
			i.labels = nil
			if !strings.HasSuffix(words[3], "=") {
				i.labels = []string{words[3]}
			}
		case strings.HasPrefix(call, "images rm --sync "):
			for _, name := range words[3:] {
				if c.images[name] == nil {
					return Output{Code: 1, Stderr: "ctr: " + name + ": not found"}, nil
				}
				delete(c.images, name)
			}
			used := map[string]bool{}
			for _, i := range c.images {
				for _, d := range testDigests(m, i.digest) {
					used[d] = true
				}
			}
			maps.DeleteFunc(c.content, func(d string, _ bool) bool { return !used[d] })
		default:
			return Output{Code: 1, Stderr: "what is " + call}, nil
		}
		return Output{Stdout: out.String()}, nil
	}
}

// Images are what it has.
func (c *testContainerd) Images(ctx context.Context, socket string) ([]ContainerdImage, error) {
	switch {
	case socket != "/run/containerd/containerd.sock":
		return nil, fmt.Errorf("what is at %s", socket)
	case c.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case c.broken:
		return nil, errors.New("the database is broken")
	case !c.runs:
		return nil, fs.ErrNotExist
	}
	var all []ContainerdImage
	for _, name := range slices.Sorted(maps.Keys(c.images)) {
		i := ContainerdImage{Name: name, Digest: c.images[name].digest, Labels: map[string]string{"io.cri-containerd.image": "managed"}}
		for _, l := range c.images[name].labels {
			key, value, _ := strings.Cut(l, "=")
			i.Labels[key] = value
		}
		all = append(all, i)
	}
	return all, nil
}

func (c *testContainerd) Content(context.Context, string) (map[string]bool, error) {
	return maps.Clone(c.content), nil
}

func (c *testContainerd) Blob(_ context.Context, _, digest string) ([]byte, error) {
	if !c.content[digest] {
		return nil, nil
	}
	return c.m.blobs.content[digest], nil
}

// Unpacked are all but those that are packed.
func (c *testContainerd) Unpacked(_ context.Context, _, snapshotter string, chains []string) (map[string]bool, error) {
	if snapshotter != c.snapshotter {
		return nil, fmt.Errorf("snapshotter %q was not found", snapshotter)
	}
	there := map[string]bool{}
	for _, chain := range chains {
		there[chain] = !slices.Contains(c.packed, chain)
	}
	return there, nil
}

// testDigests are a manifest and what it names.
func testDigests(m *rootMachine, manifest string) []string {
	var v struct {
		Config descriptor
		Layers []descriptor
	}
	if json.Unmarshal(m.blobs.content[manifest], &v) != nil {
		return []string{manifest}
	}
	all := []string{manifest, v.Config.Digest}
	for _, l := range v.Layers {
		all = append(all, l.Digest)
	}
	return all
}

func (c *testContainerd) importLayout(m *rootMachine, r io.Reader) error {
	var index struct{ Manifests []descriptor }
	got := map[string]bool{}
	layout := false
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		switch {
		case h.Name == "oci-layout":
			layout = true
		case h.Name == "index.json":
			if err := json.Unmarshal(b, &index); err != nil {
				return err
			}
		default:
			digest := strings.ReplaceAll(strings.TrimPrefix(h.Name, "blobs/"), "/", ":")
			if DigestOf(b) != digest || got[digest] {
				return fmt.Errorf("%s is damaged or comes twice", h.Name)
			}
			got[digest] = true
			c.sent = append(c.sent, digest)
		}
	}
	if !layout || len(index.Manifests) == 0 {
		return errors.New("unrecognized image format")
	}
	maps.Copy(c.content, got)
	c.packed = nil
	for _, d := range index.Manifests {
		for _, digest := range testDigests(m, d.Digest) {
			if !c.content[digest] {
				return fmt.Errorf("content %s: not found", digest)
			}
		}
		c.images[d.Annotations["io.containerd.image.name"]] = &testImage{d.Digest, []string{"io.cri-containerd.pinned=pinned"}}
		c.images["sha256:config-of-"+d.Digest] = &testImage{digest: d.Digest}
	}
	return nil
}

// newContainerd is one that runs on a machine.
func newContainerd(t *testing.T, m *rootMachine) *testContainerd {
	c := &testContainerd{images: map[string]*testImage{}, content: map[string]bool{}, runs: true, m: m}
	m.Exec, m.Containerd = c.exec(m), c
	m.write(t, "/run/containerd/containerd.sock", "", 0o600)
	return c
}

// configuration of an image: its layers are what they are unpacked, in a test.
func configuration(name string, layers ...string) string {
	return fmt.Sprintf(`{"comment": %q, "rootfs": {"diff_ids": ["%s"]}}`, name, strings.Join(layers, `", "`))
}

// image makes an image of layers with these contents.
func (m *rootMachine) image(t *testing.T, name string, layers ...string) Image {
	t.Helper()
	describe := func(content string) descriptor {
		return descriptor{MediaType: "application/x", Digest: m.blobs.add([]byte(content)), Size: int64(len(content))}
	}
	manifest := map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": describe(configuration(name, layers...))}
	var list []descriptor
	for _, l := range layers {
		list = append(list, describe(l))
	}
	manifest["layers"] = list
	b, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return Image{name, m.blobs.add(b)}
}

func TestImagesComeAndGo(t *testing.T) {
	m := newRootMachine(t)
	c := newContainerd(t, m)
	i := Images{Images: []Image{m.image(t, "r/a:1", "shared", "of a"), m.image(t, "r/b:1", "shared", "of b")}}
	theirs := m.image(t, "r/theirs:1", "theirs")
	c.images["r/theirs:1"] = &testImage{digest: theirs.Manifest}
	for _, d := range testDigests(m, theirs.Manifest) {
		c.content[d] = true
	}
	if got := m.differs(t, i); !slices.Equal(got, []string{"r/a:1: absent → present", "r/b:1: absent → present"}) {
		t.Fatalf("it differs by %q", got)
	}
	before := m.apply(t, i)
	if len(c.sent) != 7 {
		t.Errorf("%d blobs travelled: %q", len(c.sent), c.sent)
	}
	sent := len(c.sent)
	m.apply(t, i)
	if len(c.sent) != sent {
		t.Error("a second Apply sent something")
	}
	for range 2 {
		if err := i.Undo(t.Context(), m.Env, before); err != nil {
			t.Fatal(err)
		}
	}
	if names := slices.Collect(maps.Keys(c.images)); !slices.Equal(names, []string{"r/theirs:1"}) || len(c.content) != 3 {
		t.Errorf("Undo left %q with %d blobs", names, len(c.content))
	}
	if tree := m.files.tree(t); len(tree) != 1 {
		t.Errorf("Undo left %q", tree)
	}
}

func TestImagesNoticeWhatHappensToThem(t *testing.T) {
	m := newRootMachine(t)
	a, b := m.image(t, "r/a:1", "shared", "of a"), m.image(t, "r/b:1", "shared", "of b")
	i := Images{Images: []Image{a, b}}
	for _, c := range []struct {
		name   string
		happen func(c *testContainerd)
		want   string
		sent   []string // what travels to mend it, besides manifests
	}{
		{"removed", func(c *testContainerd) { delete(c.images, "r/a:1") }, "r/a:1: absent → present", nil},
		{"unpinned", func(c *testContainerd) { c.images["r/b:1"].labels = nil }, "r/b:1: not pinned → pinned", nil},
		{"pointed elsewhere", func(c *testContainerd) { c.images["r/a:1"].digest = b.Manifest }, "r/a:1: " + short(b.Manifest) + " → " + short(a.Manifest), nil},
		{"incomplete", func(c *testContainerd) { delete(c.content, DigestOf([]byte("of a"))) }, "r/a:1: incomplete → complete", []string{"of a"}},
		{"collected meanwhile", func(c *testContainerd) {
			delete(c.images, "r/a:1")
			c.collects = []string{DigestOf([]byte("of a"))}
		}, "r/a:1: absent → present", []string{"shared", "of a", configuration("r/a:1", "shared", "of a")}},
		{"not unpacked", func(c *testContainerd) { c.packed = []string{DigestOf([]byte("shared of b"))} }, "r/b:1: not unpacked → complete", nil},
		{"without its manifest", func(c *testContainerd) { delete(c.content, b.Manifest) }, "r/b:1: unavailable → complete", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.files.root = t.TempDir()
			d := newContainerd(t, m)
			m.apply(t, i)
			d.sent = nil
			c.happen(d)
			if got := m.differs(t, i); !slices.Equal(got, []string{c.want}) {
				t.Errorf("it differs by %q, not by %q", got, c.want)
			}
			m.apply(t, i)
			d.sent = slices.DeleteFunc(d.sent, func(digest string) bool { return digest == a.Manifest || digest == b.Manifest })
			want := []string{}
			for _, content := range c.sent {
				want = append(want, DigestOf([]byte(content)))
			}
			if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(d.sent)), want) {
				t.Errorf("to mend it, %q travelled, not %q", d.sent, want)
			}
		})
	}
}

func TestImagesForAnotherSnapshotter(t *testing.T) {
	m := newRootMachine(t)
	c := newContainerd(t, m)
	c.snapshotter = "native"
	i := Images{Images: []Image{m.image(t, "r/a:1", "one")}, Snapshotter: "native"}
	m.apply(t, i)
	i.Snapshotter = ""
	if _, err := i.Observe(t.Context(), m.Env); err == nil {
		t.Error("it did not ask for the snapshotter")
	}
}

func TestImagesThatAreNotNeededAnyMoreAreUnpinned(t *testing.T) {
	m := newRootMachine(t)
	c := newContainerd(t, m)
	a1, a2 := m.image(t, "r/a:1", "one"), m.image(t, "r/a:2", "two")
	before := m.apply(t, Images{Images: []Image{a1}})
	next := Images{Images: []Image{a2}}
	if got := m.differs(t, next); len(got) != 2 || got[1] != "r/a:1: pinned → not pinned (nothing asks for it any more)" {
		t.Errorf("it differs by %q", got)
	}
	m.apply(t, next)
	if c.images["r/a:1"] == nil || c.images["r/a:1"].labels != nil {
		t.Error("the image that is not needed is not left to garbage collection")
	}
	if err := next.Undo(t.Context(), m.Env, before); err != nil || len(c.images) != 0 {
		t.Errorf("Undo left %d images: %v", len(c.images), err)
	}
}

func TestImagesThatWereThereStay(t *testing.T) {
	m := newRootMachine(t)
	c := newContainerd(t, m)
	a := m.image(t, "r/a:1", "one")
	c.images["r/a:1"] = &testImage{digest: a.Manifest}
	for _, d := range testDigests(m, a.Manifest) {
		c.content[d] = true
	}
	i := Images{Images: []Image{a}}
	before := m.apply(t, i)
	if len(c.sent) != 0 {
		t.Errorf("what was there travelled: %q", c.sent)
	}
	if err := i.Undo(t.Context(), m.Env, before); err != nil {
		t.Fatal(err)
	}
	if is := c.images["r/a:1"]; is == nil || is.labels != nil {
		t.Errorf("Undo made it %v", is)
	}
}

func TestImagesWithoutContainerd(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(m *rootMachine, c *testContainerd)
		note bool
		err  string // of Observe
	}{
		{"not installed", func(_ *rootMachine, c *testContainerd) { c.absent = true }, false, ""},
		{"not started yet", func(m *rootMachine, _ *testContainerd) { _ = m.files.RemoveAll("/run/containerd") }, false, ""},
		{"killed", func(m *rootMachine, c *testContainerd) {
			c.runs = false
			_ = m.files.Mkdir("/var/lib/containerd", Attributes{Mode: 0o700})
		}, false, ""},
		{"broken", func(_ *rootMachine, c *testContainerd) { c.broken = true }, false,
			"asking for images: the database is broken; \"journalctl -u containerd\" may say more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRootMachine(t)
			c.set(m, newContainerd(t, m))
			i := Images{Images: []Image{m.image(t, "r/a:1", "one")}}
			o, err := i.Observe(t.Context(), m.Env)
			applied := i.Apply(t.Context(), m.Env)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || applied == nil {
					t.Errorf("Observe says %v, Apply %v", err, applied)
				}
				return
			}
			if err != nil || o.State != Absent || (o.Note != "") != c.note || len(i.Diff(o)) != 1 {
				t.Errorf("Observe says %+v, %v", o, err)
			}
			var transient TransientError
			if !errors.As(applied, &transient) {
				t.Errorf("Apply says %v", applied)
			}
			if err := i.Undo(t.Context(), m.Env, o); err != nil {
				t.Errorf("Undo says %v", err)
			}
		})
	}
}

func TestImagesOfAContainerdThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRootMachine(t)
		newContainerd(t, m).hangs = true
		const want = "containerd at /run/containerd/containerd.sock does not say within 30s which images it has"
		if _, err := (Images{Images: []Image{m.image(t, "r/a:1", "one")}}).Observe(t.Context(), m.Env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Observe says %v", err)
		}
	})
}

// A stopped containerd has what it had: that it is stopped is the difference, not its images.
func TestImagesOfAStoppedContainerd(t *testing.T) {
	m := newRootMachine(t)
	c := newContainerd(t, m)
	if err := m.files.Mkdir("/var/lib/containerd", Attributes{Mode: 0o700}); err != nil {
		t.Fatal(err)
	}
	i := Images{Images: []Image{m.image(t, "r/a:1", "one")}}
	m.apply(t, i)
	c.runs = false
	o, err := i.Observe(t.Context(), m.Env)
	if err != nil || o.Note == "" || len(i.Diff(o)) != 0 {
		t.Errorf("stopped, it has %+v, %v", o, err)
	}
	more := Images{Images: append(i.Images, m.image(t, "r/b:1", "two"))}
	if o, err := more.Observe(t.Context(), m.Env); err != nil || len(more.Diff(o)) != 1 {
		t.Errorf("of another image it says %+v, %v", o, err)
	}
	if err := m.files.RemoveAll("/var/lib/containerd"); err != nil {
		t.Fatal(err)
	}
	if o, err := i.Observe(t.Context(), m.Env); err != nil || len(i.Diff(o)) != 1 {
		t.Errorf("without its data it has %+v, %v", o, err)
	}
}

func TestImagesThatCannotBeSent(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(m *rootMachine)
		want string
	}{
		{"no manifest", func(m *rootMachine) { clear(m.blobs.content) }, "getting the manifest of r/a:1"},
		{"a layer is missing", func(m *rootMachine) { delete(m.blobs.content, DigestOf([]byte("one"))) }, "sending images to containerd: getting the blob " + DigestOf([]byte("one"))},
		{"a layer is damaged", func(m *rootMachine) { m.blobs.damaged = []string{DigestOf([]byte("one"))} }, errDamaged.Error()},
		{"no room", func(m *rootMachine) { m.files.free = 10 }, "loading images needs "},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newRootMachine(t)
			d := newContainerd(t, m)
			i := Images{Images: []Image{m.image(t, "r/a:1", "one", "two")}}
			c.set(m)
			if err := i.Apply(t.Context(), m.Env); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Apply says %v, not %q", err, c.want)
			}
			if len(d.images) != 0 {
				t.Errorf("containerd has %v", d.images)
			}
		})
	}
}
