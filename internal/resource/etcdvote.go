package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kubewright/kubewright/internal/etcd"
)

// EtcdVote is the vote of a member of etcd that came as a learner (EtcdMember). Applying it waits until the member has caught up, five minutes at most. It is applied on a machine
// that carries another member.
type EtcdVote struct {
	// Servers are client URLs of members, the machine's own first: "https://127.0.0.1:2379". The first one that has a quorum with it is asked.
	Servers []string `json:"servers"`
	Name    string   `json:"name"`
	// PeerURL is where others find it: "https://10.0.0.14:2380".
	PeerURL string `json:"peerURL"`
	// Replaces is the ID of a member that does not count, as for EtcdMember.
	Replaces string `json:"replaces,omitempty"`
	// Client is the certificate that etcd is asked with, as for EtcdReport.
	Client string `json:"client,omitempty"`
}

// catchUpTime is how long a learner may take to have what the leader has. It gets all of the database, which is 8 GB at most, and usually less than one.
const catchUpTime = 5 * time.Minute

// ID is the name.
func (v EtcdVote) ID() ID { return ID{"etcd-vote", etcdName(v.Client, v.Name)} }

// OfCluster says that it is the cluster's.
func (v EtcdVote) OfCluster() {}

// Observe finds the member that has the peer URL, or else the one that has the name: "id", "name", "peer URLs", "learner".
func (v EtcdVote) Observe(ctx context.Context, env *Env) (Observed, error) {
	return EtcdMember(v).Observe(ctx, env)
}

// Diff says that it will vote.
func (v EtcdVote) Diff(o Observed) []Change {
	switch {
	case o.State == Absent:
		return []Change{{What: "member", Old: "absent", New: "voter"}}
	case o.Value("learner") == yesNo(true):
		return []Change{{What: "member", Old: "learner", New: "voter"}}
	}
	return nil
}

// Apply promotes it once it has caught up.
func (v EtcdVote) Apply(ctx context.Context, env *Env) error {
	h, err := etcdClient(env, v.Client)
	if err != nil {
		return err
	}
	defer h.CloseIdleConnections()
	why, err := patiently(ctx, env, catchUpTime, func() (string, error) { return v.try(ctx, h) })
	if err == nil && why != "" {
		return fmt.Errorf("within %v, %s could not be given a vote in etcd: %s. See what its etcd says (kubewright logs %s etcd), whether it and the other members reach each other at "+
			"their peer URLs, and whether its disk and the network are fast enough", catchUpTime, v.Name, why, v.Name)
	}
	return err
}

func (v EtcdVote) try(ctx context.Context, h *http.Client) (why string, err error) {
	a, err := etcdServers(v.Servers).agreed(ctx, h)
	if err != nil {
		return "", err
	}
	m, listed := a.find(v.PeerURL, v.Name, v.Replaces)
	switch {
	case !listed:
		return "", TransientError{fmt.Errorf("%s cannot be given a vote in etcd: no member is listed at %s", v.Name, v.PeerURL)}
	case !m.Learner:
		return "", nil
	}
	switch err := etcd.Promote(ctx, h, a.server, m.ID); {
	case err == nil || errors.Is(err, etcd.ErrNotLearner):
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, etcd.ErrNotInSync) && m.Name == "":
		return v.Name + " has not been started yet", nil
	case errors.Is(err, etcd.ErrNotInSync):
		return v.Name + " has not caught up yet", nil
	case errors.Is(err, etcd.ErrUnhealthy):
		return fmt.Sprintf("etcd gives %s no vote for now: %v", v.Name, err), nil
	default:
		return "", TransientError{fmt.Errorf("giving %s a vote in etcd: %w", v.Name, err)}
	}
}

// Undo leaves it: it is the cluster's.
func (v EtcdVote) Undo(context.Context, *Env, Observed) error { return nil }
