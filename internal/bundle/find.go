package bundle

import (
	"path"
	"strings"
)

// ShortName is the last part of an image's name, without its tag: "kube-proxy".
func (p Part) ShortName() string {
	name, _, _ := strings.Cut(path.Base(p.Name), ":")
	return name
}

// Image is the one with a short name, unless only tests use it.
func (b *Bundle) Image(short string) (Part, bool) {
	for _, p := range b.Parts {
		if p.Kind == Image && !p.Test && p.ShortName() == short {
			return p, true
		}
	}
	return Part{}, false
}

// Program is the one with a name.
func (b *Bundle) Program(name string) (Blob, bool) {
	for _, p := range b.Parts {
		if p.Kind != Programs {
			continue
		}
		for _, blob := range p.Blobs {
			if blob.Title == name && blob.MediaType == ProgramLayer {
				return blob, true
			}
		}
	}
	return Blob{}, false
}

// ProgramPath is where a program belongs on a host: the "path" that it was built with (distro/*/component.yaml).
func ProgramPath(name string) string {
	if name == "cni" {
		return "/opt/cni/bin/cni"
	}
	return "/usr/local/bin/" + name
}
