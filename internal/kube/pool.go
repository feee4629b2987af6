package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"
)

// silence is for how long an API of which no server was ready is taken to be so still: many objects are asked for, one after the other.
const silence = time.Second

// Pool keeps clients, so that many objects are asked for over one connection. A client whose server stops serving is replaced. It is safe for use by several goroutines; nil
// keeps nothing.
type Pool struct {
	mu   sync.Mutex
	apis map[[sha256.Size]byte]*pooled
}

// pooled is an API that was asked for. Who asks waits for who is asking already.
type pooled struct {
	mu     sync.Mutex
	client *Client
	before bool // there was a client
	failed *UnreachableError
	at     time.Time // of failed
}

// Open is like the function Open.
func (p *Pool) Open(ctx context.Context, kubeconfig []byte, servers []string) (*Client, error) {
	if p == nil {
		return Open(ctx, kubeconfig, servers)
	}
	a := p.api(kubeconfig, servers)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil && !a.client.lost.Load() {
		return a.client, nil
	}
	if a.client != nil {
		a.client.Close()
		a.client = nil
	}
	if a.failed != nil && time.Since(a.at) < silence {
		return nil, a.failed
	}
	c, err := Open(ctx, kubeconfig, servers)
	a.failed = nil
	if u, ok := errors.AsType[*UnreachableError](err); ok {
		u.Before = a.before
		a.failed, a.at = u, time.Now()
	}
	if err != nil {
		return nil, err
	}
	a.client, a.before = c, true
	return c, nil
}

func (p *Pool) api(kubeconfig []byte, servers []string) *pooled {
	h := sha256.New()
	h.Write(kubeconfig)
	h.Write([]byte("\x00" + strings.Join(servers, "\x00")))
	key := [sha256.Size]byte(h.Sum(nil))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.apis == nil {
		p.apis = map[[sha256.Size]byte]*pooled{}
	}
	if p.apis[key] == nil {
		p.apis[key] = &pooled{}
	}
	return p.apis[key]
}

// Close lets go of all connections.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.apis {
		a.mu.Lock()
		if a.client != nil {
			a.client.Close()
		}
		a.mu.Unlock()
	}
}
