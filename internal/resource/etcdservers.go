package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/etcd"
)

const (
	// etcdPatience is how long etcd may refuse a change of its members that it will not refuse for ever: members count as well once they were connected for 5 s.
	etcdPatience = time.Minute
	// etcdPause is between asking etcd and asking it again.
	etcdPause = 500 * time.Millisecond
)

// EventsClient is the certificate, by the name of its file without extension, that members of the etcd for events are asked with.
const EventsClient = "events-healthcheck-client"

// etcdClient asks members of etcd, with a certificate that lies on the machine for such questions: that of kubeadm's name if no other is named.
func etcdClient(env *Env, client string) (*http.Client, error) {
	const dir = PKIDir + "/etcd"
	c, err := HTTPAnswers{CA: dir + "/ca.crt", Certificate: dir + "/" + cmp.Or(client, "healthcheck-client")}.tls(env)
	if err != nil {
		return nil, fmt.Errorf("etcd cannot be asked: %w", err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c}}, nil
}

// etcdServers are client URLs of members of a living cluster, in the order in which they are asked: "https://127.0.0.1:2379".
type etcdServers []string

// etcdAgreed is which members there are, as most of them agree.
type etcdAgreed struct {
	// server is the first one that said so, so it has a quorum with it, and votes.
	server  string
	members []etcd.Member
}

// agreed asks one after the other. That nobody answers who has a quorum is an error that may pass: of such a cluster it is not known which members it has.
func (s etcdServers) agreed(ctx context.Context, h *http.Client) (etcdAgreed, error) {
	var why []string
	for _, server := range s {
		members, err := etcd.Members(ctx, h, server)
		if ctx.Err() != nil {
			return etcdAgreed{}, ctx.Err()
		}
		if err == nil {
			return etcdAgreed{server, members}, nil
		}
		why = append(why, fmt.Sprintf("%s: %v", server, err))
	}
	if len(why) == 0 {
		return etcdAgreed{}, errors.New("it is not said where members of etcd answer")
	}
	return etcdAgreed{}, TransientError{fmt.Errorf("no member of etcd answers that has a quorum with it: %s", strings.Join(why, "; "))}
}

// look asks once.
func (s etcdServers) look(ctx context.Context, env *Env, client string) (etcdAgreed, error) {
	h, err := etcdClient(env, client)
	if err != nil {
		return etcdAgreed{}, err
	}
	defer h.CloseIdleConnections()
	return s.agreed(ctx, h)
}

// etcdName names what is of a member, apart from what is of the member of that name in another cluster.
func etcdName(client, name string) string {
	if client == "" {
		return name
	}
	return strings.TrimSuffix(client, "-healthcheck-client") + " " + name
}

// id is the member of an ID.
func (a etcdAgreed) id(id string) (etcd.Member, bool) {
	i := slices.IndexFunc(a.members, func(m etcd.Member) bool { return m.ID == id })
	if i < 0 {
		return etcd.Member{}, false
	}
	return a.members[i], true
}

// find is the member with a peer URL, or else the one of a name, whose address was another one then. The one of the ID but does not count.
func (a etcdAgreed) find(peerURL, name, but string) (etcd.Member, bool) {
	for _, is := range []func(m etcd.Member) bool{
		func(m etcd.Member) bool { return slices.Contains(m.PeerURLs, peerURL) },
		func(m etcd.Member) bool { return m.Name == name && name != "" },
	} {
		if i := slices.IndexFunc(a.members, func(m etcd.Member) bool { return m.ID != but && is(m) }); i >= 0 {
			return a.members[i], true
		}
	}
	return etcd.Member{}, false
}

// observe says what a member is like.
func (a etcdAgreed) observe(m etcd.Member) Observed {
	return Observed{State: Present, Values: map[string]string{
		"id": m.ID, "name": m.Name, "peer URLs": strings.Join(m.PeerURLs, ","), "learner": yesNo(m.Learner),
	}}
}

// called is how a member is called where people read it; those that were never started have no name.
func called(m etcd.Member) string {
	if m.Name == "" {
		return "the member that shall be at " + strings.Join(m.PeerURLs, " or ")
	}
	return m.Name
}

// patiently tries something until it is done, fails or the time is up. Why says why it cannot be done yet, and what it returns is why it could not be in time.
func patiently(ctx context.Context, env *Env, limit time.Duration, try func() (why string, err error)) (why string, err error) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(etcdPause)
	defer tick.Stop()
	for said := ""; ; {
		if why, err = try(); err != nil || why == "" {
			return "", err
		}
		if said != why {
			said = why
			env.progress(said)
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			return why, ctx.Err()
		}
	}
}
