package build

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewright/kubewright/internal/bundle"
)

// image stores an image of a component and returns the descriptor by which a bundle names it.
func image(store *bundle.Store, c Component, i ImageRecipe, platform v1.Platform, built record, layers map[string]osLayer) (v1.Descriptor, error) {
	name := i.Name + ":" + c.expand(i.Tag)
	created := v1.Time{Time: c.version.Date.UTC()}
	about := c.annotations(built)
	about[bundle.TitleAnnotation] = i.Name[strings.LastIndex(i.Name, "/")+1:]
	if len(i.Layers) > 0 {
		about[bundle.LicencesAnnotation] += " AND LicenseRef-see-usr-share-doc-of-the-image"
	}
	about[bundle.AboutAnnotation] = fmt.Sprintf("Built by Kubewright from upstream's module %s, not by upstream", about[bundle.SourceAnnotation])
	if c.pin.own {
		about[bundle.AboutAnnotation] = "Kubewright's own, built from " + about[bundle.SourceAnnotation]
	}

	var adds []mutate.Addendum
	add := func(l Layer, a map[string]string, by string) {
		adds = append(adds, mutate.Addendum{
			Layer: storedLayer{l, store}, Annotations: a, MediaType: types.OCILayerZStd,
			History: v1.History{Created: created, CreatedBy: "kubewright bundle build: " + by},
		})
	}
	program := func(p string) { add(built.Programs[p].Layer, c.layerAnnotations(p, built), p+" of "+built.Source) }
	for _, l := range i.Layers {
		if slices.Contains(i.Programs, l) {
			program(l)
			continue
		}
		layer := layers[l]
		packages := strings.Join(layer.Packages, ", ")
		add(layer.Layer, map[string]string{
			bundle.TitleAnnotation: l, bundle.SourceAnnotation: "packages of the distribution: " + packages, bundle.LicencesAnnotation: "see usr/share/doc/*/copyright in it",
		}, "packages "+packages)
	}
	for _, p := range i.Programs {
		if !slices.Contains(i.Layers, p) {
			program(p)
		}
	}
	if len(i.Links) > 0 {
		links := map[string]entry{}
		for link, to := range i.Links {
			links[link] = entry{link: "/" + built.Programs[to].Path}
		}
		layer, err := putLayer(store, links)
		if err != nil {
			return v1.Descriptor{}, err
		}
		add(layer, map[string]string{bundle.TitleAnnotation: "links", bundle.LicencesAnnotation: "Apache-2.0", bundle.SourceAnnotation: "kubewright"}, "links to "+strings.Join(i.Programs, ", "))
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: created, Author: "Kubewright",
		Config: v1.Config{
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint: i.Entrypoint, Cmd: i.Command, User: i.User, WorkingDir: "/", Labels: about,
		},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}},
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	if img, err = mutate.Append(img, adds...); err != nil {
		return v1.Descriptor{}, err
	}
	img = mutate.Annotations(img, about).(v1.Image)
	config, err := img.RawConfigFile()
	if err != nil {
		return v1.Descriptor{}, err
	}
	manifest, err := img.RawManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if _, _, err := store.Put(bytes.NewReader(config)); err != nil {
		return v1.Descriptor{}, err
	}
	about[bundle.RefNameAnnotation] = name
	c.choice(about)
	return putManifest(store, manifest, v1.Descriptor{MediaType: types.OCIManifestSchema1, Platform: &platform, Annotations: about})
}

// annotations say of a part what it is and where it comes from.
func (c Component) annotations(built record) map[string]string {
	a := map[string]string{
		bundle.ComponentAnnotation: c.name, bundle.VersionAnnotation: c.version.Version, bundle.LicencesAnnotation: c.Licence,
		bundle.SourceAnnotation: built.Source, bundle.SumAnnotation: built.Sum,
		bundle.VendorAnnotation: "Kubewright", bundle.ToolchainAnnotation: built.Toolchain,
		bundle.RevisionAnnotation: c.version.Commit,
	}
	maps.DeleteFunc(a, func(_, v string) bool { return v == "" })
	return a
}

// layerAnnotations say of a program what it is and where it comes from.
func (c Component) layerAnnotations(program string, built record) map[string]string {
	return map[string]string{
		bundle.TitleAnnotation: program, bundle.VersionAnnotation: c.version.Version, bundle.LicencesAnnotation: c.Licence, bundle.SourceAnnotation: built.Source,
	}
}

// choice adds what is true of a part in this bundle only: other bundles may choose the same for other reasons.
func (c Component) choice(a map[string]string) {
	a[bundle.ChoiceAnnotation] = c.version.Source
	if c.version.Kubeadm != "" {
		a[bundle.KubeadmAnnotation] = c.version.Kubeadm
	}
	if c.Test {
		a[bundle.TestAnnotation] = "true"
	}
}

// programs stores an artifact of a component's programs for hosts, or nothing if it has none.
func programs(store *bundle.Store, c Component, platform v1.Platform, built record) (*v1.Descriptor, error) {
	about := c.annotations(built)
	about[bundle.TitleAnnotation] = c.name
	var layers []v1.Descriptor
	for _, p := range c.Programs {
		if !p.Host {
			continue
		}
		l := built.Programs[p.Name]
		a := c.layerAnnotations(p.Name, built)
		if names := p.commands(); len(names) > 0 {
			a[bundle.CommandsAnnotation] = strings.Join(names, ",")
		}
		layers = append(layers, v1.Descriptor{MediaType: bundle.ProgramLayer, Digest: l.Digest, Size: l.Size, Annotations: a})
	}
	if len(layers) == 0 {
		return nil, nil
	}
	d, err := putArtifact(store, bundle.ProgramsType, layers, v1.Descriptor{Platform: &platform, Annotations: about})
	c.choice(d.Annotations)
	return &d, err
}

// packages stores an artifact of packages for hosts.
func packages(store *bundle.Store, d *Distribution, platform v1.Platform, got collection) (v1.Descriptor, error) {
	layers := []v1.Descriptor{{
		MediaType: bundle.RepositoryLayer, Digest: got.Repository.Digest, Size: got.Repository.Size,
		Annotations: map[string]string{bundle.TitleAnnotation: "repository", bundle.LicencesAnnotation: "Apache-2.0", bundle.SourceAnnotation: "kubewright"},
	}}
	for _, p := range got.Packages {
		layers = append(layers, v1.Descriptor{
			MediaType: p.MediaType, Digest: p.Digest, Size: p.Size,
			Annotations: map[string]string{
				bundle.TitleAnnotation: p.File, bundle.VersionAnnotation: p.Version, bundle.LicencesAnnotation: p.Licences,
				bundle.SourceAnnotation: p.Source,
			},
		})
	}
	return putArtifact(store, bundle.PackagesType, layers, v1.Descriptor{Platform: &platform, Annotations: map[string]string{
		bundle.TitleAnnotation: d.name, bundle.ComponentAnnotation: d.name, bundle.DistributionAnnotation: d.name,
		bundle.LicencesAnnotation: "LicenseRef-each-package-its-own", bundle.SourceAnnotation: d.Collector + " " + d.Release,
		bundle.ChoiceAnnotation: "the newest in the package sources of the computer that collected them",
	}})
}

// putArtifact stores the manifest of an artifact (OCI image specification 1.1, "Guidelines for Artifact Usage").
func putArtifact(store *bundle.Store, artifactType string, layers []v1.Descriptor, d v1.Descriptor) (v1.Descriptor, error) {
	config := []byte("{}")
	h, n, err := store.Put(bytes.NewReader(config))
	if err != nil {
		return v1.Descriptor{}, err
	}
	manifest, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: artifactType, Layers: layers, Annotations: d.Annotations,
		Config: v1.Descriptor{MediaType: bundle.EmptyConfig, Digest: h, Size: n, Data: config},
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	d.MediaType, d.ArtifactType = types.OCIManifestSchema1, artifactType
	return putManifest(store, manifest, d)
}

// putManifest stores a manifest and completes its descriptor.
func putManifest(store *bundle.Store, manifest []byte, d v1.Descriptor) (v1.Descriptor, error) {
	h, n, err := store.Put(bytes.NewReader(manifest))
	d.Digest, d.Size = h, n
	return d, err
}

// programLayer stores a program as the layer that images and hosts share.
func programLayer(store *bundle.Store, p Program, file string) (Layer, error) {
	if _, err := os.Stat(file); err != nil {
		return Layer{}, errors.Join(fmt.Errorf("the build of %s gave no such program", p.Name), err)
	}
	return putLayer(store, map[string]entry{path.Clean(p.Path): {mode: 0o755, file: file, capability: p.Capability}})
}

// putIndex stores the index of a bundle.
func putIndex(store *bundle.Store, r Release, platform, toolchain string, parts []v1.Descriptor) (v1.Hash, int64, error) {
	slices.SortFunc(parts, func(a, b v1.Descriptor) int {
		return strings.Compare(a.Annotations[bundle.ComponentAnnotation]+a.Annotations[bundle.RefNameAnnotation], b.Annotations[bundle.ComponentAnnotation]+b.Annotations[bundle.RefNameAnnotation])
	})
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, ArtifactType: bundle.BundleType, Manifests: parts,
		Annotations: map[string]string{
			bundle.TitleAnnotation: "Kubernetes " + r.Kubernetes + " for " + platform, bundle.VersionAnnotation: r.Kubernetes,
			bundle.PlatformAnnotation: platform, bundle.ToolchainAnnotation: toolchain, bundle.VendorAnnotation: "Kubewright",
		},
	})
	if err != nil {
		return v1.Hash{}, 0, err
	}
	return store.Put(bytes.NewReader(index))
}
