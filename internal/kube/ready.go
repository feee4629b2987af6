package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/cluster"
)

const (
	// readyTime is how long a server may take to say whether it is ready.
	readyTime = 2 * time.Second
	// headStart is what one server is given before the next is asked, too. One that is well answers within a few milliseconds.
	headStart = 250 * time.Millisecond
)

// pick finds the first server that is ready. One that is silent does not hold up the others.
func pick(ctx context.Context, h *http.Client, servers []string) (string, error) {
	type answer struct {
		server int
		err    error
	}
	answers := make(chan answer, len(servers))
	var asking sync.WaitGroup
	defer asking.Wait()
	ctxAll, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := 0
	next := func() {
		if asked < len(servers) {
			i := asked
			asked++
			asking.Go(func() { answers <- answer{i, ready(ctxAll, h, servers[i])} })
		}
	}
	next()
	tick := time.NewTicker(headStart)
	defer tick.Stop()
	failed := &UnreachableError{Reasons: make([]string, len(servers))}
	for answered := 0; answered < len(servers); {
		select {
		case a := <-answers:
			if a.err == nil {
				return servers[a.server], nil
			}
			failed.Reasons[a.server] = servers[a.server] + ": " + a.err.Error()
			answered++
			next()
		case <-tick.C:
			next()
		}
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return "", failed
}

// ready asks a server whether it is ready, and says why not.
func ready(ctx context.Context, h *http.Client, server string) error {
	limited, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodGet, "https://"+server+"/readyz?"+cluster.WithoutEvents, nil)
	if err != nil {
		return err
	}
	answer, err := h.Do(r)
	if limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("it does not answer within %s", readyTime)
	}
	if err != nil {
		return plain(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxHealth)) // the status has to do without
	return errors.New("it is not ready: " + Unwell(answer.Status, body))
}

// maxHealth is more than servers have to say about their health, in bytes; an API server has about 3 KB.
const maxHealth = 64 << 10

// Unwell is why a server is not well: the checks that fail ("[-]etcd failed: reason withheld", as API servers, kubelets and etcd write them), or else the first line that it says, or the
// status ("500 Internal Server Error").
func Unwell(status string, body []byte) string {
	var failed []string
	for line := range strings.Lines(string(body)) {
		if check, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			failed = append(failed, strings.TrimSuffix(check, ": reason withheld"))
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	switch {
	case len(failed) > 0:
		return strings.Join(failed, ", ")
	case first == "" || strings.HasPrefix(first, "{"): // an object of the API
		return status
	}
	return status + ": " + first
}

// plain is why a request failed, without what was asked for.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return errors.New("it does not answer")
		}
		err = u.Err
	}
	if o, ok := errors.AsType[*net.OpError](err); ok && o.Op == "dial" {
		return o.Err
	}
	return err
}
