package measure

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// NameServer is whether a name server answers.
type NameServer struct {
	Address string `json:"address"`
	// Took is how long the answer did.
	Took time.Duration `json:"took,omitempty"`
	// Why there was none; empty if there was one, whatever it said.
	Why string `json:"why,omitempty"`
}

// AskNameServers asks each name server, at an IP address with or without a port ("192.0.2.1", "192.0.2.1:5353"), for a name, all at once, for as long as it is told.
func AskNameServers(ctx context.Context, servers []string, name string, limit time.Duration) []NameServer {
	list := make([]NameServer, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() { list[i] = askNameServer(ctx, s, name, limit) })
	}
	all.Wait()
	return list
}

func askNameServer(ctx context.Context, server, name string, limit time.Duration) NameServer {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if _, err := netip.ParseAddrPort(server); err == nil {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	start := time.Now()
	_, err := r.LookupNS(limited, name)
	n := NameServer{Address: server, Took: time.Since(start)}
	// Who says that there is no such name, or that he will not say, answers.
	if failed, ok := errors.AsType[*net.DNSError](err); ok && !failed.IsNotFound && (failed.IsTimeout || failed.IsTemporary && failed.Err != "server misbehaving") || err != nil && !ok {
		n.Took, n.Why = 0, err.Error()
		if ok {
			n.Why = failed.Err
		}
	}
	return n
}
