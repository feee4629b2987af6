package resource

import "context"

// Containerd is what is asked of containerd's own API (github.com/containerd/containerd/api), in the namespace of kubelets. A socket is a path. One at which nobody
// listens is an error that is fs.ErrNotExist.
type Containerd interface {
	// Images are all that it knows.
	Images(ctx context.Context, socket string) ([]ContainerdImage, error)
	// Content are the digests of all blobs that it has.
	Content(ctx context.Context, socket string) (map[string]bool, error)
	// Blob is a small one (maxManifest); nil if it is not there.
	Blob(ctx context.Context, socket, digest string) ([]byte, error)
	// Unpacked says which chains of layers (OCI image specification, "Layer ChainID") a snapshotter has; the one that containerd chooses if its name is empty.
	Unpacked(ctx context.Context, socket, snapshotter string, chains []string) (map[string]bool, error)
}

// ContainerdImage is a name that leads to an image.
type ContainerdImage struct {
	Name   string
	Digest string // of the manifest
	Labels map[string]string
}
