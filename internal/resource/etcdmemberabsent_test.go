package resource_test

import (
	"errors"
	"slices"
	"testing"

	etcdfake "github.com/kubewright/kubewright/internal/etcd/fake"
	"github.com/kubewright/kubewright/internal/resource"
)

func TestEtcdMemberAbsent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		members []string
		happens func(c *etcdfake.Cluster)
		leaves  string
		differs string
		asked   []string // of etcd
		blocked string
	}{
		{name: "a follower", members: []string{"cp1", "cp2", "cp3"}, leaves: "cp2", differs: "listed: yes → no", asked: []string{"cp1 remove cp2"}},
		{name: "the leader", members: []string{"cp1", "cp2", "cp3"}, leaves: "cp1", differs: "listed: yes → no (it leads: another one will before)",
			asked: []string{"cp1 transfer-leadership cp2", "cp2 remove cp1"}},
		{name: "the leader, and who comes next does not run", members: []string{"cp1", "cp2", "cp3", "cp4"}, leaves: "cp1", differs: "listed: yes → no (it leads: another one will before)",
			happens: func(c *etcdfake.Cluster) { c.Stop("cp2") }, asked: []string{"cp1 transfer-leadership cp3", "cp3 remove cp1"}},
		{name: "who led, and does not run", members: []string{"cp1", "cp2", "cp3"}, leaves: "cp1", differs: "listed: yes → no",
			happens: func(c *etcdfake.Cluster) { c.Stop("cp1") }, asked: []string{"cp2 remove cp1"}},
		{name: "one of two", members: []string{"cp1", "cp2"}, leaves: "cp2", differs: "listed: yes → no", asked: []string{"cp1 remove cp2"}},
		{name: "one that runs, of three of which another does not", members: []string{"cp1", "cp2", "cp3"}, leaves: "cp2", differs: "listed: yes → no",
			happens: func(c *etcdfake.Cluster) { c.Stop("cp3") },
			blocked: "cp2 cannot leave etcd: without it, 1 of 2 members that vote answer, and 2 have to (cp3: EOF). Have those start again that do not, or remove those first that never will"},
		{name: "one of five of which one does not run", members: []string{"cp1", "cp2", "cp3", "cp4", "cp5"}, leaves: "cp2", differs: "listed: yes → no",
			happens: func(c *etcdfake.Cluster) { c.Stop("cp5") }, asked: []string{"cp1 remove cp2"}},
		{name: "the only one", members: []string{"cp1"}, leaves: "cp1", differs: "listed: yes → no (it leads: another one will before)",
			blocked: "cp1 cannot leave etcd: it is the only member that votes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, env, servers := withEtcd(t, tt.members...)
			if tt.happens != nil {
				tt.happens(c)
			}
			r := resource.EtcdMemberAbsent{Servers: servers, MemberID: c.ID(tt.leaves), Name: tt.leaves}
			o, err := r.Observe(t.Context(), env)
			if err != nil {
				t.Fatal(err)
			}
			leads := o.Value("leader") == "yes"
			if d := r.Diff(o); inWords(d) != tt.differs || d[0].Disturbs != leads || leads != (c.Leader() == tt.leaves) || o.Value("name") != tt.leaves {
				t.Errorf("it is %v, and says %+v; want %s", o, d, tt.differs)
			}
			if tt.blocked != "" {
				err := r.Apply(t.Context(), env)
				if _, blocked := errors.AsType[resource.BlockedError](err); !blocked || err.Error() != tt.blocked {
					t.Errorf("it says %v; want %s", err, tt.blocked)
				}
				if got := c.Changes(); got != nil || len(c.Members()) != len(tt.members) {
					t.Errorf("etcd was asked for %q", got)
				}
				return
			}
			settled(t, r, env)
			settled(t, r, env)
			if err := r.Undo(t.Context(), env, o); err != nil {
				t.Error(err)
			}
			if got := c.Changes(); !slices.Equal(got, tt.asked) {
				t.Errorf("etcd was asked for %q; want %q", got, tt.asked)
			}
			if len(c.Members()) != len(tt.members)-1 || c.Leader() == tt.leaves || c.Leader() == "" {
				t.Errorf("%q leads %+v", c.Leader(), c.Members())
			}
		})
	}
}

// A learner goes whoever votes: no vote goes with it.
func TestEtcdLearnerAbsent(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	settled(t, resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4}, env)
	c.Stop("cp3")
	r := resource.EtcdMemberAbsent{Servers: servers, MemberID: c.Members()[3].ID}
	if r.ID().Name != r.MemberID {
		t.Errorf("it is called %s", r.ID())
	}
	settled(t, r, env)
	if len(c.Members()) != 3 {
		t.Errorf("members are %+v", c.Members())
	}
}

func TestEtcdMemberAbsentIsTriedAgain(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	r := resource.EtcdMemberAbsent{Servers: servers, MemberID: c.ID("cp1"), Name: "cp1"}
	refuse(c, "transfer-leadership", "etcdserver: request timed out, leader transfer took too long")
	passes(t, r.Apply(t.Context(), env), "having cp2 lead etcd instead of cp1: etcdserver: request timed out, leader transfer took too long")
	refuse(c, "remove", "etcdserver: no leader")
	passes(t, r.Apply(t.Context(), env), "removing cp1 from etcd: etcdserver: no leader")
	refuse(c, "remove", "etcdserver: member not found")
	if err := r.Apply(t.Context(), env); err != nil {
		t.Errorf("who was faster is no failure: %v", err)
	}
	end := refuse(c, "remove", "etcdserver: unhealthy cluster")
	var said []string
	env.Progress = func(message string) {
		said = append(said, message)
		end()
	}
	settled(t, r, env)
	if want := []string{"etcd does not let cp1 go for now: too few members are well: unhealthy cluster"}; !slices.Equal(said, want) {
		t.Errorf("it says %q; want %q", said, want)
	}
}
