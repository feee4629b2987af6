package resource_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/resource/fake"
)

const (
	year   = 365 * 24 * time.Hour
	token  = "abcdef.0123456789abcdef"
	shared = "what control planes share"
	server = "https://api.prod.internal:6443"

	pkiDir        = "/etc/kubernetes/pki"
	kubeletConf   = "/etc/kubernetes/kubelet.conf"
	bootstrapConf = "/etc/kubernetes/bootstrap-kubelet.conf"
	kubeletPKI    = "/var/lib/kubelet/pki"
	currentPair   = kubeletPKI + "/kubelet-client-current.pem"
	oldPair       = kubeletPKI + "/kubelet-client-2026-01-02-03-04-05.pem"
)

// ours and others are two authorities of one name.
var (
	ours   = sync.OnceValue(newAuthority)
	others = sync.OnceValue(newAuthority)
)

func newAuthority() pki.KeyPair {
	ca, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, 10*year, time.Now().Add(-2*year))
	if err != nil {
		panic(err)
	}
	return ca
}

func signer(r resource.Resource) func(context.Context, resource.ID, []byte) ([]byte, error) {
	return func(_ context.Context, of resource.ID, request []byte) ([]byte, error) {
		c, ok := r.(resource.Certified)
		if !ok || of != r.ID() {
			return nil, fmt.Errorf("%s has no certificate signed", of)
		}
		return pki.Sign(ours(), c.Requested(), request, time.Now())
	}
}

func secrets(_ context.Context, _ resource.ID, name string) ([]byte, error) {
	switch name {
	case "ca.key":
		return ours().Key, nil
	case "sa.key":
		return []byte(shared), nil
	case resource.BootstrapTokenSecret:
		return []byte(token), nil
	}
	return nil, fmt.Errorf("there is no secret %s", name)
}

// pair is a certificate and its key, of an authority, made some time ago.
func pair(ca pki.KeyPair, r pki.Request, ago time.Duration) (certificate, key string) {
	k, err := pki.NewKey(r.Algorithm)
	if err != nil {
		panic(err)
	}
	csr, err := pki.NewRequest(k)
	if err != nil {
		panic(err)
	}
	c, err := pki.Sign(ca, r, csr, time.Now().Add(-ago))
	if err != nil {
		panic(err)
	}
	return string(c), string(k)
}

// kubeconfig is what kubeadm v1.37.1 writes.
func kubeconfig(cluster, server, user string, ca []byte, credentials string) string {
	return fmt.Sprintf(`apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: %s
    server: %s
  name: %s
contexts:
- context:
    cluster: %s
    user: %s
  name: %s@%s
current-context: %s@%s
kind: Config
users:
- name: %s
  user:
%s`, base64.StdEncoding.EncodeToString(ca), server, cluster, cluster, user, user, cluster, user, cluster, user, credentials)
}

func embedded(certificate, key string) string {
	return fmt.Sprintf("    client-certificate-data: %s\n    client-key-data: %s\n",
		base64.StdEncoding.EncodeToString([]byte(certificate)), base64.StdEncoding.EncodeToString([]byte(key)))
}

const rotated = "    client-certificate: " + currentPair + "\n    client-key: " + currentPair + "\n"

type machineState = func(*testing.T, *fake.Machine, *resource.Env)

// put writes a file of root's.
func put(path string, mode fs.FileMode, content string) machineState {
	return func(t *testing.T, _ *fake.Machine, env *resource.Env) {
		t.Helper()
		if err := env.Files.Write(path, resource.Attributes{Mode: mode}, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
}

// directories are those that things come to lie in.
func directories(t *testing.T, _ *fake.Machine, env *resource.Env) {
	t.Helper()
	for _, dir := range []string{pkiDir, kubeletPKI} {
		if err := env.Files.Mkdir(dir, resource.Attributes{Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
}

// withAuthority has the cluster's authority lie there.
func withAuthority(t *testing.T, m *fake.Machine, env *resource.Env) {
	t.Helper()
	all(directories, put(pkiDir+"/ca.crt", 0o644, string(ours().Certificate)))(t, m, env)
}

// kubeletPair is what a kubelet uses.
func kubeletPair(ca func() pki.KeyPair, node string, ago time.Duration) machineState {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		t.Helper()
		certificate, key := pair(ca(), kubeletRequest(node), ago)
		put(oldPair, 0o600, certificate+key)(t, m, env)
		if err := env.Files.Link(oldPair, currentPair); err != nil {
			t.Fatal(err)
		}
	}
}

// kubeletLeads is a kubelet.conf as the kubelet writes it.
func kubeletLeads(server string) machineState {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		t.Helper()
		put(kubeletConf, 0o600, kubeconfig("default-cluster", server, "default-auth", ours().Certificate, rotated))(t, m, env)
	}
}

// bootstrapToken is one that was written some time ago.
func bootstrapToken(ago time.Duration) machineState {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		t.Helper()
		m.SetClock(-ago)
		put(bootstrapConf, 0o600, kubeconfig("kubernetes", server, "tls-bootstrap-token-user", ours().Certificate, "    token: "+token+"\n"))(t, m, env)
		m.SetClock(0)
	}
}

func kubeletRequest(node string) pki.Request {
	return pki.Request{Authority: pki.Kubernetes, CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}, Client: true, Algorithm: pki.ECDSAP256, Validity: year}
}

var (
	apiRequest = pki.Request{Authority: pki.Kubernetes, CommonName: "kube-apiserver", DNSNames: []string{"cp1", "api.prod.internal"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Server: true, Algorithm: pki.ECDSAP256, Validity: year}
	adminRequest = pki.Request{Authority: pki.Kubernetes, CommonName: "kubernetes-admin", Organizations: []string{"kubeadm:cluster-admins"},
		Client: true, Algorithm: pki.ECDSAP256, Validity: year}

	apiCertificate = resource.Certificate{Path: pkiDir + "/apiserver", Request: apiRequest}
	admin          = resource.Kubeconfig{Path: "/etc/kubernetes/admin.conf", Cluster: "kubernetes", Server: server, Request: adminRequest}
	serviceAccount = resource.SharedFile{Path: pkiDir + "/sa.key", Secret: "sa.key", Digest: resource.DigestOf([]byte(shared))}
	kubeletID      = resource.KubeletIdentity{Cluster: "kubernetes", Server: server, Request: kubeletRequest("cp1")}
	bootstrap      = resource.KubeletBootstrap{Cluster: "kubernetes", Server: server, Node: "w1"}
	joined         = resource.KubeletJoined{Node: "w1"}
)

// certificateOnMachine is one that was made some time ago.
func certificateOnMachine(ca func() pki.KeyPair, r pki.Request, ago time.Duration) machineState {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		t.Helper()
		certificate, key := pair(ca(), r, ago)
		all(put(apiCertificate.Path+".crt", 0o644, certificate), put(apiCertificate.Path+".key", 0o600, key))(t, m, env)
	}
}

// adminOnMachine is an admin.conf.
func adminOnMachine(server string, ago time.Duration, edit string) machineState {
	return func(t *testing.T, m *fake.Machine, env *resource.Env) {
		t.Helper()
		certificate, key := pair(ours(), adminRequest, ago)
		put(admin.Path, 0o600, kubeconfig("kubernetes", server, "kubernetes-admin", ours().Certificate, embedded(certificate, key))+edit)(t, m, env)
	}
}

func expiry(ago time.Duration) string { return time.Now().Add(year - ago).UTC().Format(time.DateOnly) }

var credentials = []scenario{
	{name: "authority", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true}, machine: directories,
		changes: []string{"present: absent → present"}},
	{name: "authority without its key", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate)}, machine: directories,
		changes: []string{"present: absent → present"}},
	{name: "authority that lacks its key", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true},
		machine: all(directories, write(pkiDir+"/ca.crt", string(ours().Certificate))),
		changes: []string{"mode of the certificate: 0664 → 0644", "owner of the certificate: u:g → root:root", "key: absent → present"}},
	{name: "authority whose key all may read", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true},
		machine: all(withAuthority, put(pkiDir+"/ca.key", 0o644, string(ours().Key))), changes: []string{"mode of the key: 0644 → 0600"}},
	{name: "authority that is there", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true},
		machine: all(withAuthority, put(pkiDir+"/ca.key", 0o600, string(ours().Key)))},
	{name: "another authority", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate)},
		machine: put(pkiDir+"/ca.crt", 0o644, string(others().Certificate)), blocked: "ca.crt is another authority"},
	{name: "key of another authority", r: resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true},
		machine: put(pkiDir+"/ca.key", 0o600, string(others().Key)), blocked: "ca.key is not the key of the cluster's authority"},

	{name: "shared file", r: serviceAccount, machine: directories, changes: []string{"present: absent → present"}},
	{name: "shared file that all may read", r: serviceAccount, machine: put(serviceAccount.Path, 0o644, shared), changes: []string{"mode of the file: 0644 → 0600"}},
	{name: "shared file that is there", r: serviceAccount, machine: put(serviceAccount.Path, 0o600, shared)},
	{name: "shared file of another cluster", r: serviceAccount, machine: put(serviceAccount.Path, 0o600, "another key"), blocked: "sa.key is not that of the cluster"},

	{name: "certificate", r: apiCertificate, machine: withAuthority, changes: []string{"present: absent → present"}},
	{name: "certificate that is fine", r: apiCertificate, machine: all(withAuthority, certificateOnMachine(ours, apiRequest, year/2))},
	{name: "certificate near its end", r: apiCertificate, machine: all(withAuthority, certificateOnMachine(ours, apiRequest, year*3/4)),
		changes: []string{"renewed (it runs out on " + expiry(year*3/4) + ", and less than a third of its time is left)"}},
	{name: "certificate of another authority", r: apiCertificate, machine: all(withAuthority, certificateOnMachine(others, apiRequest, 0)),
		changes: []string{"renewed (it is of another authority)"}},
	{name: "certificate of another server", r: apiCertificate, machine: all(withAuthority, certificateOnMachine(ours, adminRequest, 0)),
		changes: []string{"renewed (it is for kubernetes-admin, not for kube-apiserver)"}},
	{name: "certificate with another key", r: apiCertificate, changes: []string{"renewed (its key is another's)"},
		machine: all(withAuthority, certificateOnMachine(ours, apiRequest, 0), put(apiCertificate.Path+".key", 0o600, string(ours().Key)))},
	{name: "certificate without its key", r: apiCertificate, changes: []string{"renewed (there is no private key in PEM form)"},
		machine: all(withAuthority, put(apiCertificate.Path+".crt", 0o644, string(ours().Certificate)))},
	{name: "certificate whose key all may read", r: apiCertificate, changes: []string{"mode of the key: 0644 → 0600"},
		machine: all(withAuthority, certificateOnMachine(ours, apiRequest, 0), func(t *testing.T, _ *fake.Machine, env *resource.Env) {
			if err := env.Files.SetAttributes(apiCertificate.Path+".key", resource.Attributes{Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
		})},

	{name: "kubeconfig", r: admin, machine: withAuthority, changes: []string{"present: absent → present"}},
	{name: "kubeconfig that is fine", r: admin, machine: all(withAuthority, adminOnMachine(server, year/2, ""))},
	{name: "kubeconfig near its end", r: admin, machine: all(withAuthority, adminOnMachine(server, year*3/4, "")),
		changes: []string{"renewed (it runs out on " + expiry(year*3/4) + ", and less than a third of its time is left)"}},
	{name: "kubeconfig that leads elsewhere", r: admin, machine: all(withAuthority, adminOnMachine("https://x:1", 0, "")),
		changes: []string{"content (it leads to https://x:1, not to " + server + ")"}},
	{name: "kubeconfig that was edited", r: admin, machine: all(withAuthority, adminOnMachine(server, 0, "# mine\n")),
		changes: []string{"content (it was edited)"}},
	{name: "kubeconfig that is none", r: admin, machine: all(withAuthority, put(admin.Path, 0o600, "kind: [")),
		changes: []string{"renewed (it cannot be read as a kubeconfig)"}},
	{name: "kubeconfig with a link", r: admin, changes: []string{"type of the file: link → file"},
		machine: all(withAuthority, adminOnMachine(server, 0, ""), func(t *testing.T, m *fake.Machine, env *resource.Env) {
			text := content(t, env, admin.Path)
			put("/root/admin.conf", 0o600, text)(t, m, env)
			if err := env.Files.Link("/root/admin.conf", admin.Path); err != nil {
				t.Fatal(err)
			}
		})},

	{name: "kubelet's identity", r: kubeletID, machine: withAuthority, changes: []string{"present: absent → present"}},
	{name: "kubelet's identity that it renewed", r: kubeletID, machine: all(withAuthority, kubeletPair(ours, "cp1", year*3/4), kubeletLeads(server))},
	{name: "kubelet's identity that ran out", r: kubeletID, machine: all(withAuthority, kubeletPair(ours, "cp1", 2*year), kubeletLeads("https://x:1")),
		changes: []string{"renewed (it ran out on " + expiry(2*year) + ")", "kubelet.conf (it leads to https://x:1, not to " + server + ")"}},
	{name: "kubelet's identity of another node", r: kubeletID, machine: all(withAuthority, kubeletPair(ours, "cp2", 0), kubeletLeads(server)),
		changes: []string{"renewed (it is for system:node:cp2, not for system:node:cp1)"}},
	{name: "kubelet's identity that nothing leads to", r: kubeletID, machine: all(withAuthority, kubeletPair(ours, "cp1", 0)),
		changes: []string{"kubelet.conf: absent → present"}},
	{name: "kubelet's identity that it cannot renew", r: kubeletID, changes: []string{"kubelet.conf (it does not lead to the certificate that the kubelet renews)"},
		machine: all(withAuthority, kubeletPair(ours, "cp1", 0), func(t *testing.T, m *fake.Machine, env *resource.Env) {
			put(kubeletConf, 0o600, kubeconfig("kubernetes", server, "system:node:cp1", ours().Certificate, embedded("a", "b")))(t, m, env)
		})},
	{name: "kubelet's identity in a file instead of a link", r: kubeletID,
		machine: all(withAuthority, kubeletLeads(server), put(currentPair, 0o600, "x")),
		changes: []string{"renewed (it is no link, so that the kubelet could not renew it)"}},

	{name: "token for a kubelet", r: bootstrap, machine: withAuthority, changes: []string{"kubelet credentials: none → by bootstrap token"}},
	{name: "token that a kubelet waits with", r: bootstrap, machine: all(withAuthority, bootstrapToken(time.Minute), kubeletLeads(server))},
	{name: "token of an earlier run", r: bootstrap, machine: all(withAuthority, bootstrapToken(time.Hour), kubeletLeads(server)),
		changes: []string{"kubelet credentials: by bootstrap token → by a new bootstrap token (it is of an earlier run)"}},
	{name: "no token for a kubelet that joined", r: bootstrap, machine: all(withAuthority, kubeletPair(ours, "w1", 0), kubeletLeads(server))},
	{name: "token for a kubelet of another cluster", r: bootstrap,
		machine: all(withAuthority, kubeletPair(others, "w1", 0), kubeletLeads(server), bootstrapToken(time.Hour)),
		changes: []string{"kubelet credentials: of no use → by bootstrap token (it is of another authority)"}},
	{name: "token for a kubelet that would take other credentials", r: bootstrap,
		changes: []string{"kubelet credentials: of no use → by bootstrap token (it does not lead to the certificate that the kubelet renews)"},
		machine: all(withAuthority, func(t *testing.T, m *fake.Machine, env *resource.Env) {
			put(kubeletConf, 0o600, kubeconfig("kubernetes", server, "x", ours().Certificate, embedded("a", "b")))(t, m, env)
		})},
	{name: "kubelet that joined elsewhere", r: bootstrap, machine: all(withAuthority, kubeletPair(ours, "w1", 0), kubeletLeads("https://x:1")),
		changes: []string{"kubelet.conf (it leads to https://x:1, not to " + server + ")"}},

	{name: "kubelet that joined", r: joined, machine: all(withAuthority, kubeletPair(ours, "w1", 0), kubeletLeads(server))},
	{name: "kubelet that joined, with a token left", r: joined,
		machine: all(withAuthority, kubeletPair(ours, "w1", 0), kubeletLeads(server), bootstrapToken(0)),
		changes: []string{"bootstrap token: present → absent"}, stays: []string{"path " + bootstrapConf}},
}

func content(t *testing.T, env *resource.Env, path string) string {
	t.Helper()
	r, err := env.Files.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// secretsOn are keys, certificates and tokens that lie on a machine, line by line.
func secretsOn(t *testing.T, m *fake.Machine, env *resource.Env) []string {
	t.Helper()
	hidden := []string{token, shared}
	for key := range m.State() {
		path, ok := strings.CutPrefix(key, "path ")
		if i, err := env.Files.Stat(path); !ok || err != nil || i.Type != 0 {
			continue
		}
		for line := range strings.Lines(content(t, env, path)) {
			if line = strings.TrimSpace(line); len(line) > 60 {
				hidden = append(hidden, line, strings.TrimSpace(line[strings.Index(line, ":")+1:]))
			}
		}
	}
	return hidden
}

// TestCredentialsAreNotShown looks for every key and token in what is observed and what is shown of it.
func TestCredentialsAreNotShown(t *testing.T) {
	for _, s := range credentials {
		t.Run(s.name, func(t *testing.T) {
			m, env := s.start(t)
			for range 2 {
				o, err := s.r.Observe(t.Context(), env)
				if err != nil {
					t.Fatal(err)
				}
				shown, err := json.Marshal([]any{o, s.r.Diff(o)})
				if err != nil {
					t.Fatal(err)
				}
				for _, h := range secretsOn(t, m, env) {
					if strings.Contains(string(shown), h) {
						t.Errorf("%s shows %q", shown, h)
					}
				}
				if o.Blocked == "" {
					settled(t, s.r, env)
				}
			}
		})
	}
}

// TestCredentialsOfANewCluster plans before the authority is there, and applies too early.
func TestCredentialsOfANewCluster(t *testing.T) {
	for _, r := range []resource.Resource{apiCertificate, admin, kubeletID, bootstrap} {
		m, env := scenario{r: r}.start(t)
		o, err := r.Observe(t.Context(), env)
		if err != nil || o.State != resource.Absent || len(r.Diff(o)) != 1 {
			t.Errorf("%s is %v, %v", r.ID(), o, err)
		}
		before := m.State()
		if err := r.Apply(t.Context(), env); err == nil || !strings.Contains(err.Error(), "there is no authority "+pkiDir+"/ca.crt") {
			t.Errorf("%s without its authority: %v", r.ID(), err)
		}
		if d := (scenario{}).differences(before, m.State()); len(d) > 0 {
			t.Errorf("%s changed %q", r.ID(), d)
		}
	}
}

// TestWhatComesIsChecked has something else come than was asked for: nothing is written.
func TestWhatComesIsChecked(t *testing.T) {
	for _, r := range []resource.Resource{apiCertificate, admin, kubeletID, bootstrap, serviceAccount,
		resource.Authority{Name: "ca", Certificate: string(ours().Certificate), Key: true}} {
		m, env := scenario{r: r, machine: directories}.start(t)
		if _, ok := r.(resource.Authority); !ok {
			withAuthority(t, m, env)
		}
		env.Sign = func(_ context.Context, _ resource.ID, request []byte) ([]byte, error) {
			return pki.Sign(others(), r.(resource.Certified).Requested(), request, time.Now())
		}
		env.Secret = func(context.Context, resource.ID, string) ([]byte, error) { return []byte("something else"), nil }
		before := m.State()
		err := r.Apply(t.Context(), env)
		if err == nil || strings.Contains(err.Error(), "something else") {
			t.Errorf("%s takes what comes: %v", r.ID(), err)
		}
		if d := (scenario{}).differences(before, m.State()); len(d) > 0 {
			t.Errorf("%s wrote %q", r.ID(), d)
		}
	}
}

// TestKubeconfigAsKubeadm compares byte by byte.
func TestKubeconfigAsKubeadm(t *testing.T) {
	_, env := scenario{r: admin, machine: withAuthority}.start(t)
	settled(t, admin, env)
	got := content(t, env, admin.Path)
	_, credentials, _ := strings.Cut(got, "  user:\n")
	if want := kubeconfig("kubernetes", server, "kubernetes-admin", ours().Certificate, credentials); got != want {
		t.Errorf("it is\n%s\nnot\n%s", got, want)
	}
	_, env = scenario{r: kubeletID, machine: withAuthority}.start(t)
	settled(t, kubeletID, env)
	if got, want := content(t, env, kubeletConf), kubeconfig("kubernetes", server, "system:node:cp1", ours().Certificate, rotated); got != want {
		t.Errorf("it is\n%s\nnot\n%s", got, want)
	}
	i, err := env.Files.Stat(currentPair)
	if err != nil {
		t.Fatal(err)
	}
	name, ok := strings.CutPrefix(i.Link, kubeletPKI+"/kubelet-client-")
	if _, err := time.Parse("2006-01-02-15-04-05.pem", name); !ok || err != nil {
		t.Errorf("the kubelet's pair is %s", i.Link)
	}
	text := content(t, env, currentPair)
	if c, k := strings.Index(text, "BEGIN CERTIFICATE"), strings.Index(text, "BEGIN EC PRIVATE KEY"); c < 0 || k < c {
		t.Errorf("the kubelet's pair has its certificate at %d and its key at %d", c, k)
	}
	_, env = scenario{r: bootstrap, machine: withAuthority}.start(t)
	settled(t, bootstrap, env)
	if got, want := content(t, env, bootstrapConf), kubeconfig("kubernetes", server, "tls-bootstrap-token-user", ours().Certificate, "    token: "+token+"\n"); got != want {
		t.Errorf("it is\n%s\nnot\n%s", got, want)
	}
}

// TestRewrittenKubeconfigKeepsItsKey has a drift repaired without a new certificate.
func TestRewrittenKubeconfigKeepsItsKey(t *testing.T) {
	_, env := scenario{r: admin, machine: all(withAuthority, adminOnMachine("https://x:1", 0, "# mine\n"))}.start(t)
	before := content(t, env, admin.Path)
	settled(t, admin, env)
	_, credentials, _ := strings.Cut(strings.TrimSuffix(before, "# mine\n"), "  user:\n")
	if got := content(t, env, admin.Path); !strings.HasSuffix(got, credentials) {
		t.Error("it has another certificate")
	}
}

func TestForeignCredentialsMakeRoomForTheToken(t *testing.T) {
	_, env := scenario{r: bootstrap, machine: all(withAuthority, kubeletPair(others, "w1", 0), kubeletLeads(server))}.start(t)
	settled(t, bootstrap, env)
	for _, path := range []string{kubeletConf, currentPair} {
		if _, err := env.Files.Stat(path); err == nil {
			t.Errorf("%s is still there, and the kubelet would use it", path)
		}
	}
	if _, err := env.Files.Stat(oldPair); err != nil {
		t.Errorf("the key has gone: %v", err)
	}
}

// TestJoinWaits has the kubelet get its certificate after a while.
func TestJoinWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := fake.New("m", nil)
		env := m.Env(nil)
		var said []string
		env.Progress = func(message string) { said = append(said, message) }
		inBubble, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, year, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		put(pkiDir+"/ca.crt", 0o644, string(inBubble.Certificate))(t, m, env)
		kubeletLeads(server)(t, m, env)
		put(bootstrapConf, 0o600, "x")(t, m, env)
		o, err := joined.Observe(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		if d := joined.Diff(o); len(d) != 1 || d[0].String() != "joined: no → yes" {
			t.Errorf("it differs by %v", d)
		}
		go func() {
			<-time.After(10 * time.Second)
			kubeletPair(func() pki.KeyPair { return inBubble }, "w1", 0)(t, m, env)
		}()
		start := time.Now()
		settled(t, joined, env)
		if took := time.Since(start); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it took %v", took)
		}
		if !slices.Contains(said, "waiting for the kubelet to join for 5s: it has no certificate") {
			t.Errorf("it said %q", said)
		}
		if _, err := env.Files.Stat(bootstrapConf); err == nil {
			t.Error("the token is still there")
		}
	})
}

func TestJoinGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := fake.New("m", nil).Env(nil)
		start := time.Now()
		err := joined.Apply(t.Context(), env)
		if err == nil || !strings.Contains(err.Error(), "did not join within 2m0s: it has no certificate") || time.Since(start) != 2*time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := joined.Apply(ctx, env); !errors.Is(err, ctx.Err()) {
			t.Errorf("interrupted, it says %v", err)
		}
	})
}
