package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// Server is what a member says at one of the addresses of an etcd that somebody else looks after.
type Server struct {
	// URL that it was asked at: "https://etcd1.example.com:2379".
	URL string `json:"url"`
	// Unwell is why it does not answer what only a member can that has a quorum with it; empty if it does.
	Unwell string `json:"unwell,omitempty"`
	// Cluster, ID and Leader are random numbers in hexadecimal form, of the cluster of etcd, the member, and the one that leads; empty if that is not known.
	Cluster string `json:"cluster,omitempty"`
	ID      string `json:"id,omitempty"`
	Leader  string `json:"leader,omitempty"`
	// Version of etcd that it runs: "3.7.3".
	Version string `json:"version,omitempty"`
	// Size of its database, and how large that may become, in bytes; Quota is 0 before etcd 3.6, which does not say.
	Size  int64 `json:"size,omitempty"`
	Quota int64 `json:"quota,omitempty"`
	// Alarms are those that are raised, of any member: "NOSPACE", "CORRUPT".
	Alarms []string `json:"alarms,omitempty"`
	// Holds is how much is stored whose name begins as was asked; only said of one that is well.
	Holds int64 `json:"holds,omitempty"`
}

// AskServer asks a member for how it is, and how much is stored below a prefix ("/registry"). It speaks as API servers do, by gRPC: such an etcd may have no gateway, and may let in only those whose
// certificate it knows the name of, which the gateway does not pass on.
func AskServer(ctx context.Context, config *tls.Config, at, prefix string) Server {
	s := Server{URL: at}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	u, err := url.Parse(at)
	if err != nil {
		s.Unwell = err.Error()
		return s
	}
	conn, err := grpc.NewClient("passthrough:///"+u.Host, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		s.Unwell = err.Error()
		return s
	}
	defer func() { _ = conn.Close() }()
	said, err := pb.NewMaintenanceClient(conn).Status(limited, &pb.StatusRequest{})
	if err != nil {
		s.Unwell = whyNot(limited, err)
		return s
	}
	s.Cluster, s.ID, s.Version = hex(said.Header.ClusterId), hex(said.Header.MemberId), said.Version
	s.Size, s.Quota, s.Alarms = said.DbSize, said.DbSizeQuota, alarms(said.Errors)
	if said.Leader != 0 {
		s.Leader = hex(said.Leader)
	}
	// It is linearizable: only a member answers it that has a quorum with it.
	stored, err := pb.NewKVClient(conn).Range(limited, &pb.RangeRequest{Key: []byte(prefix + "/"), RangeEnd: []byte(prefix + "0"), CountOnly: true})
	if err != nil {
		s.Unwell = whyNot(limited, err)
		return s
	}
	s.Holds = stored.Count
	// API servers keep how far they have compacted beside all prefixes. Who may not read it, most likely may not write it, and the database would grow until it is full.
	if _, err := pb.NewKVClient(conn).Range(limited, &pb.RangeRequest{Key: []byte(compactKey), CountOnly: true}); err != nil {
		s.Unwell = compactKey + ": " + whyNot(limited, err)
	}
	return s
}

// compactKey is where API servers say how far they have compacted (compactRevKey in pkg/storage/etcd3/compact.go of k8s.io/apiserver v0.37).
const compactKey = "compact_rev_key"

// whyNot is what an error of gRPC says to people.
func whyNot(limited context.Context, err error) string {
	said := status.Convert(err)
	switch {
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("it does not answer within %v", answerTime)
	case said.Code() == codes.Unavailable:
		// "connection error: desc = \"transport: Error while dialing: dial tcp 10.0.0.1:2379: connect: connection refused\""
		why := said.Message()
		for _, before := range []string{`desc = "`, "transport: ", "Error while dialing: ", "authentication handshake failed: "} {
			if _, rest, found := strings.Cut(why, before); found {
				why = rest
			}
		}
		return strings.TrimSuffix(why, `"`)
	}
	return strings.TrimPrefix(said.Message(), "etcdserver: ")
}

// Apart says of which clusters of etcd some servers are, if those that say so are not all of one: their URLs, cluster by cluster.
func Apart(servers []Server) [][]string {
	var clusters []string
	var all [][]string
	for _, s := range servers {
		if s.Cluster == "" {
			continue
		}
		at := slices.Index(clusters, s.Cluster)
		if at < 0 {
			at, clusters, all = len(clusters), append(clusters, s.Cluster), append(all, nil)
		}
		all[at] = append(all[at], s.URL)
	}
	if len(all) < 2 {
		return nil
	}
	return all
}
