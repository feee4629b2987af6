package resource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	content "github.com/containerd/containerd/api/services/content/v1"
	images "github.com/containerd/containerd/api/services/images/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	snapshots "github.com/containerd/containerd/api/services/snapshots/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// namespaceHeader says whose images are meant (GRPCHeader in containerd's pkg/namespaces).
	namespaceHeader = "containerd-namespace"
	// snapshotterLabel of a namespace names its snapshotter; without it, it is defaultSnapshotter (containerd's defaults and client.getSnapshotter).
	snapshotterLabel   = "containerd.io/defaults/snapshotter"
	defaultSnapshotter = "overlayfs"
)

// LocalContainerd is the containerd of this machine, asked by the connection of kubelets.
type LocalContainerd struct{ cri *LocalCRI }

// open gives the connection, and the context in which to ask.
func (l LocalContainerd) open(ctx context.Context, socket string) (*grpc.ClientConn, context.Context, error) {
	c, err := l.cri.conn("unix://" + socket)
	return c, metadata.AppendToOutgoingContext(ctx, namespaceHeader, criNamespace), err
}

// containerdError is what went wrong. A socket that nobody listens to is what containerd leaves when it is killed.
func containerdError(socket string, err error) error {
	failed := criError{"unix://" + socket, err}
	said := failed.Error()
	if status.Code(err) == codes.Unavailable && (strings.HasSuffix(said, "connect: connection refused") || strings.HasSuffix(said, "connect: no such file or directory")) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, failed)
	}
	return failed
}

// Images asks for all at once.
func (l LocalContainerd) Images(ctx context.Context, socket string) ([]ContainerdImage, error) {
	c, ctx, err := l.open(ctx, socket)
	if err != nil {
		return nil, err
	}
	list, err := images.NewImagesClient(c).List(ctx, &images.ListImagesRequest{})
	if err != nil {
		return nil, containerdError(socket, err)
	}
	var all []ContainerdImage
	for _, i := range list.GetImages() {
		all = append(all, ContainerdImage{Name: i.GetName(), Digest: i.GetTarget().GetDigest(), Labels: i.GetLabels()})
	}
	return all, nil
}

// Content asks for all at once.
func (l LocalContainerd) Content(ctx context.Context, socket string) (map[string]bool, error) {
	c, ctx, err := l.open(ctx, socket)
	if err != nil {
		return nil, err
	}
	list, err := content.NewContentClient(c).List(ctx, &content.ListContentRequest{})
	if err != nil {
		return nil, containerdError(socket, err)
	}
	all := map[string]bool{}
	for {
		some, err := list.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, containerdError(socket, err)
		}
		for _, i := range some.GetInfo() {
			all[i.GetDigest()] = true
		}
	}
}

// Blob reads one.
func (l LocalContainerd) Blob(ctx context.Context, socket, digest string) ([]byte, error) {
	c, ctx, err := l.open(ctx, socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of a blob that is too big, the rest is not wanted
	r, err := content.NewContentClient(c).Read(ctx, &content.ReadContentRequest{Digest: digest})
	if err != nil {
		return nil, containerdError(socket, err)
	}
	b := []byte{}
	for {
		some, err := r.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case status.Code(err) == codes.NotFound:
			return nil, nil
		case err != nil:
			return nil, containerdError(socket, err)
		case len(b)+len(some.GetData()) > maxManifest:
			return nil, fmt.Errorf("the blob %s in containerd has more than %d bytes", digest, maxManifest)
		}
		b = append(b, some.GetData()...)
	}
}

// Unpacked asks for each.
func (l LocalContainerd) Unpacked(ctx context.Context, socket, snapshotter string, chains []string) (map[string]bool, error) {
	c, ctx, err := l.open(ctx, socket)
	if err != nil {
		return nil, err
	}
	if snapshotter == "" {
		n, err := namespaces.NewNamespacesClient(c).Get(ctx, &namespaces.GetNamespaceRequest{Name: criNamespace})
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, containerdError(socket, err)
		}
		snapshotter = defaultSnapshotter
		if label := n.GetNamespace().GetLabels()[snapshotterLabel]; label != "" {
			snapshotter = label
		}
	}
	there := map[string]bool{}
	for _, chain := range chains {
		_, err := snapshots.NewSnapshotsClient(c).Stat(ctx, &snapshots.StatSnapshotRequest{Snapshotter: snapshotter, Key: chain})
		if err != nil && status.Code(err) != codes.NotFound {
			return nil, containerdError(socket, err)
		}
		there[chain] = err == nil
	}
	return there, nil
}
