package converge

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

const ringFile = `apiVersion: kubewright.dev/v1alpha1
kind: Cluster
name: test
hosts:
- {name: cp1, address: 10.0.0.11, roles: [control-plane]}
- {name: cp2, address: 10.0.0.12, roles: [control-plane]}
- {name: cp3, address: 10.0.0.13, roles: [control-plane]}
- {name: w1, address: 10.0.0.21, roles: [worker]}
- {name: w2, address: 10.0.0.22, roles: [worker]}
`

func ringCluster(t *testing.T, more string) *cluster.Cluster {
	t.Helper()
	spec, err := v1alpha1.Parse("cluster.yaml", []byte(ringFile+more))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Load(t.Context(), spec, ".")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// machines are what control planes share, by host and path.
type machines map[string]map[string][]byte

func (m machines) fetch(_ context.Context, host string) (map[string][]byte, error) {
	if m[host] == nil {
		return nil, errors.New(host + " is gone")
	}
	return m[host], nil
}

// madeFor are the keys that a new cluster gets.
func madeFor(t *testing.T, c *cluster.Cluster) map[string][]byte {
	t.Helper()
	k := newKeyring(nil)
	if err := k.makeFresh(c); err != nil {
		t.Fatal(err)
	}
	return k.fresh
}

// having are the facts of a machine that has some of what control planes share.
func having(files map[string][]byte) facts.Host {
	f := facts.Kubernetes{Authorities: map[string]facts.Authority{}, Shared: map[string]string{}}
	for _, name := range pki.Authorities() {
		if certificate := files[certificatePath(name)]; certificate != nil {
			f.Authorities[name] = facts.Authority{Certificate: string(certificate), Key: files[keyPath(name)] != nil}
		}
	}
	for _, path := range resource.SharedFiles() {
		if content := files[path]; content != nil {
			f.Shared[path] = resource.DigestOf(content)
		}
	}
	return facts.Host{Kubernetes: f}
}

// without is a copy without some files.
func without(files map[string][]byte, paths ...string) map[string][]byte {
	files = maps.Clone(files)
	for _, p := range paths {
		delete(files, p)
	}
	return files
}

func formedHost(f facts.Host) facts.Host {
	f.Kubernetes.Formed = true
	return f
}

func TestSee(t *testing.T) {
	c := ringCluster(t, "")
	keys, others := madeFor(t, c), madeFor(t, c)
	all := having(keys)
	worker := having(map[string][]byte{certificatePath(pki.Kubernetes): keys[certificatePath(pki.Kubernetes)]})
	foreign := having(map[string][]byte{certificatePath(pki.Kubernetes): others[certificatePath(pki.Kubernetes)]})
	none := facts.Host{}
	withData := none
	withData.Kubernetes.Etcd.Data = true
	for _, tt := range []struct {
		name  string
		more  string
		hosts map[string]facts.Host
		// known is how many authorities and shared files are known; made says that they are new ones.
		known, shared int
		made          bool
		blocks        string // part of a problem that blocks
		warns         string // part of one that does not
	}{
		{name: "a new cluster", hosts: map[string]facts.Host{"cp1": none, "cp2": none, "cp3": none, "w1": none}, known: 3, shared: 3, made: true},
		{name: "a new cluster without encryption", more: "encryption: {provider: none}\n", hosts: map[string]facts.Host{"cp1": none, "cp2": none, "cp3": none}, known: 3, shared: 2, made: true},
		{name: "a new cluster of which one is silent", hosts: map[string]facts.Host{"cp1": none, "cp2": none}, blocks: "1 did not answer: whether the cluster has them cannot be known"},
		{name: "all have them", hosts: map[string]facts.Host{"cp1": all, "cp2": all, "cp3": all, "w1": worker}, known: 3, shared: 3},
		{name: "one has them, as when a first run was cut off", hosts: map[string]facts.Host{"cp1": none, "cp2": all, "cp3": none}, known: 3, shared: 3},
		{name: "one has some of them, as when a first run was cut off", hosts: map[string]facts.Host{"cp1": having(without(keys, resource.EncryptionConfig)), "cp2": none, "cp3": none},
			known: 3, shared: 3},
		{name: "one has them, the others are silent", hosts: map[string]facts.Host{"cp3": formedHost(all)}, known: 3, shared: 3},
		{name: "a worker has another authority", hosts: map[string]facts.Host{"cp1": all, "cp2": all, "cp3": all, "w1": foreign}, known: 2, shared: 3,
			blocks: "hosts have different files at /etc/kubernetes/pki/ca.crt: cp1, cp2, cp3 and w1 differ from each other"},
		{name: "control planes have different keys of service accounts", hosts: map[string]facts.Host{
			"cp1": all, "cp2": having(map[string][]byte{resource.ServiceAccountKey: others[resource.ServiceAccountKey]}), "cp3": all}, known: 3, shared: 2,
			blocks: "hosts have different files at /etc/kubernetes/pki/sa.key: cp1, cp3 and cp2 differ from each other"},
		{name: "missing although it was whole", hosts: map[string]facts.Host{"cp1": formedHost(none), "cp2": none, "cp3": none}, blocks: "although the cluster has lived"},
		{name: "missing although there is data", hosts: map[string]facts.Host{"cp1": none, "cp2": withData, "cp3": none}, blocks: "although the cluster has lived"},
		{name: "encryption that a cluster did not have", hosts: map[string]facts.Host{"cp1": formedHost(having(without(keys, resource.EncryptionConfig))), "cp2": none, "cp3": none}, known: 3, shared: 2,
			blocks: "say encryption: {provider: none}"},
		{name: "a key that nobody has", hosts: map[string]facts.Host{"cp1": having(without(keys, keyPath(pki.Etcd))), "cp2": none, "cp3": none}, known: 3, shared: 3,
			blocks: "the key of the authority etcd/ca is on none"},
		{name: "a key that a silent one may have", hosts: map[string]facts.Host{"cp1": having(without(keys, keyPath(pki.Etcd))), "cp2": none}, known: 3, shared: 3,
			warns: "the key of the authority etcd/ca is on none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ringCluster(t, tt.more)
			k := newKeyring(machines{}.fetch)
			got, problems := k.see(c, tt.hosts)
			if len(got.Certificates) != tt.known || len(got.Shared) != tt.shared {
				t.Errorf("%d authorities and %d files are known; want %d and %d", len(got.Certificates), len(got.Shared), tt.known, tt.shared)
			}
			if made := k.fresh != nil; !tt.made && made && len(tt.blocks) > 0 {
				t.Error("new keys were made, although the cluster may not have any")
			}
			for name, certificate := range got.Certificates {
				old := certificate == string(keys[certificatePath(name)])
				if old == tt.made {
					t.Errorf("the authority %s is new: %t; want %t", name, !old, tt.made)
				}
			}
			var blocking, warning []string
			for _, p := range problems {
				if p.Blocks {
					blocking = append(blocking, p.String())
				} else {
					warning = append(warning, p.String())
				}
			}
			for _, w := range []struct {
				want string
				are  []string
			}{{tt.blocks, blocking}, {tt.warns, warning}} {
				if (w.want == "") != (len(w.are) == 0) || w.want != "" && !strings.Contains(w.are[0], w.want) {
					t.Errorf("problems are %q; want %q", w.are, w.want)
				}
			}
			again, _ := k.see(c, tt.hosts)
			if !maps.Equal(got.Certificates, again.Certificates) || !maps.Equal(got.Shared, again.Shared) {
				t.Error("looking again finds other keys")
			}
		})
	}
}

// What is made is kept until the machines have it, and is not made again by another plan.
func TestFreshKeysAreThoseThatAreAskedFor(t *testing.T) {
	c := ringCluster(t, "")
	k := newKeyring(machines{}.fetch)
	keys, problems := k.see(c, map[string]facts.Host{"cp1": {}, "cp2": {}, "cp3": {}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	k.take([]plan.Step{{StepID: plan.StepID{Host: "cp1", Name: "authorities"}, Resources: []resource.Resource{
		resource.SharedFile{Path: resource.EncryptionConfig, Secret: resource.EncryptionConfig, Digest: keys.Shared[resource.EncryptionConfig]},
		resource.Authority{Name: pki.Etcd, Certificate: keys.Certificates[pki.Etcd], Key: true},
	}}})
	content, err := k.Secret(t.Context(), "cp1", resource.SharedFile{Path: resource.EncryptionConfig}.ID(), resource.EncryptionConfig)
	if err != nil || resource.DigestOf(content) != keys.Shared[resource.EncryptionConfig] {
		t.Errorf("it is not the file of that digest: %v", err)
	}
	key, err := k.Secret(t.Context(), "cp1", resource.Authority{Name: pki.Etcd}.ID(), pki.Etcd+".key")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.ParseAuthority([]byte(keys.Certificates[pki.Etcd]), key); err != nil {
		t.Error(err)
	}
	// The first control plane has them now, and the second asks.
	has := having(k.fresh)
	if again, problems := k.see(c, map[string]facts.Host{"cp1": has, "cp2": {}, "cp3": {}}); len(problems) > 0 || !maps.Equal(again.Shared, keys.Shared) || !maps.Equal(again.Certificates, keys.Certificates) {
		t.Errorf("once they are on a machine, they are others: %v", problems)
	}
}

// ring is a keyring of a cluster that lives, with what hosts shall have.
func ring(t *testing.T, at machines, fetch func(context.Context, string) (map[string][]byte, error)) *keyring {
	t.Helper()
	c := ringCluster(t, "")
	hosts := map[string]facts.Host{"w1": {}}
	for name, files := range at {
		hosts[name] = having(files)
	}
	k := newKeyring(fetch)
	keys, problems := k.see(c, hosts)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	server := resource.Certificate{Path: resource.PKIDir + "/apiserver", Request: pki.Request{Authority: pki.Kubernetes, CommonName: "kube-apiserver", DNSNames: []string{"kubernetes"}, Server: true,
		Algorithm: pki.ECDSAP256, Validity: time.Hour}}
	strange := server
	strange.Path, strange.Request.Authority = resource.PKIDir+"/strange", "strange"
	shared := func(path string) resource.SharedFile {
		return resource.SharedFile{Path: path, Secret: path, Digest: keys.Shared[path]}
	}
	k.take([]plan.Step{
		{StepID: plan.StepID{Host: "cp1", Name: "authorities"}, Resources: []resource.Resource{
			resource.Authority{Name: pki.Kubernetes, Certificate: keys.Certificates[pki.Kubernetes], Key: true}, shared(resource.ServiceAccountKey)}},
		{StepID: plan.StepID{Host: "cp1", Name: "control plane"}, Resources: []resource.Resource{server, strange, resource.NewFile("/etc/x", "x")}},
		// A mistake of a component's must not carry keys to workers.
		{StepID: plan.StepID{Host: "w1", Name: "authorities"}, Resources: []resource.Resource{
			resource.Authority{Name: pki.Kubernetes, Certificate: keys.Certificates[pki.Kubernetes], Key: true}, shared(resource.ServiceAccountKey), bootstrap(), leaf("w1")}},
		{StepID: plan.StepID{Host: "w2", Name: "kubelet"}, Resources: []resource.Resource{bootstrap()}},
	})
	return k
}

func bootstrap() resource.KubeletBootstrap { return resource.KubeletBootstrap{} }

func leaf(name string) resource.Certificate {
	return resource.Certificate{Path: resource.PKIDir + "/" + name, Request: pki.Request{Authority: pki.Kubernetes, CommonName: name, Client: true, Algorithm: pki.ECDSAP256, Validity: time.Hour}}
}

func request(t *testing.T) []byte {
	t.Helper()
	key, err := pki.NewKey(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSign(t *testing.T) {
	keys := madeFor(t, ringCluster(t, ""))
	at := machines{"cp1": keys, "cp2": keys, "cp3": keys}
	k := ring(t, at, at.fetch)
	certificate, err := k.Sign(t.Context(), "cp1", resource.Certificate{Path: resource.PKIDir + "/apiserver"}.ID(), request(t))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(keys[certificatePath(pki.Kubernetes)])
	if _, err := parsed.Verify(x509.VerifyOptions{Roots: pool, DNSName: "kubernetes"}); err != nil || parsed.Subject.CommonName != "kube-apiserver" {
		t.Errorf("%s: %v", parsed.Subject, err)
	}
	for _, tt := range []struct {
		name, host string
		of         resource.ID
		want       string
	}{
		{"another host's", "cp2", resource.Certificate{Path: resource.PKIDir + "/apiserver"}.ID(), "cp2 shall have no certificate for certificate /etc/kubernetes/pki/apiserver"},
		{"one that it shall not have", "cp1", resource.Certificate{Path: resource.PKIDir + "/admin"}.ID(), "shall have no certificate"},
		{"what is none", "cp1", resource.ID{Kind: "file", Name: "/etc/x"}, "shall have no certificate"},
		{"what uses a secret", "cp1", resource.Authority{Name: pki.Kubernetes}.ID(), "shall have no certificate"},
		{"a host that is none", "nobody", resource.Certificate{Path: resource.PKIDir + "/apiserver"}.ID(), "shall have no certificate"},
		{"an authority that is none", "cp1", resource.Certificate{Path: resource.PKIDir + "/strange"}.ID(), "there is no authority strange"},
	} {
		if got, err := k.Sign(t.Context(), tt.host, tt.of, request(t)); err == nil || got != nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
	if _, err := k.Sign(t.Context(), "cp1", resource.Certificate{Path: resource.PKIDir + "/apiserver"}.ID(), []byte("x")); err == nil {
		t.Error("what is no request is signed")
	}
	// Workers get certificates, and nothing to sign with.
	if _, err := k.Sign(t.Context(), "w1", leaf("w1").ID(), request(t)); err != nil {
		t.Error(err)
	}
}

func TestSecret(t *testing.T) {
	keys := madeFor(t, ringCluster(t, ""))
	at := machines{"cp1": keys, "cp2": keys, "cp3": keys}
	k := ring(t, at, at.fetch)
	account, authority := resource.SharedFile{Path: resource.ServiceAccountKey}.ID(), resource.Authority{Name: pki.Kubernetes}.ID()
	for _, tt := range []struct {
		name, host string
		of         resource.ID
		secret     string
		content    []byte
		want       string
	}{
		{"a shared file", "cp1", account, resource.ServiceAccountKey, keys[resource.ServiceAccountKey], ""},
		{"a key of an authority", "cp1", authority, "ca.key", keys[keyPath(pki.Kubernetes)], ""},
		{"another name", "cp1", account, resource.EncryptionConfig, nil, "has no use for it"},
		{"a name that is a path", "cp1", account, "/etc/shadow", nil, "has no use for it"},
		{"a resource that it shall not have", "cp2", account, resource.ServiceAccountKey, nil, "has no use for it"},
		{"a certificate's", "cp1", resource.Certificate{Path: resource.PKIDir + "/apiserver"}.ID(), "ca.key", nil, "has no use for it"},
		{"the token, which a worker alone uses", "cp1", bootstrap().ID(), resource.BootstrapTokenSecret, nil, "has no use for it"},
		{"a shared file for a worker", "w1", account, resource.ServiceAccountKey, nil, "w1 is no control plane, and others get no keys"},
		{"a key for a worker", "w1", authority, "ca.key", nil, "w1 is no control plane, and others get no keys"},
	} {
		content, err := k.Secret(t.Context(), tt.host, tt.of, tt.secret)
		switch {
		case tt.want == "" && (err != nil || !slices.Equal(content, tt.content)):
			t.Errorf("%s: %d bytes, %v", tt.name, len(content), err)
		case tt.want != "" && (err == nil || content != nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v; want %s", tt.name, err, tt.want)
		}
	}
	one, err := k.Secret(t.Context(), "w1", bootstrap().ID(), resource.BootstrapTokenSecret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := k.Secret(t.Context(), "w2", bootstrap().ID(), resource.BootstrapTokenSecret)
	if id, secret, _ := strings.Cut(string(one), "."); err != nil || !slices.Equal(one, other) || len(id) != 6 || len(secret) != 16 {
		t.Errorf("the tokens of two workers are of %d and %d bytes, alike: %t, %v", len(one), len(other), slices.Equal(one, other), err)
	}
}

// What lies on control planes is fetched once, from the first that still has it as it was.
func TestFetching(t *testing.T) {
	keys, others := madeFor(t, ringCluster(t, "")), madeFor(t, ringCluster(t, ""))
	account := resource.SharedFile{Path: resource.ServiceAccountKey}.ID()
	changed := maps.Clone(keys)
	changed[resource.ServiceAccountKey] = others[resource.ServiceAccountKey]
	for _, tt := range []struct {
		name  string
		now   machines
		asked []string
		want  string
	}{
		{"all have it", machines{"cp1": keys, "cp2": keys, "cp3": keys}, []string{"cp1"}, ""},
		{"the first is gone", machines{"cp2": keys, "cp3": keys}, []string{"cp1", "cp2"}, ""},
		{"the first has it no more", machines{"cp1": without(keys, resource.ServiceAccountKey), "cp2": keys, "cp3": keys}, []string{"cp1", "cp2"}, ""},
		{"it changed on the first two", machines{"cp1": changed, "cp2": changed, "cp3": keys}, []string{"cp1", "cp2", "cp3"}, ""},
		{"nobody has it any more", machines{"cp2": changed, "cp3": without(keys, resource.ServiceAccountKey)}, []string{"cp1", "cp2", "cp3"},
			"/etc/kubernetes/pki/sa.key is to be had from none of the control planes: cp1 is gone\n/etc/kubernetes/pki/sa.key changed on cp2 meanwhile\ncp3 has no /etc/kubernetes/pki/sa.key any more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			k := ring(t, machines{"cp1": keys, "cp2": keys, "cp3": keys}, func(ctx context.Context, host string) (map[string][]byte, error) {
				asked = append(asked, host)
				return tt.now.fetch(ctx, host)
			})
			content, err := k.Secret(t.Context(), "cp1", account, resource.ServiceAccountKey)
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("%q were asked; want %q", asked, tt.asked)
			}
			if tt.want != "" {
				if err == nil || err.Error() != tt.want {
					t.Errorf("%v; want %s", err, tt.want)
				}
				return
			}
			if err != nil || !slices.Equal(content, keys[resource.ServiceAccountKey]) {
				t.Fatalf("%d bytes, %v", len(content), err)
			}
			asked = nil
			if _, err := k.Secret(t.Context(), "cp1", account, resource.ServiceAccountKey); err != nil || len(asked) > 0 {
				t.Errorf("asked again, %q are asked, %v", asked, err)
			}
		})
	}
}
