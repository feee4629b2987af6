package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Bundle is all software of nodes for one version of Kubernetes and one platform.
type Bundle struct {
	Kubernetes string `json:"kubernetes"` // "v1.37.1"
	Platform   string `json:"platform"`   // "linux/amd64"
	Toolchain  string `json:"toolchain"`  // what compiled it: "go1.26.8"
	Digest     string `json:"digest"`     // of the index of its parts
	Size       int64  `json:"size"`       // bytes of all its blobs, each counted once
	Parts      []Part `json:"parts"`

	descriptor v1.Descriptor
}

// Name is how people name the bundle, where there may be others for other platforms.
func (b *Bundle) Name() string { return b.Kubernetes + " for " + b.Platform }

// Kind of a part.
type Kind string

// The kinds of parts.
const (
	Image    Kind = "image"
	Programs Kind = "programs"
	Packages Kind = "packages"
)

// Part is an image or an artifact.
type Part struct {
	Kind       Kind   `json:"kind"`
	Name       string `json:"name"`      // an image's full name with its tag; otherwise the component's or the distribution's
	Component  string `json:"component"` // directory in distro that it was built from
	Version    string `json:"version"`   // upstream's; empty for packages, which have one each
	Revision   string `json:"revision,omitempty"`
	Platform   string `json:"platform"`
	Licences   string `json:"licences"` // SPDX expression; of what distributions make, as they name them
	Source     string `json:"source"`   // upstream's module and version, or where packages come from
	Sum        string `json:"sum,omitempty"`
	Choice     string `json:"choice,omitempty"`     // why this version
	KubeadmTag string `json:"kubeadmTag,omitempty"` // the image tag that kubeadm names, where it is another
	Test       bool   `json:"test,omitempty"`       // only tests use it
	Digest     string `json:"digest"`               // of the manifest
	Blobs      []Blob `json:"blobs"`

	descriptor v1.Descriptor
	manifest   v1.Manifest
}

// Blob is content of a part: a layer of an image, a program, a package.
type Blob struct {
	Digest    v1.Hash         `json:"digest"`
	Size      int64           `json:"size"` // bytes
	MediaType types.MediaType `json:"mediaType"`
	Title     string          `json:"title"` // what it is, for people
	Version   string          `json:"version,omitempty"`
	Licences  string          `json:"licences,omitempty"`
	Source    string          `json:"source,omitempty"`
	Commands  []string        `json:"commands,omitempty"` // names that a program is called by
}

// read follows a bundle's descriptor to all that describes it.
func (s *Store) readBundle(d v1.Descriptor) (*Bundle, error) {
	var index v1.IndexManifest
	if err := s.readJSON(d, &index); err != nil {
		return nil, err
	}
	b := &Bundle{
		Kubernetes: index.Annotations[VersionAnnotation], Platform: index.Annotations[PlatformAnnotation],
		Toolchain: index.Annotations[ToolchainAnnotation], Digest: d.Digest.String(), descriptor: d,
	}
	if !versionForm.MatchString(b.Kubernetes) || !platformForm.MatchString(b.Platform) {
		return nil, fmt.Errorf("the index %s is not of a bundle: it is for Kubernetes %q on %q", d.Digest, b.Kubernetes, b.Platform)
	}
	for _, pd := range index.Manifests {
		p, err := s.readPart(pd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", partName(pd), err)
		}
		b.Parts = append(b.Parts, p)
	}
	for _, size := range b.blobs() {
		b.Size += size
	}
	return b, nil
}

// partName is what a descriptor says of a part, when the part itself cannot be read.
func partName(d v1.Descriptor) string {
	return cmp.Or(d.Annotations[RefNameAnnotation], d.Annotations[TitleAnnotation], d.Digest.String())
}

func (s *Store) readPart(d v1.Descriptor) (Part, error) {
	p := Part{
		Name: partName(d), Component: d.Annotations[ComponentAnnotation], Version: d.Annotations[VersionAnnotation],
		Revision: d.Annotations[RevisionAnnotation], Licences: d.Annotations[LicencesAnnotation],
		Source: d.Annotations[SourceAnnotation], Sum: d.Annotations[SumAnnotation], Choice: d.Annotations[ChoiceAnnotation],
		KubeadmTag: d.Annotations[KubeadmAnnotation], Test: d.Annotations[TestAnnotation] == "true",
		Digest: d.Digest.String(), descriptor: d,
	}
	if d.Platform != nil {
		p.Platform = d.Platform.String()
	}
	if err := printable(p.Name, p.Component, p.Version, p.Revision, p.Licences, p.Source, p.Sum, p.Choice, p.KubeadmTag, p.Platform); err != nil {
		return p, err
	}
	switch d.ArtifactType {
	case ProgramsType:
		p.Kind = Programs
	case PackagesType:
		p.Kind = Packages
	case "":
		p.Kind = Image
	default:
		return p, fmt.Errorf("it is of a type that this version of kubewright does not know: %s", d.ArtifactType)
	}
	if err := s.readJSON(d, &p.manifest); err != nil {
		return p, err
	}
	if p.manifest.Config.Digest == (v1.Hash{}) {
		return p, errors.New("it is no manifest")
	}
	for _, l := range p.manifest.Layers {
		blob := Blob{
			Digest: l.Digest, Size: l.Size, MediaType: l.MediaType, Title: l.Annotations[TitleAnnotation],
			Version: l.Annotations[VersionAnnotation], Licences: l.Annotations[LicencesAnnotation], Source: l.Annotations[SourceAnnotation],
		}
		if names := l.Annotations[CommandsAnnotation]; names != "" {
			blob.Commands = strings.Split(names, ",")
		}
		if err := blob.check(); err != nil {
			return p, err
		}
		p.Blobs = append(p.Blobs, blob)
	}
	return p, nil
}

// Forms of what bundles say of themselves: others made them, and people see it, on terminals and as names of files.
var (
	versionForm  = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?$`)
	platformForm = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$`)
	commandForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

func (b Blob) check() error {
	if b.Digest == (v1.Hash{}) {
		return fmt.Errorf("%q has no digest", b.Title)
	}
	for _, c := range b.Commands {
		if !commandForm.MatchString(c) {
			return fmt.Errorf("%q cannot be the name of a command", c)
		}
	}
	return printable(b.Title, b.Version, b.Licences, b.Source)
}

// printable refuses what would do something to a terminal.
func printable(texts ...string) error {
	for _, t := range texts {
		if strings.ContainsFunc(t, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q is no text for people", t)
		}
	}
	return nil
}

// blobs are the digests and sizes in bytes of all that the bundle consists of, its index included.
func (b *Bundle) blobs() map[v1.Hash]int64 {
	all := map[v1.Hash]int64{b.descriptor.Digest: b.descriptor.Size}
	for _, p := range b.Parts {
		all[p.descriptor.Digest] = p.descriptor.Size
		all[p.manifest.Config.Digest] = p.manifest.Config.Size
		for _, l := range p.manifest.Layers {
			all[l.Digest] = l.Size
		}
	}
	return all
}

// compareBundles sorts by version, newest first, then platform.
func compareBundles(a, b *Bundle) int {
	return cmp.Or(-compareVersions(a.Kubernetes, b.Kubernetes), cmp.Compare(a.Platform, b.Platform))
}

// compareVersions compares "v1.37.1" and "v1.9.10" number by number.
func compareVersions(a, b string) int {
	return slices.Compare(versionNumbers(a), versionNumbers(b))
}

func versionNumbers(v string) []int {
	var n []int
	for part := range strings.SplitSeq(strings.TrimPrefix(v, "v"), ".") {
		var i int
		_, _ = fmt.Sscanf(part, "%d", &i) // what is no number sorts as 0
		n = append(n, i)
	}
	return n
}
