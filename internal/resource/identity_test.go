package resource_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

func readIdentity(t *testing.T, env *resource.Env) facts.Identity {
	t.Helper()
	r, err := env.Files.Open(resource.IdentityPath)
	if err != nil {
		t.Fatal(err)
	}
	var id facts.Identity
	if err := json.NewDecoder(r).Decode(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityIsTheClusters(t *testing.T) {
	env := fake.New("m", nil).Env(nil)
	settled(t, resource.Identity{Cluster: "abc", ClusterName: "prod"}, env)
	first := readIdentity(t, env)
	if first.Cluster != "abc" || first.ClusterName != "prod" {
		t.Errorf("it is %+v", first)
	}
	renamed := resource.Identity{Cluster: "abc", ClusterName: "production"}
	o, err := renamed.Observe(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	d := renamed.Diff(o)
	if len(d) != 1 || d[0].String() != "cluster: prod → production" {
		t.Errorf("a new name of the cluster: %v", d)
	}
	settled(t, renamed, env)
	if second := readIdentity(t, env); second.Cluster != "abc" || second.ClusterName != "production" {
		t.Errorf("it is %+v", second)
	}
}

func TestIdentityOfOthersStays(t *testing.T) {
	m := fake.New("m", nil)
	env := m.Env(nil)
	write(resource.IdentityPath, `{"machine":"1","cluster":"xyz","clusterName":"test"}`)(t, m, env)
	if err := (resource.Identity{Cluster: "abc"}).Undo(t.Context(), env, resource.Observed{State: resource.Absent}); err != nil {
		t.Fatal(err)
	}
	if id := readIdentity(t, env); id.Cluster != "xyz" {
		t.Errorf("it is %+v", id)
	}
	write(resource.IdentityPath, `{"machine`)(t, m, env)
	if _, err := (resource.Identity{Cluster: "abc"}).Observe(t.Context(), env); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged one: %v", err)
	}
}
