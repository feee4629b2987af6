package controlplane

import (
	"fmt"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/plan"
)

// fixed is a setting that a cluster is born with.
type fixed struct {
	setting string // as facts.Kubernetes.Settings has it
	field   string // of the cluster file
	want    func(*cluster.Cluster) string
	why     string
}

// fixedSettings cannot change by starting programs with others: what lives in the cluster has what was there before.
var fixedSettings = []fixed{
	{facts.ServiceRanges, "network.serviceRanges", func(c *cluster.Cluster) string { return strings.Join(c.Network.ServiceRanges, ",") },
		"Services that exist keep their addresses, and that of the API is in certificates and in every Pod"},
	{facts.PodRanges, "network.podRanges", func(c *cluster.Cluster) string { return strings.Join(c.Network.PodRanges, ",") },
		"nodes keep the ranges that they were given, and controller managers do not start beside those"},
	{facts.Endpoint, "endpoint.name, which comes of the cluster's name by default, or apiServer.port", func(c *cluster.Cluster) string { return c.EndpointURL() },
		"kubeconfigs and certificates have it in them"},
	{facts.EtcdPrefix, "etcd.external.prefix", func(c *cluster.Cluster) string { return c.Etcd.External.Prefix }, "all that the API stored has names that begin so"},
	{facts.TokenIssuer, "network.dnsDomain", func(c *cluster.Cluster) string { return issuer(c) }, "the tokens of all service accounts, and the names that Pods look for, have it in them"},
}

// Guard says which settings of a cluster that lives the file would change that cannot be changed so. Where control planes differ from each other, one of them was changed by hand, and is
// repaired; where none has what the file says, the file was changed. hosts are those that answered, by name.
func Guard(c *cluster.Cluster, hosts map[string]facts.Host) []plan.Problem {
	var problems []plan.Problem
	for _, f := range fixedSettings {
		if has, on := others(c, hosts, f.setting, f.want(c)); has != "" {
			problems = append(problems, plan.Problem{Blocks: true,
				Message: fmt.Sprintf("%s cannot be changed on a cluster that lives: it has %s (%s), and the file says %s; %s", f.field, has, on, f.want(c), f.why),
				Remedy:  "Say what it has; a cluster with others is a new one. If somebody changed it by hand on " + on + ", put it back there"})
		}
	}
	if c.Encryption.Provider == "none" {
		if has, on := others(c, hosts, facts.Encryption, ""); has != "" {
			problems = append(problems, plan.Problem{Blocks: true,
				Message: fmt.Sprintf("encryption.provider cannot become none on a cluster that lives: its Secrets are encrypted (%s), and nobody could read them without the key", on),
				Remedy:  "Leave it as it was"})
		}
	}
	return problems
}

// others is what control planes have of a setting if none of them has what is wanted, and one that has it; nothing otherwise.
func others(c *cluster.Cluster, hosts map[string]facts.Host, setting, want string) (has, on string) {
	for _, h := range c.With(v1alpha1.ControlPlane) {
		k := hosts[h.Name].Kubernetes
		value, there := k.Settings[setting]
		switch {
		case !there || !k.Formed:
		case value == want:
			return "", ""
		case has == "":
			has, on = value, h.Name
		}
	}
	return has, on
}

// issuer is who tokens of service accounts say that they are from.
func issuer(c *cluster.Cluster) string {
	return "https://kubernetes.default.svc." + c.Network.DNSDomain
}
