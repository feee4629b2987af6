package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/kubewright/kubewright/internal/kube"
)

// API is how resources on a control plane reach the Kubernetes API.
type API struct {
	// Kubeconfig on the machine; /etc/kubernetes/admin.conf if empty.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Servers are all API servers, the machine's own first: "10.0.0.11:6443". The first one that is ready is asked.
	Servers []string `json:"servers"`
	// New says that the cluster is to be made: while no API server answers, nothing is there.
	New bool `json:"new,omitempty"`
}

// maxKubeconfig is more than a kubeconfig with one user has, in bytes; those of kubeadm have 6 KB.
const maxKubeconfig = 1 << 20

// open reaches an API server that is ready. What fails may be unmade.
func (a API) open(ctx context.Context, env *Env) (*kube.Client, error) {
	b, err := readFile(env, cmp.Or(a.Kubeconfig, "/etc/kubernetes/admin.conf"), maxKubeconfig)
	if err != nil {
		return nil, fmt.Errorf("the API cannot be asked without credentials: %w", err)
	}
	c, err := env.Kube.Open(ctx, b, a.Servers)
	if err != nil {
		return nil, passing(err)
	}
	return c, nil
}

// unmade says that what failed means that the cluster has yet to be made, and so nothing is in it. Of an API that was ready it never means that.
func (a API) unmade(err error) bool {
	if !a.New || err == nil {
		return false
	}
	u, silent := errors.AsType[*kube.UnreachableError](err)
	return errors.Is(err, fs.ErrNotExist) || silent && !u.Before
}

// passing marks what may pass by itself.
func passing(err error) error {
	if err != nil && kube.MayPass(err) {
		return TransientError{err}
	}
	return err
}

// readFile reads a small file.
func readFile(env *Env, path string, limit int64) ([]byte, error) {
	f, err := env.Files.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes, which is too much for a file of its kind", path, limit)
	}
	return b, nil
}
