package resource_test

import (
	"slices"
	"testing"

	"github.com/kubewright/kubewright/internal/resource"
)

func TestEtcdVote(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	v := resource.EtcdVote{Servers: servers, Name: "cp4", PeerURL: peer4}
	if got := differs(t, v, env); got != "member: absent → voter" {
		t.Errorf("it says %s", got)
	}
	passes(t, v.Apply(t.Context(), env), "cp4 cannot be given a vote in etcd: no member is listed at "+peer4)
	settled(t, resource.EtcdMember(v), env)
	if got := differs(t, v, env); got != "member: learner → voter" {
		t.Errorf("it says %s", got)
	}
	var said []string
	env.Progress = func(message string) {
		switch said = append(said, message); len(said) {
		case 1:
			if err := c.Start("cp4", peer4); err != nil {
				t.Error(err)
			}
			c.SetBehind("cp4", true)
		case 2:
			c.SetBehind("cp4", false)
			refuse(c, "promote", "etcdserver: re-configuration failed due to not enough started members")
		case 3:
			c.SetFailure(nil)
		}
	}
	o := settled(t, v, env)
	if want := []string{"cp4 has not been started yet", "cp4 has not caught up yet",
		"etcd gives cp4 no vote for now: too few members are well: re-configuration failed due to not enough started members"}; !slices.Equal(said, want) {
		t.Errorf("it says %q; want %q", said, want)
	}
	if o.Value("learner") != "no" || c.Members()[3].Learner {
		t.Errorf("it is %v", o)
	}
	c.Changes()
	settled(t, v, env)
	if err := v.Undo(t.Context(), env, resource.Observed{State: resource.Absent}); err != nil {
		t.Error(err)
	}
	if got := c.Changes(); got != nil {
		t.Errorf("for a member that votes, etcd was asked for %q", got)
	}
}

func TestEtcdVoteFails(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1")
	m := resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4}
	settled(t, m, env)
	refuse(c, "promote", "etcdserver: no leader")
	passes(t, resource.EtcdVote(m).Apply(t.Context(), env), "giving cp4 a vote in etcd: etcdserver: no leader")
	// Who was faster is no failure.
	refuse(c, "promote", "etcdserver: can only promote a learner member")
	if err := resource.EtcdVote(m).Apply(t.Context(), env); err != nil {
		t.Error(err)
	}
}
