package resource

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// Images are images of a bundle that containerd has for the kubelet: complete, and kept from garbage collection. They are one resource, because
// containerd tells of all at once, and what they share travels once. A machine has one such resource.
type Images struct {
	Images []Image `json:"images"`
	// Socket of containerd; /run/containerd/containerd.sock if empty.
	Socket string `json:"socket,omitempty"`
	// Root is where containerd has its data; /var/lib/containerd if empty.
	Root string `json:"root,omitempty"`
	// Snapshotter is that of the kubelet's containers, where it is not containerd's own choice.
	Snapshotter string `json:"snapshotter,omitempty"`
}

// Image is an image of a bundle.
type Image struct {
	Name string `json:"name"` // in full: "registry.k8s.io/pause:3.10.2"
	// Manifest is the digest ("sha256:…") of its manifest, which names the rest. All are blobs.
	Manifest string `json:"manifest"`
}

const (
	ctrPath = "/usr/local/bin/ctr"
	// criNamespace is where the kubelet's images are (containerd's internal/cri/constants).
	criNamespace = "k8s.io"
	// pinnedLabel keeps an image from the kubelet's garbage collection (containerd's internal/cri/labels).
	pinnedLabel = "io.cri-containerd.pinned"
	pinned      = "pinned"
	// imagesRecord is what Undo needs to know.
	imagesRecord = Dir + "/images.json"
	// unpackedFactor is how much room an image takes, as a multiple of what travels: layers are kept as they are and unpacked (Go programs
	// compressed by zstd take a quarter of their size).
	unpackedFactor = 5
)

// broughtImages is written before an image comes or is pinned.
type broughtImages struct {
	// Brought are names that containerd did not have before.
	Brought []string `json:"brought,omitempty"`
	// Pinned are names that it had, but not pinned.
	Pinned []string `json:"pinned,omitempty"`
	// Loaded are the digests of manifests, by name, that it had when it was looked at last.
	Loaded map[string]string `json:"loaded,omitempty"`
}

// ID is the same everywhere.
func (Images) ID() ID { return ID{"images", "containerd"} }

// Observe finds for each image that containerd has the digest of its manifest, by name; "NAME pinned", and "NAME state": "complete", or what
// containerd says instead. Those of other bundles that are still pinned are "NAME needless".
func (i Images) Observe(ctx context.Context, env *Env) (Observed, error) {
	there, err := i.list(ctx, env)
	stopped := errors.Is(err, errNoContainerd)
	if err != nil && !stopped {
		return Observed{}, err
	}
	r, err := readImagesRecord(env)
	if err != nil {
		return Observed{}, err
	}
	if stopped {
		return i.unseen(env, r), nil
	}
	o := Observed{State: Absent, Values: map[string]string{}}
	for _, want := range i.Images {
		if is, ok := there[want.Name]; ok {
			o.State = Present
			o.Values[want.Name] = is.digest
			o.Values[want.Name+" state"] = is.state
			if is.pinned {
				o.Values[want.Name+" pinned"] = pinned
			}
		}
	}
	for _, name := range slices.Concat(r.Brought, r.Pinned) {
		if there[name].pinned && !i.wants(name) {
			o.Values[name+" needless"] = pinned
		}
	}
	return o, nil
}

// unseen is what is known where containerd does not run: what it had when it did, as long as its data is there. It is looked at again when it runs.
func (i Images) unseen(env *Env, r broughtImages) Observed {
	if _, err := env.Files.Stat(cmp.Or(i.Root, "/var/lib/containerd")); err != nil || len(r.Loaded) == 0 {
		return Observed{State: Absent}
	}
	o := Observed{State: Present, Values: map[string]string{}, Note: "containerd does not run, so its images are taken to be those that it had; they are looked at when it does"}
	for _, want := range i.Images {
		if is := r.Loaded[want.Name]; is != "" {
			o.Values[want.Name], o.Values[want.Name+" state"], o.Values[want.Name+" pinned"] = is, "complete", pinned
		}
	}
	return o
}

func (i Images) wants(name string) bool {
	return slices.ContainsFunc(i.Images, func(w Image) bool { return w.Name == name })
}

// heldImage is what containerd has under a name.
type heldImage struct {
	digest string // of the manifest
	state  string // "complete", "incomplete", "unavailable", "not unpacked"; empty for those that are not wanted
	pinned bool
}

// errNoContainerd says that containerd is not installed or does not run.
var errNoContainerd = errors.New("containerd does not run")

// listTime is how long containerd may take to say what it has. It does in a fraction of a second.
const listTime = 30 * time.Second

// list asks containerd for all images it has for the kubelet. How those are that are wanted is looked at as "ctr images check" does (containerd's images.Check and
// image.IsUnpacked): a program that is executed for it costs more than all questions together.
func (i Images) list(ctx context.Context, env *Env) (map[string]heldImage, error) {
	if _, err := env.Files.Stat(i.socket()); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoContainerd
	} else if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	there, err := i.ask(limited, env)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, fmt.Errorf("containerd at %s does not say within %v which images it has; \"journalctl -u containerd\" may say more", i.socket(), listTime)
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNoContainerd
	case err != nil:
		return nil, fmt.Errorf("asking for images: %w; \"journalctl -u containerd\" may say more", err)
	}
	return there, nil
}

func (i Images) ask(ctx context.Context, env *Env) (map[string]heldImage, error) {
	images, err := env.Containerd.Images(ctx, i.socket())
	if err != nil {
		return nil, err
	}
	content, err := env.Containerd.Content(ctx, i.socket())
	if err != nil {
		return nil, err
	}
	there := map[string]heldImage{}
	chains := map[string]string{} // of complete images, by name
	for _, image := range images {
		h := heldImage{digest: image.Digest, pinned: image.Labels[pinnedLabel] == pinned}
		if i.wants(image.Name) {
			if h.state, chains[image.Name], err = i.state(ctx, env, image.Digest, content); err != nil {
				return nil, err
			}
		}
		there[image.Name] = h
	}
	maps.DeleteFunc(chains, func(_, chain string) bool { return chain == "" })
	unpacked, err := env.Containerd.Unpacked(ctx, i.socket(), i.Snapshotter, slices.Sorted(maps.Values(chains)))
	if err != nil {
		return nil, err
	}
	for name, chain := range chains {
		if h := there[name]; !unpacked[chain] {
			h.state = "not unpacked"
			there[name] = h
		}
	}
	return there, nil
}

// state says whether all that an image consists of is there, and the chain of its layers if it is. What is no manifest, an index for one, is not what a bundle has.
func (i Images) state(ctx context.Context, env *Env, manifest string, content map[string]bool) (state, chain string, err error) {
	b, err := env.Containerd.Blob(ctx, i.socket(), manifest)
	if err != nil || b == nil {
		return "unavailable", "", err
	}
	var m struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if err := json.Unmarshal(b, &m); err != nil || m.Config.Digest == "" {
		return "unavailable", "", nil
	}
	for _, d := range append([]descriptor{m.Config}, m.Layers...) {
		if !content[d.Digest] {
			return "incomplete", "", nil
		}
	}
	if b, err = env.Containerd.Blob(ctx, i.socket(), m.Config.Digest); err != nil || b == nil {
		return "incomplete", "", err
	}
	var config struct {
		RootFS struct {
			Layers []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(b, &config); err != nil {
		return "incomplete", "", nil
	}
	return "complete", chainID(config.RootFS.Layers), nil
}

// chainID names layers on top of each other (OCI image specification, "Layer ChainID").
func chainID(layers []string) string {
	chain := ""
	for n, l := range layers {
		if n == 0 {
			chain = l
			continue
		}
		chain = DigestOf([]byte(chain + " " + l))
	}
	return chain
}

func (i Images) snapshotter() []string {
	if i.Snapshotter == "" {
		return nil
	}
	return []string{"--snapshotter", i.Snapshotter}
}

func (i Images) socket() string { return cmp.Or(i.Socket, "/run/containerd/containerd.sock") }

// ctr runs containerd's client and returns what it says.
func (i Images) ctr(ctx context.Context, env *Env, stdin io.Reader, args ...string) (string, error) {
	out, err := env.Exec.Run(ctx, Command{
		Name: ctrPath, Stdin: stdin,
		Args: append([]string{"--address", i.socket(), "--connect-timeout", "10s", "--namespace", criNamespace}, args...),
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoContainerd
	}
	if err != nil {
		return "", fmt.Errorf("running ctr: %w", err)
	}
	if out.Code == 0 {
		return out.Stdout, nil
	}
	// A socket that nobody listens to is what containerd leaves when it is killed.
	if strings.Contains(out.Stderr, "connect: connection refused") {
		return "", errNoContainerd
	}
	return "", fmt.Errorf("containerd at %s: ctr %s: %s; \"journalctl -u containerd\" may say more",
		i.socket(), strings.Join(args[:min(2, len(args))], " "), withoutWarnings(out).last())
}

// withoutWarnings leaves out what containerd warns of each time that it is asked.
func withoutWarnings(out Output) Output {
	var errs strings.Builder
	for line := range strings.Lines(out.Stderr) {
		if !strings.Contains(line, "level=warning") {
			errs.WriteString(line)
		}
	}
	out.Stderr = errs.String()
	if strings.TrimSpace(out.Stderr) == "" {
		out.Stderr = fmt.Sprintf("it ended with code %d", out.Code)
	}
	return out
}

// Diff names each image that is not there as it shall be, and those that are pinned and that nothing asks for.
func (i Images) Diff(o Observed) []Change {
	var changes []Change
	for _, want := range i.Images {
		is, state := o.Value(want.Name), o.Value(want.Name+" state")
		switch {
		case is == "":
			changes = append(changes, Change{What: want.Name, Old: "absent", New: "present"})
		case is != want.Manifest:
			changes = append(changes, Change{What: want.Name, Old: short(is), New: short(want.Manifest)})
		case state != "complete":
			changes = append(changes, Change{What: want.Name, Old: state, New: "complete"})
		case o.Value(want.Name+" pinned") == "":
			changes = append(changes, Change{What: want.Name, Old: "not pinned", New: pinned})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Values)) {
		if name, ok := strings.CutSuffix(name, " needless"); ok {
			changes = append(changes, Change{What: name, Old: pinned, New: "not pinned", Why: "nothing asks for it any more"})
		}
	}
	return changes
}

// Apply loads, all at once, what is missing, and pins.
func (i Images) Apply(ctx context.Context, env *Env) error {
	err := i.apply(ctx, env)
	if errors.Is(err, errNoContainerd) {
		return TransientError{fmt.Errorf("images cannot be loaded: %w", err)}
	}
	return err
}

func (i Images) apply(ctx context.Context, env *Env) error {
	there, err := i.list(ctx, env)
	if err != nil {
		return err
	}
	r, err := readImagesRecord(env)
	if err != nil {
		return err
	}
	var missing []Image
	var unpinned []string
	for _, want := range i.Images {
		is, ok := there[want.Name]
		known := slices.Contains(r.Brought, want.Name) || slices.Contains(r.Pinned, want.Name)
		if !ok && !known {
			r.Brought = append(r.Brought, want.Name)
		} else if !is.pinned && !known {
			r.Pinned = append(r.Pinned, want.Name)
		}
		switch {
		case is.digest != want.Manifest || is.state != "complete":
			missing = append(missing, want)
		case !is.pinned:
			unpinned = append(unpinned, want.Name)
		}
	}
	if err := writeImagesRecord(env, r); err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := i.load(ctx, env, missing); err != nil {
			return err
		}
	}
	for _, name := range unpinned {
		if _, err := i.ctr(ctx, env, nil, "images", "label", name, pinnedLabel+"="+pinned); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(r.Brought, r.Pinned) {
		if there[name].pinned && !i.wants(name) {
			if err := i.unpin(ctx, env, name); err != nil {
				return err
			}
		}
	}
	o, err := i.Observe(ctx, env)
	if err != nil {
		return err
	}
	if left := i.Diff(o); len(left) > 0 {
		return fmt.Errorf("containerd took the images, but not all is as it shall be: %s", left[0])
	}
	r.Loaded = map[string]string{}
	for _, want := range i.Images {
		r.Loaded[want.Name] = want.Manifest
	}
	return writeImagesRecord(env, r)
}

// unpin clears the label, as an empty one.
func (i Images) unpin(ctx context.Context, env *Env, name string) error {
	_, err := i.ctr(ctx, env, nil, "images", "label", name, pinnedLabel+"=")
	return err
}

// descriptor is what manifests and indexes say of a blob (OCI image specification, "Content Descriptors").
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// layoutBlob is a blob of an image layout. Manifests are known, the others are fetched when it is their turn.
type layoutBlob struct {
	descriptor
	content []byte
}

// load has containerd import images. Blobs that it has do not travel.
func (i Images) load(ctx context.Context, env *Env, images []Image) error {
	index, blobs, err := readManifests(ctx, env, images)
	if err != nil {
		return err
	}
	held, err := i.ctr(ctx, env, nil, "content", "ls", "--quiet")
	if err != nil {
		return err
	}
	lacking := slices.DeleteFunc(slices.Clone(blobs), func(b layoutBlob) bool {
		return b.content == nil && slices.Contains(strings.Fields(held), b.Digest)
	})
	var size int64
	for _, b := range lacking {
		size += b.Size
	}
	if err := needRoom(env, cmp.Or(i.Root, "/var/lib/containerd"), size*unpackedFactor, "loading images"); err != nil {
		return err
	}
	refused, err := i.importLayout(ctx, env, index, lacking)
	if refused && len(lacking) < len(blobs) && ctx.Err() == nil {
		// What it had and nothing used may have been collected meanwhile, or be damaged.
		_, err = i.importLayout(ctx, env, index, blobs)
	}
	return err
}

// readManifests returns the index of a layout that holds images, and all blobs that these consist of, each once.
func readManifests(ctx context.Context, env *Env, images []Image) (index []byte, blobs []layoutBlob, err error) {
	var manifests []descriptor
	seen := map[string]bool{}
	add := func(b layoutBlob) {
		if !seen[b.Digest] {
			seen[b.Digest] = true
			blobs = append(blobs, b)
		}
	}
	for _, image := range images {
		content, err := readBlob(ctx, env, image.Manifest, maxManifest)
		if err != nil {
			return nil, nil, fmt.Errorf("getting the manifest of %s: %w", image.Name, err)
		}
		var m struct {
			MediaType string       `json:"mediaType"`
			Config    descriptor   `json:"config"`
			Layers    []descriptor `json:"layers"`
		}
		if err := json.Unmarshal(content, &m); err != nil || m.Config.Digest == "" {
			return nil, nil, fmt.Errorf("%s: the blob %s is no manifest of an image", image.Name, image.Manifest)
		}
		d := descriptor{MediaType: m.MediaType, Digest: image.Manifest, Size: int64(len(content))}
		for _, l := range append([]descriptor{m.Config}, m.Layers...) {
			add(layoutBlob{descriptor: l})
		}
		add(layoutBlob{descriptor: d, content: content})
		// containerd takes the name from its own annotation as it is (core/images/annotations.go).
		d.Annotations = map[string]string{"io.containerd.image.name": image.Name}
		manifests = append(manifests, d)
	}
	index, err = json.Marshal(map[string]any{"schemaVersion": 2, "manifests": manifests})
	return index, blobs, err
}

// maxManifest is more than registries accept for a manifest (4 MiB, OCI distribution specification).
const maxManifest = 4 << 20

// readBlob reads a small blob.
func readBlob(ctx context.Context, env *Env, digest string, limit int64) ([]byte, error) {
	r, err := env.Blob(ctx, digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("the blob %s has more than %d bytes", digest, limit)
	}
	return b, err
}

// importLayout has containerd read an image layout (OCI Image Layout Specification) as a tar archive that is written as it reads.
// Refused says that everything could be sent, or would have been, and containerd did not want it.
func (i Images) importLayout(ctx context.Context, env *Env, index []byte, blobs []layoutBlob) (refused bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, write := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := writeLayout(ctx, env, write, index, blobs)
		_ = write.CloseWithError(err)
		sent <- err
	}()
	args := append([]string{"images", "import", "--label", pinnedLabel + "=" + pinned}, i.snapshotter()...)
	if i.Snapshotter != "" {
		// containerd's own transfer service unpacks only for snapshotters that its configuration names for it.
		args = append(args, "--local")
	}
	_, err = i.ctr(ctx, env, read, append(args, "-")...)
	_ = read.CloseWithError(errStoppedReading) // the writer ends
	cancel()
	if sendErr := <-sent; sendErr != nil && !errors.Is(sendErr, errStoppedReading) && !errors.Is(sendErr, context.Canceled) {
		return false, fmt.Errorf("sending images to containerd: %w", sendErr)
	}
	if err != nil {
		return true, fmt.Errorf("loading images: %w", err)
	}
	return false, nil
}

var errStoppedReading = errors.New("containerd stopped reading")

// writeLayout writes the index last: without it, what came before is nothing.
func writeLayout(ctx context.Context, env *Env, w io.Writer, index []byte, blobs []layoutBlob) error {
	t := tar.NewWriter(w)
	entry := func(name string, size int64, r io.Reader) error {
		if err := t.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		_, err := io.Copy(t, r)
		return err
	}
	bytesEntry := func(name string, b []byte) error { return entry(name, int64(len(b)), bytes.NewReader(b)) }
	if err := bytesEntry("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	progress := counted{what: "images", env: env}
	for _, b := range blobs {
		progress.total += b.Size
	}
	for _, b := range blobs {
		algorithm, hex, _ := strings.Cut(b.Digest, ":")
		name := "blobs/" + algorithm + "/" + hex
		if b.content != nil {
			if err := bytesEntry(name, b.content); err != nil {
				return err
			}
			continue
		}
		r, err := env.Blob(ctx, b.Digest)
		if err != nil {
			return fmt.Errorf("getting the blob %s: %w", b.Digest, err)
		}
		progress.r = contextReader{ctx, r}
		err = entry(name, b.Size, &progress)
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("the blob %s: %w", b.Digest, err)
		}
	}
	if err := bytesEntry("index.json", index); err != nil {
		return err
	}
	return t.Close()
}

func readImagesRecord(env *Env) (broughtImages, error) {
	var r broughtImages
	f, err := env.Files.Open(imagesRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	if err := json.NewDecoder(f).Decode(&r); err != nil {
		return r, fmt.Errorf("reading %s: %w; remove it, and the images in containerd will be left alone when Kubewright goes", imagesRecord, err)
	}
	return r, nil
}

func writeImagesRecord(env *Env, r broughtImages) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return env.Files.Write(imagesRecord, Attributes{Mode: 0o644}, bytes.NewReader(b))
}

// Undo removes the images that containerd did not have before. One that it had with another content stays as it is, no longer pinned: what it
// was is gone. Where containerd does not run, nothing can be removed from it.
func (i Images) Undo(ctx context.Context, env *Env, _ Observed) error {
	r, err := readImagesRecord(env)
	if err != nil {
		return err
	}
	there, err := i.list(ctx, env)
	if errors.Is(err, errNoContainerd) {
		return env.Files.Remove(imagesRecord)
	}
	if err != nil {
		return err
	}
	if gone := removable(there, r.Brought); len(gone) > 0 {
		if _, err := i.ctr(ctx, env, nil, append([]string{"images", "rm", "--sync"}, gone...)...); err != nil {
			return err
		}
	}
	for _, name := range r.Pinned {
		if there[name].pinned {
			if err := i.unpin(ctx, env, name); err != nil {
				return err
			}
		}
	}
	return env.Files.Remove(imagesRecord)
}

// removable are those of the brought images that are there, and the names that containerd's CRI gave them, by digest of their configuration,
// where no other name leads to the same image.
func removable(there map[string]heldImage, brought []string) []string {
	var gone []string
	digests := map[string]bool{}
	for _, name := range brought {
		if is, ok := there[name]; ok {
			gone = append(gone, name)
			digests[is.digest] = true
		}
	}
	for name, is := range there {
		if !slices.Contains(brought, name) && !strings.HasPrefix(name, "sha256:") {
			delete(digests, is.digest)
		}
	}
	for name, is := range there {
		if strings.HasPrefix(name, "sha256:") && digests[is.digest] {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return slices.Compact(gone)
}
