package resource

import (
	"context"
	"errors"
	"io/fs"
)

// ClusterFilePath is where control planes remember the cluster file that was applied last, byte by byte.
const ClusterFilePath = Dir + "/cluster.yaml"

// maxClusterFile is how large a cluster file may be to be read again, in bytes.
const maxClusterFile = 16 << 20

// ClusterFileReport looks at the cluster file that the machine remembers, and at nothing else. It finds a ClusterFileFound.
type ClusterFileReport struct{}

// ClusterFileFound is the cluster file that a machine remembers.
type ClusterFileFound struct {
	// Content is what was in it; empty if the machine remembers none.
	Content []byte `json:"content,omitempty"`
}

// ID is the same everywhere.
func (r ClusterFileReport) ID() ID { return ID{"cluster-file", "machine"} }

// Look reads it.
func (r ClusterFileReport) Look(_ context.Context, env *Env) (any, error) {
	content, err := readFile(env, ClusterFilePath, maxClusterFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return ClusterFileFound{Content: content}, nil
}
