package converge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/runtime"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// Remembered is what a control plane remembers of what people said of its cluster.
type Remembered struct {
	// File is the cluster file that was applied last, byte by byte.
	File []byte
	// Inventory are the hosts of the cluster.
	Inventory facts.Inventory
}

// Remembered asks a host what it remembers. It takes no locks and changes nothing.
func (s *Session) Remembered(ctx context.Context, host string) (Remembered, error) {
	hosts, missing := s.Facts()
	f, answered := hosts[host]
	if !answered {
		return Remembered{}, errors.New(missing[host])
	}
	client, err := s.fleet.connected(ctx, host)
	if err != nil {
		return Remembered{}, err
	}
	report := resource.ClusterFileReport{}
	found, err := client.Look(ctx, []resource.Report{report})
	if err != nil {
		return Remembered{}, err
	}
	var is resource.ClusterFileFound
	if why := found.Get(report.ID(), &is); why != "" {
		return Remembered{}, fmt.Errorf("%s: reading the cluster file that it remembers: %s", host, why)
	}
	if err := remembersFile(host, f, is.Content); err != nil {
		return Remembered{}, err
	}
	r := Remembered{File: is.Content}
	if f.Inventory != nil {
		r.Inventory = *f.Inventory
	}
	return r, nil
}

// remembersFile says why a host has no cluster file to give.
func remembersFile(host string, f facts.Host, content []byte) error {
	switch {
	case len(content) > 0:
		return nil
	case f.Identity.Cluster == "":
		return fmt.Errorf("%s belongs to no cluster of Kubewright; name a control plane of one", host)
	case f.Inventory == nil:
		return fmt.Errorf("%s is of the cluster %s and no control plane of it: only these remember the cluster file; name one of them", host, f.Identity.ClusterName)
	}
	var known []string
	for _, h := range f.Inventory.Hosts {
		known = append(known, fmt.Sprintf("%s at %s (%s)", h.Name, h.Address, strings.Join(h.Roles, ", ")))
	}
	return fmt.Errorf("%s remembers no cluster file: nobody applied one since Kubewright leaves it there. Name another control plane, or write the file again; its hosts are %s",
		host, strings.Join(known, "; "))
}

// Differences say how the hosts of a cluster file that is remembered differ from those that were reached: a run may not have come to its end. None if all is as the file says.
func Differences(spec *v1alpha1.Cluster, i facts.Inventory) []string {
	known := map[string]facts.InventoryHost{}
	for _, h := range i.Hosts {
		known[h.Name] = h
	}
	var list []string
	for _, h := range spec.Hosts {
		is, ok := known[h.Name]
		delete(known, h.Name)
		var roles []string
		for _, r := range h.Roles {
			roles = append(roles, string(r))
		}
		switch {
		case !ok:
			list = append(list, fmt.Sprintf("%s is in the file, and was not reached before", h.Name))
		case is.Address != h.Address || is.Port != h.SSH.Port:
			list = append(list, fmt.Sprintf("%s is at %s in the file, and was reached at %s before", h.Name, at(h.Address, h.SSH.Port), at(is.Address, is.Port)))
		case !slices.Equal(is.Roles, roles):
			list = append(list, fmt.Sprintf("%s has the roles %s in the file, and had %s before", h.Name, strings.Join(roles, ", "), strings.Join(is.Roles, ", ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if h := known[name]; h.Left {
			list = append(list, fmt.Sprintf("%s, which was at %s, left the cluster without having been put back as it was found", name, h.Address))
		} else {
			list = append(list, fmt.Sprintf("%s is not in the file, and was reached at %s before: it has not left the cluster yet", name, at(h.Address, h.Port)))
		}
	}
	return list
}

func at(address string, port int) string {
	if port == 0 {
		return address
	}
	return fmt.Sprintf("%s, port %d", address, port)
}

// NamedFile is a file that a cluster file names, and that is not remembered with it.
type NamedFile struct {
	// Field of the cluster file: "files[0].source".
	Field string
	// Path as it stands there.
	Path string
	// Lost is what it was, or where its content still lies.
	Lost string
}

// NamedFiles are those that a cluster file names, in the order of their fields.
func NamedFiles(spec *v1alpha1.Cluster) []NamedFile {
	var list []NamedFile
	seen := map[string]bool{}
	for _, h := range spec.Hosts {
		if key := h.SSH.Key; key != "" && !seen[key] {
			seen[key] = true
			list = append(list, NamedFile{"ssh.key", key, "the private key that " + h.Name + " is logged in to with: put yours there. A changed path is shown by plan, and remembered by apply"})
		}
	}
	for i, r := range spec.Registries {
		if r.CA != "" {
			copied := runtime.AuthoritiesPath(cluster.Registry{Registry: r})
			list = append(list, NamedFile{fmt.Sprintf("registries[%d].ca", i), r.CA, "all hosts have it as " + copied})
		}
		if r.Credentials != nil && r.Credentials.PasswordFile != "" {
			list = append(list, NamedFile{fmt.Sprintf("registries[%d].credentials.passwordFile", i), r.Credentials.PasswordFile, "the password of " + r.Credentials.Username + " at " + r.Host})
		}
	}
	for i, f := range spec.Files {
		list = append(list, NamedFile{fmt.Sprintf("files[%d].source", i), f.Source, havers(f) + " have it as " + f.Path})
	}
	if e := spec.Etcd.External; e.Wanted() {
		const dir = resource.ExternalEtcdDir
		for _, f := range []struct{ field, path, copied string }{{"ca", e.CA, "ca.crt"}, {"certificate", e.Certificate, "client.crt"}, {"key", e.Key, "client.key"}} {
			list = append(list, NamedFile{"etcd.external." + f.field, f.path, "control planes have it as " + dir + "/" + f.copied})
		}
	}
	if spec.Audit.Policy != "" {
		list = append(list, NamedFile{"audit.policy", spec.Audit.Policy, "control planes have it as " + controlplane.AuditPolicyFile})
	}
	if corefile := spec.Addons.CoreDNS.Corefile; corefile != "" {
		list = append(list, NamedFile{"addons.coreDNS.corefile", corefile, "the ConfigMap kube-system/coredns has it"})
	}
	return list
}

// havers are who has a file of the user's.
func havers(f v1alpha1.File) string {
	if len(f.Roles) == 0 {
		return "all hosts"
	}
	var roles []string
	for _, r := range f.Roles {
		roles = append(roles, string(r))
	}
	return "hosts with the role " + strings.Join(roles, " or ")
}
