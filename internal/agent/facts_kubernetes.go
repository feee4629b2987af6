package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/pki"
	"github.com/kubewright/kubewright/internal/resource"
)

// kubernetes says what the machine has of a cluster.
func (g *gathering) kubernetes() facts.Kubernetes {
	k := facts.Kubernetes{Authorities: map[string]facts.Authority{}, Shared: map[string]string{}, Manifests: map[string]string{}, Settings: map[string]string{}}
	for _, name := range pki.Authorities() {
		if certificate := g.content(resource.PKIDir + "/" + name + ".crt"); certificate != nil {
			k.Authorities[name] = facts.Authority{Certificate: string(certificate), Key: g.there(resource.PKIDir + "/" + name + ".key")}
		}
	}
	for _, file := range resource.SharedFiles() {
		content, err := sharedContent(g.env.Files, file)
		switch {
		case err == nil:
			k.Shared[file] = resource.DigestOf(content)
		case !errors.Is(err, fs.ErrNotExist):
			g.note(err)
		}
	}
	k.External, k.EventsFormed = g.external(), g.there(facts.EventsFormedFile)
	k.Formed = g.there(facts.ExternalFile) || g.there(facts.FormedFile)
	names, err := g.env.Files.List(manifests)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.note(fmt.Errorf("listing %s: %w", manifests, err))
	}
	port, of := "", map[string]map[string]string{}
	address := "127.0.0.1" // where the manifest says no other: on loopback a balancer may answer for other API servers
	for _, name := range names {
		if path.Ext(name) != ".yaml" || strings.HasPrefix(name, ".") {
			continue // the kubelet reads what does not begin with a dot; people keep copies beside
		}
		image, flags := parseManifest(g.content(manifests + "/" + name))
		k.Manifests[name] = image
		for flag, setting := range settings[name] {
			if value := flags[flag]; value != "" {
				k.Settings[setting] = value
			}
		}
		switch name {
		case facts.MainEtcd + ".yaml", facts.EventsEtcd + ".yaml":
			of[strings.TrimSuffix(name, ".yaml")] = flags
		case "kube-apiserver.yaml":
			port, address = flags["secure-port"], cmp.Or(flags["advertise-address"], address)
		}
	}
	if server := serverOf(g.content("/etc/kubernetes/admin.conf")); server != "" {
		k.Settings[facts.Endpoint] = server
	}
	k.Etcd = g.etcd(facts.MainEtcd, of[facts.MainEtcd])
	k.Events = g.etcd(facts.EventsEtcd, of[facts.EventsEtcd])
	k.Joined = g.there("/etc/kubernetes/kubelet.conf") && validAt(g.content("/var/lib/kubelet/pki/kubelet-client-current.pem"), g.env.Kernel.Now())
	if len(k.Manifests) > 0 {
		unwell, err := resource.HTTPAnswers{Name: "kubelet", URL: "http://127.0.0.1:10248/healthz"}.Check(g.ctx, g.env)
		k.Kubelet = unwell == "" && err == nil
	}
	if authority := k.Authorities[pki.Kubernetes]; port != "" && authority.Certificate != "" {
		k.API = apiReady(g.ctx, net.JoinHostPort(address, port), []byte(authority.Certificate))
	}
	return k
}

// etcd is what the machine has of a cluster of etcd, with the flags of its manifest, which are nil if there is none.
func (g *gathering) etcd(name string, flags map[string]string) facts.Etcd {
	e := facts.Etcd{
		DataDir: flags["data-dir"], ClientURL: flags["advertise-client-urls"], PeerURL: flags["initial-advertise-peer-urls"],
		InitialCluster: flags["initial-cluster"], InitialClusterState: flags["initial-cluster-state"],
	}
	dataDir := cmp.Or(e.DataDir, "/var/lib/"+name)
	e.Log = g.holds(cmp.Or(flags["wal-dir"], dataDir+"/member/wal"))
	e.Data = e.Log || g.holds(dataDir+"/member")
	if flags != nil {
		client := ""
		if name == facts.EventsEtcd {
			client = resource.EventsClient
		}
		g.member(&e, flags["listen-client-urls"], client)
	}
	return e
}

// external is the cluster of etcd of the user's that the machine remembers.
func (g *gathering) external() string {
	content := g.content(facts.ExternalFile)
	for line := range strings.Lines(string(content)) {
		if id, is := strings.CutPrefix(line, facts.ExternalCluster); is {
			return strings.TrimSpace(id)
		}
	}
	if content != nil {
		g.note(fmt.Errorf("%s does not say which cluster of etcd it is of", facts.ExternalFile))
	}
	return ""
}

// holds says whether there is something in a directory.
func (g *gathering) holds(dir string) bool {
	held, err := g.env.Files.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.note(fmt.Errorf("listing %s: %w", dir, err))
	}
	return len(held) > 0
}

// serverOf is the address of the API that a kubeconfig has; nothing if it has none.
func serverOf(kubeconfig []byte) string {
	var c struct {
		Clusters []struct{ Cluster struct{ Server string } }
	}
	if yaml.Unmarshal(kubeconfig, &c) != nil || len(c.Clusters) == 0 {
		return ""
	}
	return c.Clusters[0].Cluster.Server
}

// settings are the flags, by manifest, that tell what a cluster is born with.
var settings = map[string]map[string]string{
	"kube-apiserver.yaml": {
		"service-cluster-ip-range": facts.ServiceRanges, "service-account-issuer": facts.TokenIssuer, "encryption-provider-config": facts.Encryption,
		"etcd-servers": facts.EtcdServers, "etcd-prefix": facts.EtcdPrefix, "etcd-servers-overrides": facts.EtcdOverrides,
	},
	"kube-controller-manager.yaml": {"cluster-cidr": facts.PodRanges},
}

// content of a file; nil if there is none.
func (g *gathering) content(file string) []byte {
	b, err := (&ownedList{files: g.env.Files}).content(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.note(fmt.Errorf("reading %s: %w", file, err))
	}
	return b
}

// sharedContent is what a file holds that control planes share. The public key of service accounts is that of the private one, if that is there alone: a first run was cut off
// between the two, and no other would fit.
func sharedContent(files resource.Files, file string) ([]byte, error) {
	content, err := (&ownedList{files: files}).content(file)
	if file == resource.ServiceAccountPublic && errors.Is(err, fs.ErrNotExist) {
		var private []byte
		if private, err = (&ownedList{files: files}).content(resource.ServiceAccountKey); err == nil {
			content, err = pki.PublicKeyOf(private)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return content, nil
}

// parseManifest finds the image of a static Pod's first container, and its flags. Of what is no Pod there is nothing.
func parseManifest(content []byte) (image string, flags map[string]string) {
	var pod corev1.Pod
	flags = map[string]string{}
	if yaml.Unmarshal(content, &pod) != nil || len(pod.Spec.Containers) == 0 {
		return "", flags
	}
	c := pod.Spec.Containers[0]
	for _, arg := range append(c.Command, c.Args...) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(arg, "--"), "="); ok {
			flags[name] = value
		}
	}
	return c.Image, flags
}

// validAt says whether a certificate, with its key in the same file, has not run out.
func validAt(file []byte, now time.Time) bool {
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			return false
		}
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			return err == nil && now.Before(c.NotAfter)
		}
	}
}

// etcdTime is how long the member of etcd on the machine may take for all that it is asked. One that is well answers in milliseconds.
const etcdTime = 3 * time.Second

// member asks the member of etcd on the machine how it is. It listens for clients where its manifest says.
func (g *gathering) member(e *facts.Etcd, clients, client string) {
	at := onLoopback(clients)
	if at == "" {
		e.Unwell = "by its manifest, it listens for clients at no address of loopback"
		return
	}
	limited, cancel := context.WithTimeout(g.ctx, etcdTime)
	defer cancel()
	found, err := resource.EtcdReport{URL: at, Client: client}.Look(limited, g.env)
	s, _ := found.(etcd.Status) // what it said before the time was up counts
	if err != nil {
		s.Unwell = err.Error()
	}
	if errors.Is(limited.Err(), context.DeadlineExceeded) {
		s.Unwell = fmt.Sprintf("it does not answer within %v", etcdTime)
	}
	e.ID, e.Leader, e.Learner, e.Unwell = s.ID, s.Leader, s.Learner, s.Unwell
	e.Quorum = s.ID != "" && s.Unwell == "" && !s.Learner
	for _, m := range s.Members {
		e.Members = append(e.Members, facts.EtcdMember{ID: m.ID, Name: m.Name, Learner: m.Learner, PeerURLs: m.PeerURLs})
	}
}

// onLoopback is the first of some URLs, with commas between, that leads to the machine itself whatever its network; nothing if none does.
func onLoopback(urls string) string {
	for u := range strings.SplitSeq(urls, ",") {
		parsed, err := url.Parse(u)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddr(parsed.Hostname()); err == nil && a.IsLoopback() || parsed.Hostname() == "localhost" {
			return u
		}
	}
	return ""
}

// apiTime is how long an API server on the machine may take to say that it is ready. One that is well does in milliseconds.
const apiTime = 2 * time.Second

// apiReady asks the API server of the machine whether it is ready.
func apiReady(ctx context.Context, at string, authority []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	// Every API server's certificate has the name kubernetes (kubeadm's pkiutil.GetAPIServerAltNames).
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "kubernetes", MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+"/readyz?"+cluster.WithoutEvents, nil)
	if err != nil {
		return false
	}
	reply, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return false
	}
	_ = reply.Body.Close()
	return reply.StatusCode == http.StatusOK
}
