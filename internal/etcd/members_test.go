package etcd_test

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/etcd/fake"
)

const fourth = "https://10.0.0.14:2380"

func three(t *testing.T) (*fake.Cluster, *http.Client) {
	t.Helper()
	c := fake.New("cp1", "cp2", "cp3")
	t.Cleanup(c.Close)
	return c, c.Client()
}

// A member comes, votes, leads, moves and goes.
func TestLifeOfAMember(t *testing.T) {
	c, h := three(t)
	cp1 := c.URL("cp1")
	added, err := etcd.AddLearner(t.Context(), h, cp1, []string{fourth})
	if want := c.Members()[3]; err != nil || !reflect.DeepEqual(added, want) || !added.Learner {
		t.Fatalf("%+v was added, %v; want %+v", added, err, want)
	}
	if err := c.Start("cp4", fourth); err != nil {
		t.Fatal(err)
	}
	if list, err := etcd.Members(t.Context(), h, cp1); err != nil || !reflect.DeepEqual(list, c.Members()) || list[3].Name != "cp4" || len(list[3].ClientURLs) != 1 {
		t.Fatalf("members are %+v, %v; want %+v", list, err, c.Members())
	}
	if s, err := etcd.Ask(t.Context(), h, c.URL("cp4")); err != nil || !s.Learner || s.ID != added.ID || s.Leader != c.ID("cp1") {
		t.Fatalf("the learner says %+v, %v", s, err)
	}
	if err := etcd.Promote(t.Context(), h, cp1, added.ID); err != nil || c.Members()[3].Learner {
		t.Fatalf("%v, members are %+v", err, c.Members())
	}
	if err := etcd.UpdatePeers(t.Context(), h, cp1, added.ID, []string{"https://10.0.0.24:2380"}); err != nil || !slices.Equal(c.Members()[3].PeerURLs, []string{"https://10.0.0.24:2380"}) {
		t.Fatalf("%v, members are %+v", err, c.Members())
	}
	if err := etcd.MoveLeader(t.Context(), h, cp1, added.ID); err != nil || c.Leader() != "cp4" {
		t.Fatalf("%v, and %s leads", err, c.Leader())
	}
	if err := etcd.Remove(t.Context(), h, cp1, added.ID); err != nil || len(c.Members()) != 3 {
		t.Fatalf("%v, members are %+v", err, c.Members())
	}
}

func TestRefusals(t *testing.T) {
	c, h := three(t)
	cp1, ctx := c.URL("cp1"), t.Context()
	said := func(message string) func() error {
		return func() error {
			c.SetFailure(func(string, string) string { return message })
			defer c.SetFailure(nil)
			return etcd.Promote(ctx, h, cp1, c.ID("cp2"))
		}
	}
	var learner string
	for _, tt := range []struct {
		name string
		do   func() error
		want error
	}{
		{"no such member", func() error { return etcd.Remove(ctx, h, cp1, "7") }, etcd.ErrNotFound},
		{"it votes already", func() error { return etcd.Promote(ctx, h, cp1, c.ID("cp2")) }, etcd.ErrNotLearner},
		{"another one leads", func() error { return etcd.MoveLeader(ctx, h, c.URL("cp2"), c.ID("cp3")) }, etcd.ErrNotLeader},
		{"another one is there", func() error { return etcd.UpdatePeers(ctx, h, cp1, c.ID("cp2"), []string{"https://10.0.0.11:2380"}) }, etcd.ErrExists},
		{"it is there", func() error { _, err := etcd.AddLearner(ctx, h, cp1, []string{"https://10.0.0.12:2380"}); return err }, etcd.ErrExists},
		{"it has the same ID", said("etcdserver: member ID already exist"), etcd.ErrExists},
		{"it was not started", func() error {
			m, err := etcd.AddLearner(ctx, h, cp1, []string{fourth})
			if learner = m.ID; err != nil {
				return err
			}
			return etcd.Promote(ctx, h, cp1, learner)
		}, etcd.ErrNotInSync},
		{"one too many", func() error { _, err := etcd.AddLearner(ctx, h, cp1, []string{"https://10.0.0.15:2380"}); return err }, etcd.ErrTooManyLearners},
		{"not enough started", said("etcdserver: re-configuration failed due to not enough started members"), etcd.ErrUnhealthy},
		{"not enough are well", func() error {
			if err := etcd.Remove(ctx, h, cp1, learner); err != nil {
				return err
			}
			c.Stop("cp3")
			return etcd.Remove(ctx, h, cp1, c.ID("cp2"))
		}, etcd.ErrUnhealthy},
	} {
		if err := tt.do(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
	if err := said("etcdserver: no leader")(); err == nil || err.Error() != "etcdserver: no leader" {
		t.Errorf("what nobody has to tell apart is %v", err)
	}
	if err := etcd.Remove(ctx, h, cp1, "cp2"); err == nil || !strings.Contains(err.Error(), "no ID") || len(c.Members()) != 3 {
		t.Errorf("a name is taken for an ID: %v", err)
	}
}

// What is not agreed upon is not said, lest a member be taken for absent.
func TestMembersWithoutAQuorum(t *testing.T) {
	c, h := three(t)
	c.Stop("cp2")
	if list, err := etcd.Members(t.Context(), h, c.URL("cp1")); err != nil || len(list) != 3 {
		t.Errorf("two of three say %+v, %v", list, err)
	}
	if _, err := etcd.Members(t.Context(), h, c.URL("cp2")); err == nil {
		t.Error("one that does not run says something")
	}
	c.Stop("cp3")
	if list, err := etcd.Members(t.Context(), h, c.URL("cp1")); err == nil {
		t.Errorf("one of three says %+v", list)
	}
	if s, err := etcd.Ask(t.Context(), h, c.URL("cp1")); err != nil || len(s.Members) != 3 || s.Leader != "" || s.Unwell != "raft no leader" {
		t.Errorf("asked how it is, it says %+v, %v", s, err)
	}
	if why := etcd.Unwell(t.Context(), h, c.URL("cp1")); why != "raft no leader" {
		t.Errorf("it is unwell for %q", why)
	}
}
