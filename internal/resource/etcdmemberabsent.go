package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/internal/etcd"
)

// EtcdMemberAbsent is that a cluster of etcd does without a member. It is applied on a machine that carries another one. A member that votes does not leave unless enough of those
// that are left answer.
type EtcdMemberAbsent struct {
	// Servers are client URLs of members, the machine's own first: "https://127.0.0.1:2379". The first one that has a quorum with it is asked.
	Servers []string `json:"servers"`
	// MemberID is its ID, in hexadecimal form. Names can be those of others that came since.
	MemberID string `json:"memberID"`
	// Name is for people to read; empty if it was never started.
	Name string `json:"name,omitempty"`
	// Client is the certificate that etcd is asked with, as for EtcdReport.
	Client string `json:"client,omitempty"`
}

// ID is name and ID, since the member that comes in its place may have the same name.
func (e EtcdMemberAbsent) ID() ID {
	return ID{"etcd-member-absent", etcdName(e.Client, strings.TrimSpace(e.Name+" "+e.MemberID))}
}

// OfCluster says that it is the cluster's.
func (e EtcdMemberAbsent) OfCluster() {}

// Observe finds the member: "id", "name", "peer URLs", "learner", "leader".
func (e EtcdMemberAbsent) Observe(ctx context.Context, env *Env) (Observed, error) {
	h, err := etcdClient(env, e.Client)
	if err != nil {
		return Observed{}, err
	}
	defer h.CloseIdleConnections()
	a, err := etcdServers(e.Servers).agreed(ctx, h)
	if err != nil {
		return Observed{}, err
	}
	m, listed := a.id(e.MemberID)
	if !listed {
		return Observed{State: Absent}, nil
	}
	said, err := etcd.Ask(ctx, h, a.server)
	if err != nil {
		return Observed{}, e.silent(ctx, a, err)
	}
	o := a.observe(m)
	o.Values["leader"] = yesNo(said.Leader == m.ID)
	return o, nil
}

// silent is that who just answered does not any more.
func (e EtcdMemberAbsent) silent(ctx context.Context, a etcdAgreed, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return TransientError{fmt.Errorf("asking the member of etcd at %s who leads: %w", a.server, err)}
}

// Diff says that it goes.
func (e EtcdMemberAbsent) Diff(o Observed) []Change {
	if o.State != Present {
		return nil
	}
	c := Change{What: "listed", Old: "yes", New: "no"}
	if o.Value("leader") == yesNo(true) {
		c.Disturbs, c.Why = true, "it leads: another one will before"
	}
	return []Change{c}
}

// Apply has another member lead if it does, and removes it. What etcd refuses for now is tried for a minute.
func (e EtcdMemberAbsent) Apply(ctx context.Context, env *Env) error {
	h, err := etcdClient(env, e.Client)
	if err != nil {
		return err
	}
	defer h.CloseIdleConnections()
	why, err := patiently(ctx, env, etcdPatience, func() (string, error) { return e.try(ctx, h) })
	if err == nil && why != "" {
		return TransientError{errors.New(why)}
	}
	return err
}

func (e EtcdMemberAbsent) try(ctx context.Context, h *http.Client) (why string, err error) {
	a, err := etcdServers(e.Servers).agreed(ctx, h)
	if err != nil {
		return "", err
	}
	m, listed := a.id(e.MemberID)
	if !listed {
		return "", nil
	}
	at := a.server
	if !m.Learner {
		stay, err := a.without(ctx, h, m)
		if err != nil {
			return "", err
		}
		said, err := etcd.Ask(ctx, h, a.server)
		if err != nil {
			return "", e.silent(ctx, a, err)
		}
		if said.Leader == m.ID {
			if err := handOver(ctx, h, m, stay); err != nil {
				return "", err
			}
		}
		if said.ID == m.ID {
			at = stay[0].url // it need not do it to itself
		}
	}
	switch err := etcd.Remove(ctx, h, at, m.ID); {
	case err == nil || errors.Is(err, etcd.ErrNotFound):
		return "", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, etcd.ErrUnhealthy):
		return fmt.Sprintf("etcd does not let %s go for now: %v", called(m), err), nil
	default:
		return "", TransientError{fmt.Errorf("removing %s from etcd: %w", called(m), err)}
	}
}

// answering is a member that answers with a quorum, and where.
type answering struct {
	etcd.Member
	url string
}

// without are those voters that answer of all that are left without one. If that is no quorum of them, it must not go: each of them is asked, since who votes need not run.
func (a etcdAgreed) without(ctx context.Context, h *http.Client, leaves etcd.Member) ([]answering, error) {
	var left []etcd.Member
	for _, m := range a.members {
		if m.ID != leaves.ID && !m.Learner {
			left = append(left, m)
		}
	}
	found, unwell := make([]answering, len(left)), make([]string, len(left))
	var asking errgroup.Group
	for i, m := range left {
		asking.Go(func() error {
			found[i].Member, unwell[i] = m, "it was never started"
			for _, u := range m.ClientURLs {
				if unwell[i] = etcd.Unwell(ctx, h, u); unwell[i] == "" {
					found[i].url = u
					break
				}
			}
			return nil
		})
	}
	_ = asking.Wait() // why somebody does not answer stands in unwell
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var stay []answering
	var silent []string
	for i, f := range found {
		if unwell[i] == "" {
			stay = append(stay, f)
		} else {
			silent = append(silent, fmt.Sprintf("%s: %s", called(f.Member), unwell[i]))
		}
	}
	switch needed := len(left)/2 + 1; {
	case len(left) == 0:
		return nil, BlockedError{fmt.Sprintf("%s cannot leave etcd: it is the only member that votes", called(leaves))}
	case len(stay) < needed:
		return nil, BlockedError{fmt.Sprintf("%s cannot leave etcd: without it, %d of %d members that vote answer, and %d have to (%s). Have those start again that do not, or remove those first "+
			"that never will", called(leaves), len(stay), len(left), needed, strings.Join(silent, "; "))}
	}
	return stay, nil
}

// handOver has another member lead than one, which has to be asked itself.
func handOver(ctx context.Context, h *http.Client, leader etcd.Member, stay []answering) error {
	err := errors.New("it does not say where it answers")
	for _, u := range leader.ClientURLs {
		if err = etcd.MoveLeader(ctx, h, u, stay[0].ID); err == nil {
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return TransientError{fmt.Errorf("having %s lead etcd instead of %s: %w", stay[0].Name, called(leader), err)}
}

// Undo leaves it: it is the cluster's.
func (e EtcdMemberAbsent) Undo(context.Context, *Env, Observed) error { return nil }
