package etcd

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// Members are all that the cluster has by now, as most of them agree: a member that has no quorum with it does not say, nor does a learner.
func Members(ctx context.Context, h *http.Client, member string) ([]Member, error) {
	return list(ctx, h, member, true)
}

// list is what a member knows (MemberList in api/etcdserverpb/rpc.proto of etcd v3.7), or what most agree on.
func list(ctx context.Context, h *http.Client, member string, linearizable bool) ([]Member, error) {
	asked := struct {
		Linearizable bool `json:"linearizable,omitempty"`
	}{linearizable}
	var l struct {
		Members []listed `json:"members"`
	}
	if err := post(ctx, h, member+"/v3/cluster/member/list", asked, &l); err != nil {
		return nil, err
	}
	var members []Member
	for _, m := range l.Members {
		members = append(members, m.member())
	}
	return members, nil
}

// listed is a member as the gateway says it.
type listed struct {
	ID         uint64   `json:"ID,string"`
	Name       string   `json:"name"`
	Learner    bool     `json:"isLearner"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

func (m listed) member() Member {
	return Member{ID: hex(m.ID), Name: m.Name, Learner: m.Learner, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs}
}

// AddLearner has the cluster have one more member, which does not vote. It has to be started then, with the others and itself as its initial cluster, which is existing. The member
// that is asked may be any that votes, here and below. It fails with ErrTooManyLearners, ErrExists or ErrUnhealthy, among others.
func AddLearner(ctx context.Context, h *http.Client, member string, peerURLs []string) (Member, error) {
	asked := struct {
		PeerURLs []string `json:"peerURLs"`
		Learner  bool     `json:"isLearner"`
	}{peerURLs, true}
	var added struct {
		Member listed `json:"member"`
	}
	if err := post(ctx, h, member+"/v3/cluster/member/add", asked, &added); err != nil {
		return Member{}, err
	}
	return added.Member.member(), nil
}

// Promote has a learner vote. It fails with ErrNotInSync, ErrNotLearner, ErrNotFound or ErrUnhealthy, among others.
func Promote(ctx context.Context, h *http.Client, member, id string) error {
	return change(ctx, h, member+"/v3/cluster/member/promote", id, nil)
}

// Remove has the cluster do without a member. That stops by itself, and can never come back under this ID. It fails with ErrNotFound or ErrUnhealthy, among others. One that answers
// too late may do it all the same.
func Remove(ctx context.Context, h *http.Client, member, id string) error {
	return change(ctx, h, member+"/v3/cluster/member/remove", id, nil)
}

// UpdatePeers has others look for a member elsewhere. It fails with ErrNotFound or ErrExists, among others.
func UpdatePeers(ctx context.Context, h *http.Client, member, id string, peerURLs []string) error {
	return change(ctx, h, member+"/v3/cluster/member/update", id, peerURLs)
}

// change is of a member that there is.
func change(ctx context.Context, h *http.Client, at, id string, peerURLs []string) error {
	number, err := parseID(id)
	if err != nil {
		return err
	}
	asked := struct {
		ID       uint64   `json:"ID,string"`
		PeerURLs []string `json:"peerURLs,omitempty"`
	}{number, peerURLs}
	return post(ctx, h, at, asked, &struct{}{})
}

// MoveLeader has the member that leads hand that over to another one that votes, and returns when it did. It is the leader itself that has to be asked; others fail with ErrNotLeader.
func MoveLeader(ctx context.Context, h *http.Client, leader, to string) error {
	number, err := parseID(to)
	if err != nil {
		return err
	}
	asked := struct {
		Target uint64 `json:"targetID,string"`
	}{number}
	return post(ctx, h, leader+"/v3/maintenance/transfer-leadership", asked, &struct{}{})
}

func parseID(id string) (uint64, error) {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no ID of a member of etcd, which is a hexadecimal number", id)
	}
	return n, nil
}
