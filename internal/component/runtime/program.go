package runtime

import (
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/resource"
)

// placeOf is where a program of a bundle belongs on a host: the "path" that it was built with (distro/*/component.yaml).
func placeOf(name string) string {
	if name == "cni" {
		return "/opt/cni/bin/cni"
	}
	return "/usr/local/bin/" + name
}

// program finds one in a bundle.
func program(b *bundle.Bundle, name string) (resource.Program, bool) {
	for _, p := range b.Parts {
		if p.Kind != bundle.Programs {
			continue
		}
		for _, blob := range p.Blobs {
			if blob.Title == name && blob.MediaType == bundle.ProgramLayer {
				return resource.Program{Name: name, Path: placeOf(name), Blob: blob.Digest.String(), Size: blob.Size, Commands: blob.Commands}, true
			}
		}
	}
	return resource.Program{}, false
}
