package converge

import (
	"bytes"
	"io"
	"sync"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// blobs are the contents that agents may ask for: those of files that steps have, and others.
type blobs struct {
	others agent.Blobs

	mu       sync.RWMutex
	contents map[string][]byte
}

func newBlobs(others agent.Blobs) *blobs {
	return &blobs{others: others, contents: map[string][]byte{}}
}

// take remembers the contents of files, once each.
func (b *blobs) take(steps []plan.Step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range steps {
		for i, r := range s.Resources {
			f, ok := r.(resource.File)
			if !ok || f.Content == nil {
				continue
			}
			if content, there := b.contents[f.Digest]; there {
				f.Content = content // of many hosts the same
				s.Resources[i] = f
				continue
			}
			b.contents[f.Digest] = f.Content
		}
	}
}

func (b *blobs) Open(digest string) (io.ReadCloser, error) {
	b.mu.RLock()
	content, ok := b.contents[digest]
	b.mu.RUnlock()
	if ok {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	return b.others.Open(digest)
}
