package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/etcd/fake"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
	resourcefake "github.com/kubewright/kubewright/internal/resource/fake"
)

// manifestOf is a static Pod as kubeadm writes it.
func manifestOf(image string, command ...string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: kube-system}\nspec:\n  containers:\n  - image: " + image + "\n    command:\n    - " + strings.Join(command, "\n    - ") + "\n"
}

func TestKubernetesOfAPlainMachine(t *testing.T) {
	f := gather(t, nil).Kubernetes
	if len(f.Authorities)+len(f.Shared)+len(f.Manifests) > 0 || !reflect.DeepEqual(f.Etcd, facts.Etcd{}) || f.Formed || f.Joined || f.API {
		t.Errorf("a plain machine has %+v", f)
	}
}

func TestManifests(t *testing.T) {
	const dir = manifests + "/"
	etcd := manifestOf("registry.k8s.io/etcd:3.7.3-0", "etcd", "--name=cp1", "--initial-cluster=cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380", "--initial-cluster-state=existing",
		"--advertise-client-urls=https://10.0.0.11:4001", "--initial-advertise-peer-urls=https://10.0.0.11:7001")
	elsewhere := manifestOf("registry.k8s.io/etcd:3.7.3-0", "etcd", "--data-dir=/data/etcd")
	const silent = "by its manifest, it listens for clients at no address of loopback"
	for _, tt := range []struct {
		name      string
		files     map[string]string
		etcd      facts.Etcd
		manifests map[string]string
	}{
		{"a member that began", map[string]string{dir + "etcd.yaml": etcd}, facts.Etcd{InitialCluster: "cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380", InitialClusterState: "existing",
			ClientURL: "https://10.0.0.11:4001", PeerURL: "https://10.0.0.11:7001", Unwell: silent},
			map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3-0"}},
		{"data without a manifest", map[string]string{"/var/lib/etcd/member/snap/db": "x"}, facts.Etcd{Data: true}, map[string]string{}},
		{"a directory without data", map[string]string{"/var/lib/etcd/lost+found": ""}, facts.Etcd{}, map[string]string{}},
		{"data where the manifest says", map[string]string{dir + "etcd.yaml": elsewhere, "/data/etcd/member/wal/0": "x"}, facts.Etcd{DataDir: "/data/etcd", Data: true, Log: true, Unwell: silent}, map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3-0"}},
		{"data elsewhere is not the member's", map[string]string{dir + "etcd.yaml": elsewhere, "/var/lib/etcd/member/wal/0": "x"}, facts.Etcd{DataDir: "/data/etcd", Unwell: silent}, map[string]string{"etcd.yaml": "registry.k8s.io/etcd:3.7.3-0"}},
		{"what the kubelet does not read, and what is no Pod", map[string]string{dir + ".etcd.yaml": elsewhere, dir + "etcd.yaml.bak": elsewhere, dir + "broken.yaml": "{", dir + "other.yaml": "kind: Pod\n"},
			facts.Etcd{}, map[string]string{"broken.yaml": "", "other.yaml": ""}},
	} {
		if f := gather(t, tt.files).Kubernetes; !reflect.DeepEqual(f.Etcd, tt.etcd) || !maps.Equal(f.Manifests, tt.manifests) {
			t.Errorf("%s: %+v, %v; want %+v, %v", tt.name, f.Etcd, f.Manifests, tt.etcd, tt.manifests)
		}
	}
	settings := gather(t, map[string]string{
		"/etc/kubernetes/admin.conf":         "clusters:\n- name: x\n  cluster: {server: \"https://api.x.internal:6443\"}\nusers: [{user: {client-key-data: eA==}}]\n",
		dir + "etcd.yaml":                    elsewhere,
		dir + "kube-apiserver.yaml":          manifestOf("x", "kube-apiserver", "--service-cluster-ip-range=10.96.0.0/16,fd00::/108", "--secure-port=6443"),
		dir + "kube-controller-manager.yaml": manifestOf("x", "kube-controller-manager", "--cluster-cidr=10.244.0.0/16", "--service-cluster-ip-range=10.96.0.0/16"),
	}).Kubernetes.Settings
	if want := map[string]string{facts.ServiceRanges: "10.96.0.0/16,fd00::/108", facts.PodRanges: "10.244.0.0/16", facts.Endpoint: "https://api.x.internal:6443"}; !maps.Equal(settings, want) {
		t.Errorf("it was born with %v; want %v", settings, want)
	}
	if !gather(t, map[string]string{facts.FormedFile: ""}).Kubernetes.Formed {
		t.Error("it does not remember that etcd was whole")
	}
}

func TestEtcd(t *testing.T) {
	c := fake.New("cp1", "cp2", "cp3")
	defer c.Close()
	const dir = resource.PKIDir + "/etcd/"
	ask := func(name string, without ...string) facts.Etcd {
		t.Helper()
		files := map[string]string{
			dir + "ca.crt": string(c.CA), dir + "healthcheck-client.crt": string(c.Certificate), dir + "healthcheck-client.key": string(c.Key),
			manifests + "/etcd.yaml": manifestOf("etcd:3.7.3", "etcd", "--listen-client-urls=https://10.0.0.11:2379,"+c.URL(name)),
		}
		for _, file := range without {
			delete(files, file)
		}
		return gather(t, files).Kubernetes.Etcd
	}
	var members []facts.EtcdMember
	for _, m := range c.Members() {
		members = append(members, facts.EtcdMember{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs})
	}
	check := func(what string, got, want facts.Etcd) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: it is %+v; want %+v", what, got, want)
		}
	}
	cp1, cp2 := c.ID("cp1"), c.ID("cp2")
	check("a member that is well", ask("cp2"), facts.Etcd{ID: cp2, Leader: cp1, Members: members, Quorum: true})
	check("no manifest", ask("cp2", manifests+"/etcd.yaml"), facts.Etcd{})
	if got := ask("cp2", dir+"healthcheck-client.key"); got.ID != "" || got.Quorum || !strings.Contains(got.Unwell, "etcd cannot be asked: ") {
		t.Errorf("without credentials: %+v", got)
	}
	c.Stop("cp1")
	if got := ask("cp1"); got.ID != "" || got.Members != nil || got.Quorum || got.Unwell == "" {
		t.Errorf("what does not answer: %+v", got)
	}
	check("one of three is gone", ask("cp2"), facts.Etcd{ID: cp2, Leader: cp2, Members: members, Quorum: true})
	c.Stop("cp3")
	check("two of three are gone", ask("cp2"), facts.Etcd{ID: cp2, Members: members, Unwell: "raft no leader"})
	for i, name := range []string{"cp1", "cp3"} {
		if err := c.Start(name, []string{"https://10.0.0.11:2380", "https://10.0.0.13:2380"}[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := etcd.AddLearner(t.Context(), c.Client(), c.URL("cp1"), []string{"https://10.0.0.14:2380"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Start("cp4", "https://10.0.0.14:2380"); err != nil {
		t.Fatal(err)
	}
	check("a learner", ask("cp4"), facts.Etcd{ID: c.ID("cp4"), Leader: cp2, Learner: true})
	if got := ask("cp2"); len(got.Members) != 4 || !got.Members[3].Learner {
		t.Errorf("who knows a learner: %+v", got)
	}
}

// A member that lost the others takes longer to say so than facts may take. What it said by then counts.
func TestEtcdSaysHalf(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v3/maintenance/status":
			_, _ = io.WriteString(w, `{"header":{"member_id":"10"},"leader":"11"}`)
		case "/v3/cluster/member/list":
			_, _ = io.WriteString(w, `{"members":[{"ID":"10","name":"cp1"},{"ID":"11","name":"cp2"}]}`)
		default:
			cancel()
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	c := fake.New()
	defer c.Close()
	env := resourcefake.New("m", nil).Env(nil)
	for name, content := range map[string][]byte{"ca.crt": c.CA, "healthcheck-client.crt": c.Certificate, "healthcheck-client.key": c.Key} {
		if err := env.Files.Write(resource.PKIDir+"/etcd/"+name, resource.Attributes{Mode: 0o600}, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	var e facts.Etcd
	(&gathering{ctx: ctx, env: env}).member(&e, server.URL, "")
	if want := (facts.Etcd{ID: "a", Leader: "b", Members: []facts.EtcdMember{{ID: "a", Name: "cp1"}, {ID: "b", Name: "cp2"}}, Unwell: "context canceled"}); !reflect.DeepEqual(e, want) {
		t.Errorf("it is %+v; want %+v", e, want)
	}
}

func TestOnLoopback(t *testing.T) {
	for urls, want := range map[string]string{
		"https://127.0.0.1:2379,https://10.0.0.11:2379": "https://127.0.0.1:2379",
		"https://[fd00::11]:2379,https://[::1]:2379":    "https://[::1]:2379",
		"https://etcd.local:2379,http://localhost:2379": "http://localhost:2379",
		"https://10.0.0.11:2379":                        "",
		"":                                              "",
		"%,https://127.0.0.2:2379":                      "https://127.0.0.2:2379",
	} {
		if got := onLoopback(urls); got != want {
			t.Errorf("%q: %q; want %q", urls, got, want)
		}
	}
}

func TestSharedFiles(t *testing.T) {
	private, public, err := pki.NewServiceAccount(pki.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	of := func(files map[string]string) facts.Kubernetes { return gather(t, files).Kubernetes }
	key, both := resource.DigestOf(private), map[string]string{resource.ServiceAccountKey: resource.DigestOf(private), resource.ServiceAccountPublic: resource.DigestOf(public)}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  map[string]string
	}{
		{"both", map[string]string{resource.ServiceAccountKey: string(private), resource.ServiceAccountPublic: string(public)}, both},
		// What belongs to the private key is the cluster's, although the run ended before it was there.
		{"the private key alone", map[string]string{resource.ServiceAccountKey: string(private)}, both},
		{"the public key alone", map[string]string{resource.ServiceAccountPublic: string(public)}, map[string]string{resource.ServiceAccountPublic: resource.DigestOf(public)}},
		{"another public key is what it is", map[string]string{resource.ServiceAccountKey: string(private), resource.ServiceAccountPublic: "x"},
			map[string]string{resource.ServiceAccountKey: key, resource.ServiceAccountPublic: resource.DigestOf([]byte("x"))}},
		{"encryption", map[string]string{resource.EncryptionConfig: "y"}, map[string]string{resource.EncryptionConfig: resource.DigestOf([]byte("y"))}},
	} {
		if got := of(tt.files).Shared; !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
		}
	}
	got := of(map[string]string{resource.PKIDir + "/ca.crt": "a", resource.PKIDir + "/ca.key": "b", resource.PKIDir + "/etcd/ca.crt": "c", resource.PKIDir + "/front-proxy-ca.key": "d"}).Authorities
	if want := map[string]facts.Authority{pki.Kubernetes: {Certificate: "a", Key: true}, pki.Etcd: {Certificate: "c"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("authorities are %v; want %v", got, want)
	}
}

// pair is a certificate of an authority that is valid from now on.
func pair(t *testing.T, ca pki.KeyPair, r pki.Request, now time.Time) (certificate, key []byte) {
	t.Helper()
	r.Authority, r.Algorithm, r.Validity = pki.Kubernetes, pki.ECDSAP256, time.Hour
	key, err := pki.NewKey(r.Algorithm)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	if certificate, err = pki.Sign(ca, r, request, now); err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func newAuthority(t *testing.T) pki.KeyPair {
	t.Helper()
	ca, err := pki.NewAuthority("kubernetes", pki.ECDSAP256, 24*365*time.Hour, time.Now().Add(-48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestJoined(t *testing.T) {
	const conf, current = "/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/pki/kubelet-client-current.pem"
	ca := newAuthority(t)
	credentials := func(now time.Time) string {
		certificate, key := pair(t, ca, pki.Request{CommonName: "system:node:m", Client: true}, now)
		return string(bytes.Join([][]byte{key, certificate}, nil)) // in either order
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  bool
	}{
		{"joined", map[string]string{conf: "x", current: credentials(time.Now())}, true},
		{"run out", map[string]string{conf: "x", current: credentials(time.Now().Add(-2 * time.Hour))}, false},
		{"without kubelet.conf", map[string]string{current: credentials(time.Now())}, false},
		{"without a certificate", map[string]string{conf: "x"}, false},
		{"with something else there", map[string]string{conf: "x", current: "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"}, false},
	} {
		if got := gather(t, tt.files).Kubernetes.Joined; got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestAPIIsReady(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	for _, tt := range []struct {
		name    string
		signs   pki.KeyPair
		as      string
		code    int
		command string // with the port at its end
		want    bool
	}{
		{"ready", ca, "kubernetes", http.StatusOK, "--secure-port=", true},
		{"not ready", ca, "kubernetes", http.StatusInternalServerError, "--secure-port=", false},
		{"another's", other, "kubernetes", http.StatusOK, "--secure-port=", false},
		{"something else with a certificate of the cluster's", ca, "etcd", http.StatusOK, "--secure-port=", false},
		{"no manifest that says where", ca, "kubernetes", http.StatusOK, "--other=", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				paths = append(paths, r.URL.Path)
				w.WriteHeader(tt.code)
			}))
			certificate, key := pair(t, tt.signs, pki.Request{CommonName: "x", DNSNames: []string{tt.as}, Server: true}, time.Now())
			both, err := tls.X509KeyPair(certificate, key)
			if err != nil {
				t.Fatal(err)
			}
			server.TLS = &tls.Config{Certificates: []tls.Certificate{both}}
			server.Config.ErrorLog = nil
			server.StartTLS()
			defer server.Close()
			_, port, err := net.SplitHostPort(server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			f := gather(t, map[string]string{
				resource.PKIDir + "/ca.crt":        string(ca.Certificate),
				manifests + "/kube-apiserver.yaml": manifestOf("kube-apiserver:v1.37.1", "kube-apiserver", tt.command+port),
			})
			if f.Kubernetes.API != tt.want {
				t.Errorf("it is ready: %t; want %t", f.Kubernetes.API, tt.want)
			}
			if tt.want && !slices.Equal(paths, []string{"/readyz"}) {
				t.Errorf("it is asked for %q", paths)
			}
		})
	}
}
