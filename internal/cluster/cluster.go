// Package cluster is the model of a cluster that components decide by: what the cluster file says, complete, with the files that it names read.
// It knows nothing of what machines are like, and does not change once it is loaded.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/api/v1alpha1"
)

// Cluster is what shall be.
type Cluster struct {
	*v1alpha1.Cluster
	// Registries are those of the cluster file, with what their references lead to.
	Registries []Registry
	// Files are those of the cluster file, with their content.
	Files []File
	// AuditPolicy is the content of audit.policy; nil for Kubewright's own.
	AuditPolicy []byte
	// Corefile is the content of addons.coreDNS.corefile; nil for Kubewright's own.
	Corefile []byte
	// EtcdAccess is how control planes come to an etcd of the user's; empty if there is none.
	EtcdAccess EtcdAccess
	// StatisticsPassword is what endpoint.keepalived.statistics wants to be shown; a secret.
	StatisticsPassword string
}

// Registry is an image registry with what its references lead to.
type Registry struct {
	v1alpha1.Registry
	// Authorities are the certificates in the file that it names; PEM.
	Authorities []byte
	// Password to log in with; a secret.
	Password string
}

// File is a file of the user's with its content.
type File struct {
	v1alpha1.File
	Content []byte
}

// MaxFile is how large a file of the user's may be, in bytes: it is held in memory and compared on every run.
const MaxFile = 4 << 20

// Load reads what a cluster file names. Paths in it are relative to dir.
func Load(ctx context.Context, spec *v1alpha1.Cluster, dir string) (*Cluster, error) {
	c := &Cluster{Cluster: spec}
	var wrong []error
	for i, r := range spec.Registries {
		loaded := Registry{Registry: r}
		if r.CA != "" {
			content, err := readCertificates(dir, r.CA)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("registries[%d].ca: %w", i, err))
			}
			loaded.Authorities = content
		}
		if r.Credentials != nil {
			password, err := password(ctx, *r.Credentials, dir)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("registries[%d].credentials: %w", i, err))
			}
			loaded.Password = password
		}
		c.Registries = append(c.Registries, loaded)
	}
	for i, f := range spec.Files {
		content, err := readFile(dir, f.Source)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("files[%d].source: %w", i, err))
		}
		c.Files = append(c.Files, File{f, content})
	}
	var err error
	if spec.Etcd.External.Wanted() {
		if c.EtcdAccess, err = readEtcdAccess(dir, spec.Etcd.External); err != nil {
			wrong = append(wrong, err)
		}
	}
	if s := spec.Endpoint.Keepalived.Statistics; s.Wanted() {
		if c.StatisticsPassword, err = password(ctx, s.Credentials, dir); err != nil {
			wrong = append(wrong, fmt.Errorf("endpoint.keepalived.statistics.credentials: %w", err))
		}
	}
	if c.AuditPolicy, err = readAuditPolicy(dir, spec.Audit.Policy); err != nil {
		wrong = append(wrong, fmt.Errorf("audit.policy: %w", err))
	}
	if c.Corefile, err = readCorefile(dir, spec.Addons.CoreDNS.Corefile); err != nil {
		wrong = append(wrong, fmt.Errorf("addons.coreDNS.corefile: %w", err))
	}
	return c, errors.Join(wrong...)
}

// readFile reads a file that the cluster file names.
func readFile(dir, name string) ([]byte, error) {
	path := Resolve(dir, name)
	i, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !i.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if i.Size() > MaxFile {
		return nil, fmt.Errorf("%s has %d bytes; want at most %d", path, i.Size(), MaxFile)
	}
	return os.ReadFile(path)
}

// readCertificates reads a file of certificates.
func readCertificates(dir, name string) ([]byte, error) {
	content, err := readFile(dir, name)
	if err == nil && !bytes.Contains(content, []byte("-----BEGIN CERTIFICATE-----")) {
		err = fmt.Errorf("%s holds no certificate in PEM form", name)
	}
	return content, err
}

// readAuditPolicy reads a policy of audit logs, if one is named. API servers don't start with one that is none, or that has no rules
// (LoadPolicyFromBytes in pkg/audit/policy of k8s.io/apiserver v0.37).
func readAuditPolicy(dir, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	content, err := readFile(dir, name)
	if err != nil {
		return nil, err
	}
	const want = "want a Policy of audit.k8s.io/v1 with rules"
	var policy struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Rules      []any  `json:"rules"`
	}
	if err := yaml.Unmarshal(content, &policy); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w; %s", name, err, want)
	}
	if policy.APIVersion != "audit.k8s.io/v1" || policy.Kind != "Policy" {
		return nil, fmt.Errorf("%s is a %q of %q; %s", name, policy.Kind, policy.APIVersion, want)
	}
	if len(policy.Rules) == 0 {
		return nil, fmt.Errorf("%s has no rules; %s", name, want)
	}
	return content, nil
}

// readCorefile reads the configuration of CoreDNS, if one is named.
func readCorefile(dir, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	content, err := readFile(dir, name)
	if err == nil && len(bytes.TrimSpace(content)) == 0 {
		err = fmt.Errorf("%s is empty", name)
	}
	return content, err
}

// Resolve is where a path leads that a cluster file names which lies in dir.
func Resolve(dir, name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// commandTime is how long a program may take to print a password.
const commandTime = time.Minute

// password finds a password where the cluster file says. It appears in no error.
func password(ctx context.Context, c v1alpha1.Credentials, dir string) (string, error) {
	var secret []byte
	switch {
	case c.PasswordFile != "":
		content, err := readFile(dir, c.PasswordFile)
		if err != nil {
			return "", err
		}
		secret = content
	case c.PasswordEnv != "":
		value, set := os.LookupEnv(c.PasswordEnv)
		if !set {
			return "", fmt.Errorf("the environment variable %s is not set", c.PasswordEnv)
		}
		secret = []byte(value)
	case len(c.PasswordCommand) > 0:
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		cmd := exec.CommandContext(ctx, c.PasswordCommand[0], c.PasswordCommand[1:]...)
		cmd.Dir = dir
		cmd.Stderr = os.Stderr // it may ask for something
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("running %s: %w", c.PasswordCommand[0], err)
		}
		secret = out
	}
	s := strings.TrimRight(string(secret), "\r\n")
	if s == "" {
		return "", errors.New("the password is empty")
	}
	return s, nil
}

// Host by its name; nil if there is none.
func (c *Cluster) Host(name string) *v1alpha1.Host {
	for i := range c.Hosts {
		if c.Hosts[i].Name == name {
			return &c.Hosts[i]
		}
	}
	return nil
}

// With are the hosts that have a role, in the order of the file.
func (c *Cluster) With(role v1alpha1.Role) []v1alpha1.Host {
	var hosts []v1alpha1.Host
	for _, h := range c.Hosts {
		if slices.Contains(h.Roles, role) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// EtcdHosts carry members of the main etcd: those with the role, or all control planes if none has it; no host, if it is the user's own.
func (c *Cluster) EtcdHosts() []v1alpha1.Host {
	if c.Etcd.External.Wanted() {
		return nil
	}
	return v1alpha1.EtcdHosts(c.Hosts, c.Etcd.Events.Hosts)
}

// HasMember says whether a host carries a member of the main etcd.
func (c *Cluster) HasMember(h v1alpha1.Host) bool {
	if !slices.Contains(h.Roles, v1alpha1.Etcd) && !slices.Contains(h.Roles, v1alpha1.ControlPlane) {
		return false // most hosts
	}
	return slices.ContainsFunc(c.EtcdHosts(), func(m v1alpha1.Host) bool { return m.Name == h.Name })
}

// HasAnyMember says whether a host carries a member of the main etcd or of the one for events.
func (c *Cluster) HasAnyMember(h v1alpha1.Host) bool {
	return c.HasMember(h) || slices.Contains(c.Etcd.Events.Hosts, h.Name)
}

// Keepers are the hosts that hold the cluster together: control planes and those of etcd. A run needs the locks of most of them.
func (c *Cluster) Keepers() []v1alpha1.Host {
	var hosts []v1alpha1.Host
	for _, h := range c.Hosts {
		if slices.Contains(h.Roles, v1alpha1.ControlPlane) || slices.Contains(h.Roles, v1alpha1.Etcd) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// Groups of hosts that are disturbed together or not at all, by the first of these roles that a host has.
const (
	ControlPlanes = "control planes"
	EtcdHosts     = "etcd hosts"
	MainMembers   = "members of etcd"            // where some host has the role etcd; a host of it belongs to another group, too
	EventsMembers = "members of etcd for events" // as well
	Balancers     = "load balancers"
	Workers       = "workers"
)

// GroupOf is the group that a host belongs to.
func GroupOf(h v1alpha1.Host) string {
	switch {
	case slices.Contains(h.Roles, v1alpha1.ControlPlane):
		return ControlPlanes
	case slices.Contains(h.Roles, v1alpha1.Etcd):
		return EtcdHosts
	case slices.Contains(h.Roles, v1alpha1.LoadBalancer):
		return Balancers
	}
	return Workers
}

// Permissions of a file of the user's. The cluster file was checked to hold an octal number.
func (f File) Permissions() fs.FileMode {
	var m fs.FileMode
	_, _ = fmt.Sscanf(f.Mode, "%o", &m)
	return m.Perm()
}
