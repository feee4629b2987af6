package runtime

import (
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/resource"
)

// program finds one in a bundle.
func program(b *bundle.Bundle, name string) (resource.Program, bool) {
	blob, found := b.Program(name)
	return resource.Program{Name: name, Path: bundle.ProgramPath(name), Blob: blob.Digest.String(), Size: blob.Size, Commands: blob.Commands}, found
}
