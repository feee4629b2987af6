package converge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// keyring holds what control planes share, in memory alone: what lies on them, fetched when it is needed, or what a new cluster gets. Hosts ask it for certificates
// and secrets, and get those that the resources they shall have are entitled to, and no others.
type keyring struct {
	// fetch reads what a control plane shares, by path.
	fetch func(ctx context.Context, host string) (map[string][]byte, error)

	mu      sync.Mutex
	fresh   map[string][]byte // of a new cluster, by path; made once
	token   string            // that kubelets join with; made once
	files   map[string][]byte // contents that are known, by path
	at      map[string][]string
	digests map[string]string // of shared files, by path
	known   map[string]string // certificates of authorities, by name
	planes  map[string]bool   // hosts that are control planes
	wanted  map[string]map[resource.ID]resource.Resource
}

// Keys are what components may know of the keys of a cluster.
type Keys struct {
	// Certificates of authorities by name, in PEM form.
	Certificates map[string]string
	// Shared are digests of files that control planes share, by path.
	Shared map[string]string
}

func newKeyring(fetch func(ctx context.Context, host string) (map[string][]byte, error)) *keyring {
	return &keyring{fetch: fetch, files: map[string][]byte{}}
}

func certificatePath(authority string) string { return resource.PKIDir + "/" + authority + ".crt" }

func keyPath(authority string) string { return resource.PKIDir + "/" + authority + ".key" }

// see finds out which keys the hosts have. Those of a new cluster are made, in memory: who asks for a plan alone leaves no trace of them.
func (k *keyring) see(c *cluster.Cluster, hosts map[string]facts.Host) (Keys, []plan.Problem) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.digests, k.planes = map[string][]string{}, map[string]string{}, map[string]bool{}
	keys := Keys{Certificates: map[string]string{}, Shared: map[string]string{}}
	defer func() { k.known = maps.Clone(keys.Certificates) }()
	var problems []plan.Problem
	lived, silent := false, 0 // there was a cluster; control planes that did not answer
	for _, h := range c.With(v1alpha1.ControlPlane) {
		k.planes[h.Name] = true
		if _, answered := hosts[h.Name]; !answered {
			silent++
		}
	}
	for _, f := range hosts {
		lived = lived || f.Kubernetes.Formed || f.Kubernetes.Etcd.Data && !besideExternal(c, f)
	}
	byContent := func(path string, found func(f facts.Host) string) (string, bool) {
		all := map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(hosts)) {
			if content := found(hosts[name]); content != "" {
				all[content] = append(all[content], name)
			}
		}
		if len(all) > 1 {
			var sides []string
			for _, content := range slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Compare(all[a][0], all[b][0]) }) {
				sides = append(sides, strings.Join(all[content], ", "))
			}
			problems = append(problems, plan.Problem{Blocks: true, Message: fmt.Sprintf("hosts have different files at %s: %s differ from each other", path, strings.Join(sides, " and ")),
				Remedy: "Find out which is the cluster's, and move the other away together with all that was signed by it, or reset that host"})
			return "", false
		}
		for content := range all {
			return content, true
		}
		return "", true
	}
	var lacking []string
	for _, name := range pki.Authorities() {
		content, agree := byContent(certificatePath(name), func(f facts.Host) string { return f.Kubernetes.Authorities[name].Certificate })
		if !agree {
			continue
		}
		if content == "" {
			lacking = append(lacking, certificatePath(name))
			continue
		}
		keys.Certificates[name] = content
		for _, h := range slices.Sorted(maps.Keys(k.planes)) {
			if hosts[h].Kubernetes.Authorities[name].Key {
				k.at[keyPath(name)] = append(k.at[keyPath(name)], h)
			}
		}
		if len(k.at[keyPath(name)]) == 0 && k.fresh[keyPath(name)] == nil {
			problems = append(problems, plan.Problem{Blocks: silent == 0, Message: fmt.Sprintf("the key of the authority %s is on none of the control planes that answered", name),
				Remedy: "Bring those back that did not answer, or put " + keyPath(name) + " back from where you keep it"})
		}
	}
	for _, path := range sharedFiles(c) {
		digest, agree := byContent(path, func(f facts.Host) string { return f.Kubernetes.Shared[path] })
		if !agree {
			continue
		}
		if digest == "" {
			lacking = append(lacking, path)
			continue
		}
		keys.Shared[path], k.digests[path] = digest, digest
		for _, h := range slices.Sorted(maps.Keys(k.planes)) {
			if hosts[h].Kubernetes.Shared[path] == digest {
				k.at[path] = append(k.at[path], h)
			}
		}
	}
	switch {
	case len(lacking) == 0:
		return keys, problems
	case lived || silent > 0:
		problems = append(problems, plan.Problem{Blocks: true, Message: missingMessage(lacking, lived, silent), Remedy: missingRemedy(lacking, lived, silent)})
		return keys, problems
	}
	if err := k.makeFresh(c); err != nil {
		return keys, append(problems, plan.Problem{Blocks: true, Message: "the keys of the cluster cannot be made: " + err.Error()})
	}
	for _, path := range lacking {
		k.files[path] = k.fresh[path]
		if name, ok := strings.CutSuffix(strings.TrimPrefix(path, resource.PKIDir+"/"), ".crt"); ok {
			keys.Certificates[name] = string(k.fresh[path])
			k.files[keyPath(name)] = k.fresh[keyPath(name)]
			continue
		}
		digest := resource.DigestOf(k.fresh[path])
		keys.Shared[path], k.digests[path] = digest, digest
	}
	return keys, problems
}

func missingMessage(lacking []string, lived bool, silent int) string {
	if lived {
		return fmt.Sprintf("the control planes that answered have no %s, although the cluster has lived", strings.Join(lacking, ", "))
	}
	return fmt.Sprintf("the control planes that answered have no %s, and %d did not answer: whether the cluster has them cannot be known", strings.Join(lacking, ", "), silent)
}

func missingRemedy(lacking []string, lived bool, silent int) string {
	switch {
	case silent > 0:
		return "Bring all control planes back, or take those out of the file that shall not be in it, and run again"
	case lived && len(lacking) == 1 && lacking[0] == resource.EncryptionConfig:
		return "A cluster that was made without encryption cannot be given it yet: say encryption: {provider: none}; or, if it had it, put the file back"
	}
	return "Put them back from where you keep them; new ones would make another cluster of it"
}

// sharedFiles are those that a cluster has.
func sharedFiles(c *cluster.Cluster) []string {
	return slices.DeleteFunc(resource.SharedFiles(), func(path string) bool {
		return path == resource.EncryptionConfig && c.Encryption.Provider == "none"
	})
}

// makeFresh makes the keys of a new cluster, unless that was done.
func (k *keyring) makeFresh(c *cluster.Cluster) error {
	if k.fresh != nil {
		return nil
	}
	fresh := map[string][]byte{}
	algorithm := pki.Algorithm(c.Certificates.Algorithm)
	validity, err := time.ParseDuration(c.Certificates.AuthorityValidity)
	if err != nil {
		return fmt.Errorf("certificates.authorityValidity: %w", err)
	}
	// The names are kubeadm's (cmd/kubeadm/app/phases/certs/certlist.go of v1.37).
	names := map[string]string{pki.Kubernetes: "kubernetes", pki.Etcd: "etcd-ca", pki.FrontProxy: "front-proxy-ca"}
	for _, name := range pki.Authorities() {
		pair, err := pki.NewAuthority(names[name], algorithm, validity, time.Now())
		if err != nil {
			return fmt.Errorf("making the authority %s: %w", name, err)
		}
		fresh[certificatePath(name)], fresh[keyPath(name)] = pair.Certificate, pair.Key
	}
	fresh[resource.ServiceAccountKey], fresh[resource.ServiceAccountPublic], err = pki.NewServiceAccount(algorithm)
	if err != nil {
		return fmt.Errorf("making the keys of service accounts: %w", err)
	}
	if c.Encryption.Provider != "none" {
		fresh[resource.EncryptionConfig] = encryptionConfig(c)
	}
	k.fresh = fresh
	return nil
}

// encryptionConfig is what API servers encrypt with, and read what is not encrypted (apiserver.config.k8s.io/v1).
func encryptionConfig(c *cluster.Cluster) []byte {
	var resources strings.Builder
	for _, r := range c.Encryption.Resources {
		fmt.Fprintf(&resources, "  - %s\n", r)
	}
	return fmt.Appendf(nil, `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
%s  providers:
  - %s:
      keys:
      - name: key1
        secret: %s
  - identity: {}
`, resources.String(), c.Encryption.Provider, pki.NewEncryptionKey())
}

// take remembers what hosts shall have: what they may ask for.
func (k *keyring) take(steps []plan.Step) {
	wanted := map[string]map[resource.ID]resource.Resource{}
	for _, s := range steps {
		for _, r := range s.Resources {
			_, certified := r.(resource.Certified)
			_, user := r.(resource.SecretUser)
			if !certified && !user {
				continue
			}
			if wanted[s.Host] == nil {
				wanted[s.Host] = map[resource.ID]resource.Resource{}
			}
			wanted[s.Host][r.ID()] = r
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wanted = wanted
}

func (k *keyring) resource(host string, id resource.ID) resource.Resource {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted[host][id]
}

// Sign makes the certificate of a resource that a host shall have. What it says is what the resource says; of the request only the key counts.
func (k *keyring) Sign(ctx context.Context, host string, of resource.ID, request []byte) ([]byte, error) {
	r, ok := k.resource(host, of).(resource.Certified)
	if !ok {
		return nil, fmt.Errorf("%s shall have no certificate for %s", host, of)
	}
	wanted := r.Requested()
	pair, err := k.authority(ctx, wanted.Authority)
	if err != nil {
		return nil, err
	}
	return pki.Sign(pair, wanted, request, time.Now())
}

func (k *keyring) authority(ctx context.Context, name string) (pki.KeyPair, error) {
	k.mu.Lock()
	certificate := k.known[name]
	k.mu.Unlock()
	if certificate == "" {
		return pki.KeyPair{}, fmt.Errorf("there is no authority %s", name)
	}
	key, err := k.content(ctx, keyPath(name))
	if err != nil {
		return pki.KeyPair{}, err
	}
	return pki.KeyPair{Certificate: []byte(certificate), Key: key}, nil
}

// Secret is one that a resource uses that a host shall have: the token for all kubelets, everything else for control planes alone.
func (k *keyring) Secret(ctx context.Context, host string, of resource.ID, name string) ([]byte, error) {
	r, ok := k.resource(host, of).(resource.SecretUser)
	if !ok || !slices.Contains(r.Secrets(), name) {
		return nil, fmt.Errorf("%s has no use for it at %s", host, of)
	}
	if name == resource.BootstrapTokenSecret {
		return k.joinToken()
	}
	k.mu.Lock()
	plane := k.planes[host]
	k.mu.Unlock()
	if !plane {
		return nil, fmt.Errorf("%s is no control plane, and others get no keys", host)
	}
	if authority, ok := strings.CutSuffix(name, ".key"); ok && !strings.HasPrefix(name, "/") {
		return k.content(ctx, keyPath(authority))
	}
	return k.content(ctx, name)
}

// joinToken is the one that kubelets join with in this run.
func (k *keyring) joinToken() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.token == "" {
		token, err := resource.NewToken()
		if err != nil {
			return nil, err
		}
		k.token = token
	}
	return []byte(k.token), nil
}

// content of a file that control planes share: what is known, or what the first of those that have it says.
func (k *keyring) content(ctx context.Context, path string) ([]byte, error) {
	k.mu.Lock()
	content, at, digest := k.files[path], slices.Clone(k.at[path]), k.digests[path]
	k.mu.Unlock()
	if content != nil {
		return content, nil
	}
	var failed []error
	for _, host := range at {
		files, err := k.fetch(ctx, host)
		if err == nil && files[path] == nil {
			err = fmt.Errorf("%s has no %s any more", host, path)
		}
		if err == nil && digest != "" && resource.DigestOf(files[path]) != digest {
			err = fmt.Errorf("%s changed on %s meanwhile", path, host)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.files[path] = files[path]
		return files[path], nil
	}
	return nil, fmt.Errorf("%s is to be had from none of the control planes: %w", path, errors.Join(failed...))
}
