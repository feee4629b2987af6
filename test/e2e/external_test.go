package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/pki"
)

// TestExternal builds a cluster whose API has its data in an etcd of the user's, and is reached by a balancer of the user's: three members of the one and an HAProxy run on a machine that is not in the
// cluster file. Whatever could write over the data of another cluster, or lose that of this one, is refused; members may fail, and come to be known or not, while a client writes.
func TestExternal(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "external")
	f.machines(t, "up", "--count", "4")
	o := newOperator(t, f, "")
	e := newUserEtcd(t, o, "m4")
	cluster := func(lines string) {
		t.Helper()
		o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileWith(t, map[string]string{"control-plane": "m1 m2", "worker": "m3"})+"endpoint: {kind: external, address: "+o.address(t, "m4")+"}\n"+lines)
	}
	file := func(more string, ports ...int) string {
		var urls []string
		for _, p := range ports {
			urls = append(urls, e.url(p))
		}
		return fmt.Sprintf("etcd: {external: {endpoints: [%s], ca: etcd/ca.crt, certificate: etcd/client.crt, key: etcd/client.key%s}}\n", strings.Join(urls, ", "), more)
	}
	refused := func(when, want string) {
		t.Helper()
		for _, args := range [][]string{{"plan"}, {"apply", "--yes"}} {
			if r := o.run(t, args...); r.code == 0 || !strings.Contains(r.stdout+r.stderr, want) {
				t.Errorf("%s, %s exits with %d; want it to say %q:\n%s%s", when, args[0], r.code, want, r.stdout, r.stderr)
			}
		}
	}
	all := []int{2379, 2479, 2579}
	cluster(file("", all...))
	refused("without an etcd", "your etcd: from m1 no member answers")
	e.start(t, all...)
	e.ctl(t, "put /registry/namespaces/default theirs")
	refused("with data of another cluster", "which are of another cluster")
	e.ctl(t, "del /registry/namespaces/default")
	o.balances(t, "m4")

	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
		t.Errorf("a second apply says:\n%s", got)
	}
	if got := o.must(t, "status"); !strings.Contains(got, "Nothing is wrong") || !strings.Contains(got, "your own; 3 of 3 endpoints answer") {
		t.Errorf("status says:\n%s", got)
	}
	for _, m := range []string{"m1", "m2"} {
		if got := o.on(t, m, "ls -d /var/lib/etcd /etc/kubernetes/manifests/etcd.yaml 2>/dev/null; true"); got != "" {
			t.Errorf("%s has a member of its own: %s", m, got)
		}
	}
	if got := o.on(t, "m3", "find /etc/kubernetes -name '*etcd*'"); got != "" {
		t.Errorf("the worker has %s", got)
	}
	if got := e.ctl(t, "get --prefix --keys-only /registry/minions/"); strings.Count(got, "/registry/minions/m") != 3 {
		t.Errorf("the etcd has of nodes: %s", got)
	}

	o.on(t, "m4", "systemctl stop haproxy")
	if got := o.must(t, "plan"); !strings.Contains(got, "no API server of the cluster answers at the endpoint") {
		t.Errorf("without the balancer, plan says:\n%s", got)
	}
	o.on(t, "m4", "systemctl start haproxy")
	w := o.writesTo(t, "m3", o.address(t, "m4")+":6443")
	change := func(what string, do func()) {
		t.Helper()
		w.begin()
		do()
		t.Logf("%s: API: %s", what, w.end())
	}
	change("a member stops", func() {
		o.on(t, "m4", "systemctl stop etcd-2579")
		o.eventually(t, "the API", kubectl+"get --raw /readyz", "ok")
		if r := o.run(t, "status"); r.code == 0 || !strings.Contains(r.stdout, "your etcd does not answer at "+e.url(2579)) {
			t.Errorf("status exits with %d, and says:\n%s", r.code, r.stdout)
		}
	})
	change("it is named no more", func() {
		cluster(file("", 2379, 2479))
		o.oneAfterTheOther(t, "control plane", 2)
	})
	o.on(t, "m4", "systemctl start etcd-2579")
	change("it is named again", func() {
		cluster(file("", all...))
		o.oneAfterTheOther(t, "control plane", 2)
	})
	o.planEmpty(t)

	cluster(file(", prefix: /other", all...))
	refused("with another prefix", "etcd.external.prefix cannot be changed")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileOf(t, "m1", "m3"))
	refused("without it", "etcd.external cannot be taken back")
	e.start(t, 2679)
	cluster(file("", 2379, 2679))
	refused("with a member of another etcd", "different clusters")
	o.on(t, "m4", "systemctl stop etcd-2679")

	// Who renews the certificate restarts nothing.
	cluster(file("", all...))
	before := o.containers(t, "m1")
	e.client(t)
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "m1") {
		t.Errorf("with another certificate, apply says:\n%s", got)
	}
	o.planEmpty(t)
	if now := o.containers(t, "m1"); now != before {
		t.Errorf("on m1 other containers run:\n%s\nbefore:\n%s", now, before)
	}
	if r := o.run(t, "etcd", "recover", "--from", "m1", "--yes", "--cluster", "e2e"); r.code == 0 || !strings.Contains(r.stderr, "the etcd is your own") {
		t.Errorf("etcd recover exits with %d:\n%s", r.code, r.stderr)
	}
	if lost := w.missing(t); len(lost) > 0 {
		t.Errorf("%d of %d acknowledged writes are missing: %s", len(lost), w.acknowledged, strings.Join(lost, " "))
	}
	o.must(t, "reset", "--all", "--yes")
	for _, m := range []string{"m1", "m2"} {
		if got := o.on(t, m, "find /etc/kubernetes /var/lib/kubewright/etcd-external 2>/dev/null; true"); got != "" {
			t.Errorf("reset left on %s:\n%s", m, got)
		}
	}
	refused("with what the cluster left there", "which are of another cluster")
}

// balances has a machine be the user's own balancer, with the configuration that is printed for it.
func (o operator) balances(t *testing.T, machine string) {
	t.Helper()
	root := t.TempDir()
	must(t, kubewright, "bundle", "unpack", versions(t)[0], "packages", root)
	o.copyTo(t, machine, filepath.Join(root, bundle.PackagesDir), bundle.PackagesDir)
	o.on(t, machine, "export APT_CONFIG="+bundle.PackagesDir+"/apt.conf DEBIAN_FRONTEND=noninteractive; (apt-get update && apt-get install --yes haproxy) >/root/apt.log 2>&1 || { cat /root/apt.log; false; }")
	o.on(t, machine, "cat >/etc/haproxy/haproxy.cfg <<'END'\n"+o.must(t, "endpoint", "config", "--format", "haproxy")+"END\nhaproxy -c -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy")
}

// userEtcd is an etcd that is not Kubewright's: units of systemd on a machine, with certificates of an authority of its own.
type userEtcd struct {
	o       operator
	machine string
	address string
	ca      pki.KeyPair
}

func newUserEtcd(t *testing.T, o operator, machine string) userEtcd {
	t.Helper()
	ca, err := pki.NewAuthority("our-etcd", pki.ECDSAP256, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e := userEtcd{o, machine, o.address(t, machine), ca}
	image := ""
	for _, p := range bundles(t)[0].Parts {
		if p.ShortName() == "etcd" {
			image = p.Name
		}
	}
	dir := t.TempDir()
	must(t, "skopeo", "copy", "--quiet", "oci:"+store(t)+":"+image, "dir:"+filepath.Join(dir, "image"))
	must(t, "bash", "-c", "mkdir "+dir+"/root "+dir+"/etcd; for layer in "+dir+"/image/*; do tar -x -C "+dir+"/root -f $layer 2>/dev/null; done; cp -L $(find "+dir+"/root -name etcd -o -name etcdctl) "+dir+"/etcd/")
	server := pki.Request{CommonName: "etcd", Server: true, Client: true, Addresses: []netip.Addr{netip.MustParseAddr(e.address), netip.MustParseAddr("127.0.0.1")}}
	e.certificate(t, filepath.Join(dir, "etcd", "server"), server)
	e.write(t, filepath.Join(dir, "etcd", "ca.crt"), ca.Certificate)
	o.copyTo(t, machine, filepath.Join(dir, "etcd"), "/opt/etcd")
	if err := os.Mkdir(filepath.Join(o.dir, "etcd"), 0o755); err != nil {
		t.Fatal(err)
	}
	e.write(t, filepath.Join(o.dir, "etcd", "ca.crt"), ca.Certificate)
	e.client(t)
	return e
}

// client makes the certificate, or another one, that API servers show to it.
func (e userEtcd) client(t *testing.T) {
	t.Helper()
	e.certificate(t, filepath.Join(e.o.dir, "etcd", "client"), pki.Request{CommonName: "api", Client: true})
}

func (e userEtcd) certificate(t *testing.T, path string, r pki.Request) {
	t.Helper()
	r.Algorithm, r.Validity = pki.ECDSAP256, time.Hour
	key, err := pki.NewKey(r.Algorithm)
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.NewRequest(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.Sign(e.ca, r, request, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, path+".crt", certificate)
	e.write(t, path+".key", key)
}

func (e userEtcd) write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// url is where the member of a port answers.
func (e userEtcd) url(port int) string { return fmt.Sprintf("https://%s:%d", e.address, port) }

// start starts a cluster of members, which have peer ports beside those of clients.
func (e userEtcd) start(t *testing.T, ports ...int) {
	t.Helper()
	var all []string
	for _, p := range ports {
		all = append(all, fmt.Sprintf("m%d=https://%s:%d", p, e.address, p+1))
	}
	for _, p := range ports {
		const files = "--cert-file /opt/etcd/server.crt --key-file /opt/etcd/server.key --trusted-ca-file /opt/etcd/ca.crt --client-cert-auth " +
			"--peer-cert-file /opt/etcd/server.crt --peer-key-file /opt/etcd/server.key --peer-trusted-ca-file /opt/etcd/ca.crt --peer-client-cert-auth"
		unit := fmt.Sprintf("[Service]\nType=notify\nExecStart=/opt/etcd/etcd --name m%[1]d --data-dir /var/lib/our-etcd-%[1]d --listen-client-urls %[2]s --advertise-client-urls %[2]s --listen-peer-urls %[3]s "+
			"--initial-advertise-peer-urls %[3]s --initial-cluster %[4]s --initial-cluster-token our-%[7]d --enable-grpc-gateway=false --listen-metrics-urls http://127.0.0.1:%[5]d %[6]s\n",
			p, e.url(p), e.url(p+1), strings.Join(all, ","), p+2, files, ports[0])
		e.o.on(t, e.machine, fmt.Sprintf("cat >/etc/systemd/system/etcd-%d.service <<'END'\n%sEND\nsystemctl daemon-reload; systemctl start --no-block etcd-%[1]d", p, unit))
	}
	for _, p := range ports {
		e.o.eventuallyOn(t, e.machine, "etcd", fmt.Sprintf("systemctl is-active etcd-%d", p), "active")
	}
}

// ctl is what etcdctl says.
func (e userEtcd) ctl(t *testing.T, args string) string {
	t.Helper()
	return e.o.on(t, e.machine, "/opt/etcd/etcdctl --endpoints "+e.url(2379)+" --cacert /opt/etcd/ca.crt --cert /opt/etcd/server.crt --key /opt/etcd/server.key "+args)
}
