// Package fake is a cluster of etcd in memory, for tests: its members answer over TLS as the gateways of etcd v3.7 do, and refuse what these refuse. It knows who is a member, who
// votes, who leads, and who lags behind; it stores nothing, and members that were connected once count as such for ever.
package fake

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kubewright/kubewright/internal/etcd"
	"github.com/kubewright/kubewright/internal/pki"
)

// maxLearners is what etcd allows at once (--max-learners).
const maxLearners = 1

// Cluster is one. It is safe for use by several goroutines.
type Cluster struct {
	// CA is the certificate of its authority; Certificate and Key are a client's of it. All are PEM.
	CA, Certificate, Key []byte

	server   *tls.Config
	mu       sync.Mutex
	members  []*member
	gone     []*member // removed; their servers are left to close
	leader   *member   // who leads, or did last
	fail     func(member, path string) string
	requests []string
	added    int
}

// member is one of the cluster.
type member struct {
	id       uint64
	name     string // empty until it was started
	peerURLs []string
	learner  bool
	behind   bool
	down     bool
	server   *httptest.Server // nil until it was started
}

// New is a cluster of members that vote and are well, the first of which leads. Their peer URLs are https://10.0.0.11:2380 and on. Close it when it is done with.
func New(names ...string) *Cluster {
	c := &Cluster{}
	c.credentials()
	for i, name := range names {
		peer := fmt.Sprintf("https://10.0.0.%d:2380", 11+i)
		m := c.add([]string{peer})
		m.learner = false
		c.start(m, name)
	}
	return c
}

func (c *Cluster) credentials() {
	ca, err := pki.NewAuthority("etcd-ca", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		panic(err) // never, here and below: it is made of what is known
	}
	sign := func(r pki.Request) (certificate, key []byte) {
		r.Algorithm, r.Validity = pki.ECDSAP256, time.Hour
		if key, err = pki.NewKey(r.Algorithm); err != nil {
			panic(err)
		}
		request, err := pki.NewRequest(key)
		if err == nil {
			certificate, err = pki.Sign(ca, r, request, time.Now())
		}
		if err != nil {
			panic(err)
		}
		return certificate, key
	}
	c.CA = ca.Certificate
	c.Certificate, c.Key = sign(pki.Request{CommonName: "kube-etcd-healthcheck-client", Client: true})
	pair, err := tls.X509KeyPair(sign(pki.Request{CommonName: "member", Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Server: true}))
	if err != nil {
		panic(err)
	}
	c.server = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.pool(), MinVersion: tls.VersionTLS12}
}

func (c *Cluster) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.CA)
	return pool
}

// Client has the credentials to ask members.
func (c *Cluster) Client() *http.Client {
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		panic(err)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.pool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
}

// Close ends it: nobody answers any more.
func (c *Cluster) Close() {
	c.mu.Lock()
	all := slices.Concat(c.members, c.gone)
	c.mu.Unlock()
	for _, m := range all {
		if m.server != nil {
			m.server.Close()
		}
	}
}

// Start has somebody start a member with a name and a peer URL, or start it again. It has caught up at once, unless SetBehind says otherwise. It fails if none is listed.
func (c *Cluster) Start(name, peerURL string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if slices.Contains(m.peerURLs, peerURL) {
			c.start(m, name)
			return nil
		}
	}
	return fmt.Errorf("member %s has not been added: the cluster has none with the peer URL %s", name, peerURL)
}

func (c *Cluster) start(m *member, name string) {
	m.name, m.down = name, false
	if m.server != nil {
		return
	}
	m.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(m, w, r) }))
	m.server.TLS, m.server.Config.ErrorLog = c.server.Clone(), log.New(io.Discard, "", 0)
	m.server.StartTLS()
}

// Stop has a member not answer any more: what is sent to it finds its connection closed.
func (c *Cluster) Stop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named(name).down = true
}

// SetBehind has a learner lag behind the leader, or not any more.
func (c *Cluster) SetBehind(name string, behind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named(name).behind = behind
}

// SetFailure has requests fail for which a function returns a message of etcd's ("etcdserver: unhealthy cluster"); it gets the name of who is asked, and the path. Nil ends that.
func (c *Cluster) SetFailure(fail func(member, path string) string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// URL is where a member answers clients.
func (c *Cluster) URL(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.named(name).server.URL
}

// Members are all, in the order in which they came.
func (c *Cluster) Members() []etcd.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []etcd.Member
	for _, m := range c.members {
		list = append(list, etcd.Member{ID: strconv.FormatUint(m.id, 16), Name: m.name, Learner: m.learner, PeerURLs: slices.Clone(m.peerURLs), ClientURLs: m.clientURLs()})
	}
	return list
}

// ID of a member.
func (c *Cluster) ID(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.FormatUint(c.named(name).id, 16)
}

// Leader is the name of who leads; empty without a quorum.
func (c *Cluster) Leader() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.lead(); m != nil {
		return m.name
	}
	return ""
}

// Changes are those that were asked for since it was asked last, refused ones among them: "cp1 promote cp4", with the peer URL of what has no name. Who is asked comes first.
func (c *Cluster) Changes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.requests
	c.requests = nil
	return r
}

// named is a member of that name, also one that was removed.
func (c *Cluster) named(name string) *member {
	for _, m := range slices.Concat(c.members, c.gone) {
		if m.name == name {
			return m
		}
	}
	panic("a test asks for a member that does not exist: " + name)
}

func (c *Cluster) byID(id uint64) *member {
	for _, m := range c.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (c *Cluster) add(peerURLs []string) *member {
	c.added++
	h := fnv.New64a()
	_, _ = fmt.Fprintln(h, c.added, peerURLs)
	m := &member{id: h.Sum64(), peerURLs: peerURLs, learner: true}
	c.members = append(c.members, m)
	return m
}

func (m *member) clientURLs() []string {
	if m.server == nil {
		return nil
	}
	return []string{m.server.URL}
}

func (m *member) up() bool { return m.server != nil && !m.down }

// voters are those that vote, and how many of them run.
func (c *Cluster) voters() (voters []*member, up int) {
	for _, m := range c.members {
		if m.learner {
			continue
		}
		voters = append(voters, m)
		if m.up() {
			up++
		}
	}
	return voters, up
}

func quorum(n int) int { return n/2 + 1 }

// lead is who leads: another one, once it no longer can; nobody without a quorum.
func (c *Cluster) lead() *member {
	voters, up := c.voters()
	if up < quorum(len(voters)) {
		return nil
	}
	if !slices.Contains(voters, c.leader) || !c.leader.up() {
		c.leader = voters[slices.IndexFunc(voters, (*member).up)]
	}
	return c.leader
}
