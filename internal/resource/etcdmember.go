package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/kubewright/kubewright/internal/etcd"
)

// EtcdMember is a member that a living cluster of etcd has, so that it can be started with the others and itself as its initial cluster, which is existing. It comes as a learner,
// which does not vote (EtcdVote). It is applied on a machine that carries another member.
type EtcdMember struct {
	// Servers are client URLs of members, the machine's own first: "https://127.0.0.1:2379". The first one that has a quorum with it is asked.
	Servers []string `json:"servers"`
	// Name that it will have.
	Name string `json:"name"`
	// PeerURL is where others find it: "https://10.0.0.14:2380".
	PeerURL string `json:"peerURL"`
	// Replaces is the ID of a member that does not count, although it has the peer URL or the name: its data is gone, and it is removed before. Empty if there is none.
	Replaces string `json:"replaces,omitempty"`
	// Client is the certificate that etcd is asked with, as for EtcdReport.
	Client string `json:"client,omitempty"`
}

// ID is the name.
func (e EtcdMember) ID() ID { return ID{"etcd-member", etcdName(e.Client, e.Name)} }

// OfCluster says that it is the cluster's.
func (e EtcdMember) OfCluster() {}

// Observe finds the member that has the peer URL, or else the one that has the name: "id", "name", "peer URLs", "learner".
func (e EtcdMember) Observe(ctx context.Context, env *Env) (Observed, error) {
	a, err := etcdServers(e.Servers).look(ctx, env, e.Client)
	if err != nil {
		return Observed{}, err
	}
	m, listed := a.find(e.PeerURL, e.Name, e.Replaces)
	if !listed {
		return Observed{State: Absent}, nil
	}
	return a.observe(m), nil
}

// Diff says that it comes, or that others have to look for it elsewhere, where it is only once it is started anew.
func (e EtcdMember) Diff(o Observed) []Change {
	switch is := o.Value("peer URLs"); {
	case o.State == Absent:
		return []Change{{What: "member", Old: "absent", New: "learner"}}
	case is != e.PeerURL:
		return []Change{{What: "peer URL", Old: is, New: e.PeerURL, Disturbs: true}}
	}
	return nil
}

// Apply adds it, or has the others look for it elsewhere. What etcd refuses for now is tried for a minute.
func (e EtcdMember) Apply(ctx context.Context, env *Env) error {
	h, err := etcdClient(env, e.Client)
	if err != nil {
		return err
	}
	defer h.CloseIdleConnections()
	why, err := patiently(ctx, env, etcdPatience, func() (string, error) { return e.try(ctx, h) })
	if err == nil && why != "" {
		return TransientError{fmt.Errorf("%s. One that does not run counts as unwell: start it, or have it removed before", why)}
	}
	return err
}

func (e EtcdMember) try(ctx context.Context, h *http.Client) (why string, err error) {
	a, err := etcdServers(e.Servers).agreed(ctx, h)
	if err != nil {
		return "", err
	}
	m, listed := a.find(e.PeerURL, e.Name, e.Replaces)
	switch {
	case !listed:
		_, err = etcd.AddLearner(ctx, h, a.server, []string{e.PeerURL})
	case strings.Join(m.PeerURLs, ",") != e.PeerURL:
		err = etcd.UpdatePeers(ctx, h, a.server, m.ID, []string{e.PeerURL})
	}
	switch {
	case err == nil:
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, etcd.ErrUnhealthy):
		return fmt.Sprintf("etcd does not take %s for now: %v", e.Name, err), nil
	case errors.Is(err, etcd.ErrTooManyLearners):
		return "", TransientError{fmt.Errorf("etcd takes one learner at a time, and %s has not been promoted: %s has to wait", a.learners(), e.Name)}
	case errors.Is(err, etcd.ErrExists):
		return "", TransientError{fmt.Errorf("etcd has another member at %s, which has to go before %s comes there", e.PeerURL, e.Name)}
	}
	return "", TransientError{fmt.Errorf("having %s among the members of etcd at %s: %w", e.Name, e.PeerURL, err)}
}

// learners are those that do not vote.
func (a etcdAgreed) learners() string {
	var names []string
	for _, m := range a.members {
		if m.Learner {
			names = append(names, called(m))
		}
	}
	return strings.Join(names, " and ")
}

// Undo leaves it: it is the cluster's.
func (e EtcdMember) Undo(context.Context, *Env, Observed) error { return nil }
