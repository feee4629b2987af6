package resource_test

import (
	"context"
	"errors"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	etcdfake "github.com/kubewright/kubewright/internal/etcd/fake"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

const peer4, peer5 = "https://10.0.0.14:2380", "https://10.0.0.15:2380"

// withEtcd is a machine with credentials for a cluster of etcd, and the client URLs of its members.
func withEtcd(t *testing.T, names ...string) (*etcdfake.Cluster, *resource.Env, []string) {
	t.Helper()
	c := etcdfake.New(names...)
	t.Cleanup(c.Close)
	env := fake.New("m", nil).Env(nil)
	lay(t, env, "/etc/kubernetes/pki/etcd/ca.crt", string(c.CA))
	lay(t, env, "/etc/kubernetes/pki/etcd/healthcheck-client.crt", string(c.Certificate))
	lay(t, env, "/etc/kubernetes/pki/etcd/healthcheck-client.key", string(c.Key))
	var servers []string
	for _, name := range names {
		servers = append(servers, c.URL(name))
	}
	return c, env, servers
}

// differs is what is observed, in words.
func differs(t *testing.T, r resource.Resource, env *resource.Env) string {
	t.Helper()
	o, err := r.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return inWords(r.Diff(o))
}

// passes fails unless an error may pass and says something.
func passes(t *testing.T, err error, says ...string) {
	t.Helper()
	if _, transient := errors.AsType[resource.TransientError](err); !transient {
		t.Errorf("it may not pass: %v", err)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("it says %v; want %q", err, s)
		}
	}
}

// refuse has a kind of change be refused with a message, until it is called.
func refuse(c *etcdfake.Cluster, kind, message string) (end func()) {
	c.SetFailure(func(_, at string) string {
		if path.Base(at) == kind {
			return message
		}
		return ""
	})
	return func() { c.SetFailure(nil) }
}

func TestEtcdMember(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	m := resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4}
	if got := differs(t, m, env); got != "member: absent → learner" {
		t.Errorf("it says %s", got)
	}
	settled(t, m, env)
	if got, want := c.Changes(), []string{"cp1 add " + peer4}; !slices.Equal(got, want) {
		t.Errorf("etcd was asked for %q; want %q", got, want)
	}
	o := settled(t, m, env)
	if o.Value("peer URLs") != peer4 || o.Value("learner") != "yes" || o.Value("id") != c.Members()[3].ID || o.Value("name") != "" {
		t.Errorf("it is %v", o)
	}
	if err := c.Start("cp4", peer4); err != nil {
		t.Fatal(err)
	}
	if o = settled(t, m, env); o.Value("name") != "cp4" {
		t.Errorf("it is %v", o)
	}
	// Its address changes.
	m.PeerURL = peer5
	if got := differs(t, m, env); got != "peer URL: "+peer4+" → "+peer5 {
		t.Errorf("it says %s", got)
	}
	if d := m.Diff(o); len(d) != 1 || !d[0].Disturbs {
		t.Errorf("nothing is disturbed by %v", d)
	}
	settled(t, m, env)
	if err := m.Undo(t.Context(), env, resource.Observed{State: resource.Absent}); err != nil {
		t.Error(err)
	}
	if got, want := c.Changes(), []string{"cp1 update cp4"}; !slices.Equal(got, want) || len(c.Members()) != 4 {
		t.Errorf("etcd was asked for %q; want %q", got, want)
	}
	passes(t, resource.EtcdMember{Servers: servers, Name: "cp5", PeerURL: peer4}.Apply(t.Context(), env), "cp4 has not been promoted: cp5 has to wait")
}

// Its name is that of the member that is started with it; who is where it shall be is it.
func TestEtcdMemberOfAnotherName(t *testing.T) {
	_, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	if got := differs(t, resource.EtcdMember{Servers: servers, Name: "cp2", PeerURL: "https://10.0.0.13:2380"}, env); got != "" {
		t.Errorf("it says %s", got)
	}
}

// One that lost its data goes, and comes anew.
func TestEtcdMemberInPlaceOfAnother(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	old := c.ID("cp3")
	c.Stop("cp3")
	m := resource.EtcdMember{Servers: servers, Name: "cp3", PeerURL: "https://10.0.0.13:2380", Replaces: old}
	vote := resource.EtcdVote(m)
	if member, voter := differs(t, m, env), differs(t, vote, env); member != "member: absent → learner" || voter != "member: absent → voter" {
		t.Errorf("it says %s, %s", member, voter)
	}
	passes(t, vote.Apply(t.Context(), env), "no member is listed at https://10.0.0.13:2380")
	end := refuse(c, "add", "etcdserver: Peer URLs already exists")
	passes(t, m.Apply(t.Context(), env), "etcd has another member at https://10.0.0.13:2380")
	end()
	settled(t, resource.EtcdMemberAbsent{Servers: servers, MemberID: old, Name: "cp3"}, env)
	settled(t, m, env)
	if err := c.Start("cp3", m.PeerURL); err != nil {
		t.Fatal(err)
	}
	settled(t, vote, env)
	if l := c.Members(); len(l) != 3 || l[2].ID == old || l[2].Learner || l[2].Name != "cp3" {
		t.Errorf("members are %+v", l)
	}
}

// Who is silent is not absent.
func TestEtcdWithoutAQuorum(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	m := resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4}
	all := []resource.Resource{m, resource.EtcdVote(m), resource.EtcdMemberAbsent{Servers: servers, MemberID: c.ID("cp3"), Name: "cp3"}}
	c.Stop("cp1")
	if got := differs(t, m, env); got != "member: absent → learner" {
		t.Errorf("with the first of three gone, it says %s", got)
	}
	c.Stop("cp2")
	for _, r := range all {
		_, err := r.Observe(t.Context(), env)
		passes(t, err, "no member of etcd answers that has a quorum with it: "+servers[0]+": EOF; ", servers[2]+": etcdserver: request timed out")
		passes(t, r.Apply(t.Context(), env), "has a quorum")
	}
	if err := env.Files.Remove("/etc/kubernetes/pki/etcd/ca.crt"); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		_, observed := r.Observe(t.Context(), env)
		for _, err := range []error{observed, r.Apply(t.Context(), env)} {
			if err == nil || !strings.Contains(err.Error(), "etcd cannot be asked: ") {
				t.Errorf("without credentials: %v", err)
			}
		}
	}
	if got := c.Changes(); got != nil {
		t.Errorf("etcd was asked for %q", got)
	}
}

func TestEtcdMemberIsTriedAgain(t *testing.T) {
	c, env, servers := withEtcd(t, "cp1", "cp2", "cp3")
	m := resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4}
	end := refuse(c, "add", "etcdserver: unhealthy cluster")
	var said []string
	env.Progress = func(message string) {
		said = append(said, message)
		end()
	}
	settled(t, m, env)
	if want := []string{"etcd does not take cp4 for now: too few members are well: unhealthy cluster"}; !slices.Equal(said, want) {
		t.Errorf("it says %q; want %q", said, want)
	}
	m.Name, m.PeerURL = "cp5", peer5
	passes(t, m.Apply(t.Context(), env), "the member that shall be at "+peer4+" has not been promoted: cp5 has to wait")
	refuse(c, "add", "etcdserver: request timed out")
	passes(t, m.Apply(t.Context(), env), "having cp5 among the members of etcd at "+peer5+": etcdserver: request timed out")
	// Who is interrupted does not wait.
	refuse(c, "add", "etcdserver: unhealthy cluster")
	ctx, cancel := context.WithCancel(t.Context())
	env.Progress = func(string) { cancel() }
	if err := m.Apply(ctx, env); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted, it says %v", err)
	}
}

// What speaks with etcd travels to an agent like everything else.
func TestEtcdTravels(t *testing.T) {
	servers := []string{"https://127.0.0.1:2379"}
	for _, r := range []resource.Resource{
		resource.EtcdMember{Servers: servers, Name: "cp4", PeerURL: peer4, Replaces: "a1"}, resource.EtcdVote{Servers: servers, Name: "cp4", PeerURL: peer4, Replaces: "a1"},
		resource.EtcdMemberAbsent{Servers: servers, MemberID: "a1", Name: "cp3"},
	} {
		e, err := resource.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := resource.Decode(e); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%#v arrives as %#v, %v", r, got, err)
		}
		if _, ofCluster := r.(resource.OfCluster); !ofCluster {
			t.Errorf("%s is remembered as the machine's", r.ID())
		}
	}
}
