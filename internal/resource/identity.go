package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/internal/facts"
)

// IdentityPath is where a machine keeps who and whose it is: facts.Identity.
const IdentityPath = Dir + "/identity.json"

// Identity is whose the machine is. Who it is, it says itself: facts.Identity.Machine.
type Identity struct {
	// Cluster is the random name of the cluster.
	Cluster string `json:"cluster"`
	// ClusterName is what people call it.
	ClusterName string `json:"clusterName"`
}

// ID is the same everywhere.
func (Identity) ID() ID { return ID{"identity", "machine"} }

func readIdentity(env *Env) (id facts.Identity, present bool, err error) {
	f, err := readText(env, IdentityPath)
	if err != nil || !f.present {
		return id, false, err
	}
	if err := json.Unmarshal([]byte(f.text), &id); err != nil {
		return id, true, fmt.Errorf("%s is damaged (%w); find out which cluster the machine belongs to, and remove the file", IdentityPath, err)
	}
	return id, true, nil
}

// Observe reads it. A machine of another cluster is left alone.
func (i Identity) Observe(_ context.Context, env *Env) (Observed, error) {
	id, present, err := readIdentity(env)
	if err != nil || !present {
		return Observed{State: Absent}, err
	}
	o := Observed{State: Present, Values: map[string]string{"cluster": id.Cluster, "clusterName": id.ClusterName}}
	if id.Cluster != "" && id.Cluster != i.Cluster {
		o.Blocked = fmt.Sprintf("the machine belongs to the cluster %s (%s); reset it there first", id.ClusterName, id.Cluster)
	}
	return o, nil
}

// Diff shows what people call the cluster; random names are nobody's concern.
func (i Identity) Diff(o Observed) []Change {
	switch {
	case o.State == Absent || o.Value("cluster") == "":
		return []Change{{What: "cluster", New: i.ClusterName}}
	case o.Value("clusterName") != i.ClusterName || o.Value("cluster") != i.Cluster:
		return []Change{{What: "cluster", Old: o.Value("clusterName"), New: i.ClusterName}}
	}
	return nil
}

// Apply writes it.
func (i Identity) Apply(ctx context.Context, env *Env) error {
	o, err := i.Observe(ctx, env)
	switch {
	case err != nil:
		return err
	case o.Blocked != "":
		return BlockedError{o.Blocked}
	case len(i.Diff(o)) == 0:
		return nil
	}
	id := facts.Identity{Cluster: i.Cluster, ClusterName: i.ClusterName}
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", IdentityPath, err)
	}
	return env.Files.Write(IdentityPath, Attributes{Mode: 0o644}, strings.NewReader(string(b)+"\n"))
}

// Undo removes it: the machine is nobody's. One that meanwhile belongs to another cluster stays as it is.
func (i Identity) Undo(_ context.Context, env *Env, _ Observed) error {
	id, present, err := readIdentity(env)
	if err != nil || !present || id.Cluster != i.Cluster {
		return err
	}
	return env.Files.Remove(IdentityPath)
}
