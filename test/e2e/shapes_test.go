package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/event"
)

// TestStandalone builds a cluster as in guide B: three control planes that are no nodes, other ports and ranges than the usual, two workers. What API servers reach there works: "kubectl top", and a
// webhook.
func TestStandalone(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "standalone")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "")
	file := o.fileOf(t, "m1 m2 m3", "m4 m5") + `apiServer: {port: 7443}
etcd: {clientPort: 4001}
network: {podRanges: [172.18.0.0/16], serviceRanges: [192.168.0.0/16]}
`
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), file+"controlPlane: {standalone: true}\n")
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
		t.Errorf("a second apply says:\n%s", got)
	}
	if got := o.kube(t, "get nodes -o jsonpath='{.items[*].metadata.name}'"); got != "m4 m5" {
		t.Errorf("the nodes are %q; want m4 m5", got)
	}
	if got := o.must(t, "status"); !strings.Contains(got, "Nothing is wrong") {
		t.Errorf("status says:\n%s", got)
	}
	o.eventually(t, "kubectl top to know all nodes", kubectl+"top nodes --no-headers | wc -l", "2")
	o.connected(t, "m4", "m5")
	o.hooked(t, "m4")
	if got := o.must(t, "logs", "m1", "kube-apiserver"); got == "" {
		t.Error("there are no logs of the API server of m1")
	}
	// What stands alone comes back alone.
	f.machines(t, "kill", "m1")
	f.machines(t, "start", "m1")
	o.eventuallyOn(t, "m1", "the API server of m1", kubectl+"--server=https://"+o.address(t, "m1")+":7443 get --raw /readyz", "ok")
	o.planEmpty(t)
	// It can be taken back: control planes become nodes.
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), file)
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.kube(t, "get nodes -o jsonpath='{.items[*].metadata.name}'"); got != "m1 m2 m3 m4 m5" {
		t.Errorf("the nodes are %q; want all five", got)
	}
	o.must(t, "reset", "--all", "--yes")
	for _, m := range o.names(t) {
		if got := o.on(t, m, "ls /etc/kubernetes /var/lib/etcd /var/lib/kubelet 2>/dev/null; true"); got != "" {
			t.Errorf("reset left on %s:\n%s", m, got)
		}
	}
}

// hooked has a webhook on the network of a node's host refuse something: API servers reach it by its Service.
func (o operator) hooked(t *testing.T, on string) {
	t.Helper()
	const name = "hook.default.svc"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	manifest := strings.NewReplacer("IMAGE", o.agnhost(t, on), "NODE", on, "CERTIFICATE", encode("CERTIFICATE", raw), "KEY", encode("EC PRIVATE KEY", rawKey)).Replace(hook)
	o.on(t, "m1", "cat <<'END' | "+kubectl+"apply -f -\n"+manifest+"END\n"+kubectl+"wait --for=condition=Ready pod/hook --timeout=60s")
	o.eventually(t, "the webhook to refuse", kubectl+"create configmap refused --dry-run=server -o name 2>&1; true", "denied the request")
	o.kube(t, "delete validatingwebhookconfiguration hook")
}

const hook = `apiVersion: v1
kind: Secret
metadata: {name: hook, namespace: default}
type: kubernetes.io/tls
data: {tls.crt: CERTIFICATE, tls.key: KEY}
---
apiVersion: v1
kind: Pod
metadata: {name: hook, namespace: default, labels: {app: hook}}
spec:
  nodeName: NODE
  hostNetwork: true
  containers:
  - name: hook
    image: IMAGE
    imagePullPolicy: Never
    args: [webhook, --port=8444, --tls-cert-file=/tls/tls.crt, --tls-private-key-file=/tls/tls.key]
    readinessProbe: {tcpSocket: {port: 8444}, periodSeconds: 1}
    volumeMounts: [{name: tls, mountPath: /tls}]
  volumes: [{name: tls, secret: {secretName: hook}}]
---
apiVersion: v1
kind: Service
metadata: {name: hook, namespace: default}
spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 8444}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks:
- name: hook.example.org
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {service: {name: hook, namespace: default, path: /always-deny}, caBundle: CERTIFICATE}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  matchConditions: [{name: this-one, expression: "object.metadata.name == 'refused'"}]
`

// TestEtcdClusters builds a cluster as in guide A, but small: two control planes, three hosts that carry etcd and, beside it, a second one for events, and a worker. Events are in the second, and nowhere
// else; all else is not there. The second is lost altogether, and the API goes on.
func TestEtcdClusters(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "etcd")
	f.machines(t, "up", "--count", "6")
	o := newOperator(t, f, "")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileWith(t, map[string]string{"control-plane": "m1 m2", "etcd": "m3 m4 m5", "worker": "m6"})+"etcd: {events: {hosts: [m3, m4, m5]}}\n")
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.kube(t, "get nodes -o jsonpath='{.items[*].metadata.name}'"); got != "m1 m2 m6" {
		t.Errorf("the nodes are %q; want m1 m2 m6", got)
	}
	if got := o.must(t, "status"); !strings.Contains(got, "Nothing is wrong") {
		t.Errorf("status says:\n%s", got)
	}
	for _, m := range []string{"m3", "m4", "m5"} {
		if got := o.on(t, m, "find /etc/kubernetes -name 'ca.key' -o -name 'sa.*' -o -name '*.conf'; (ss -Hltn || true) | awk '$4 ~ /:(10250|10255)$/ && $4 !~ /^127/'"); got != "" {
			t.Errorf("%s, which carries etcd alone, has %s", m, got)
		}
	}
	kinds := func(etcd string) string {
		return o.etcdctl(t, "m3", etcd, "get --prefix --keys-only /registry/ | grep . | cut -d/ -f3 | sort -u")
	}
	o.eventually(t, "events", kubectl+"get events -A --no-headers | wc -l | grep -v '^0$' && echo some", "some")
	if got := kinds("etcd"); strings.Contains(got, "events") || !strings.Contains(got, "configmaps") {
		t.Errorf("the main etcd has %q", strings.Fields(got))
	}
	if got := kinds("etcd-events"); got != "events" {
		t.Errorf("the one for events has %q", strings.Fields(got))
	}
	for _, m := range []string{"m3", "m4", "m5"} {
		o.on(t, m, "mv /etc/kubernetes/manifests/etcd-events.yaml /root/")
	}
	o.eventuallyOn(t, "m3", "the etcd for events to be gone", "crictl pods -q --state ready --label component=etcd-events | wc -l", "0")
	for i := range 30 {
		o.kube(t, fmt.Sprintf("create configmap without-events-%d", i))
	}
	if got := o.run(t, "status"); !strings.Contains(got.stdout, "events") || got.code == 0 {
		t.Errorf("without the etcd for events, status exits with %d and says:\n%s", got.code, got.stdout)
	}
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	o.on(t, "m3", "rm /root/etcd-events.yaml")
	f.machines(t, "kill", "m4")
	o.kube(t, "create configmap without-one")
	f.machines(t, "start", "m4")
	o.planEmpty(t)

	// The data of two of three members for events is lost: what the third has is gone on with.
	o.event(t, "kept")
	for _, m := range []string{"m4", "m5"} {
		o.on(t, m, "mv /var/lib/etcd-events/member /root/ && crictl stop $(crictl ps -q --name '^etcd-events$')")
	}
	o.must(t, "etcd", "recover", "--events", "--from", "m3", "--yes", "--cluster", "e2e")
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.kube(t, "get event kept -o name"); got != "event/kept" {
		t.Errorf("the event is %q", got)
	}

	// Hosts of etcd become nodes as well, and their members go on.
	before := o.runs(t, "m3", "etcd")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileWith(t, map[string]string{"control-plane": "m1 m2", "etcd, worker": "m3 m4 m5", "worker": "m6"})+"etcd: {events: {hosts: [m3, m4, m5]}}\n")
	o.must(t, "apply", "--yes")
	o.planEmpty(t)
	if got := o.kube(t, "get nodes -o jsonpath='{.items[*].metadata.name}'"); got != "m1 m2 m3 m4 m5 m6" {
		t.Errorf("the nodes are %q; want all six", got)
	}
	if now := o.runs(t, "m3", "etcd"); now != before {
		t.Error("the member of m3 was restarted for its host to become a node")
	}
}

// TestRouted builds a cluster as in guide D: no overlay; a router, here a fourth machine, knows the way to the range of each node.
func TestRouted(t *testing.T) {
	if !*long {
		t.Skip("it takes long: make test-long runs it")
	}
	f := newFixture(t, "routed")
	f.machines(t, "up", "--count", "4")
	o := newOperator(t, f, "")
	o.write(t, filepath.Join(o.dir, "cluster.yaml"), o.fileOf(t, "m1", "m2 m3")+"network: {plugin: routed}\nkubelet: {kubeReserved: {cpu: 100m, memory: 200Mi}, systemReserved: {cpu: 100m, memory: 100Mi}, evictionHard: {memory.available: 100Mi}}\n")
	router := o.address(t, "m4")
	for _, m := range []string{"m1", "m2", "m3"} {
		o.on(t, m, "ip route add 10.244.0.0/16 via "+router+"; echo 0 > /proc/sys/net/ipv4/conf/all/accept_redirects; echo 0 > /proc/sys/net/ipv4/conf/eth0/accept_redirects")
	}
	o.on(t, "m4", "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0")
	// CoreDNS is well only when routers know the way, and apply waits for it.
	s := o.start(t, "apply", "--yes", "--output", "json")
	defer func() { _ = s.cmd.Process.Kill() }()
	if _, more := s.until(func(v event.Event) bool { return v.Step == "CoreDNS" && v.Kind == event.StepStarted }); !more {
		t.Fatalf("apply ends before:\n%s", s.stderr.String())
	}
	wait(t, "the routes", func(context.Context) error {
		r := o.run(t, "network", "routes", "--format", "ip")
		if r.code != 0 || strings.Count(r.stdout, "ip route replace") < 3 {
			return errors.New(r.stdout + r.stderr)
		}
		o.on(t, "m4", r.stdout)
		return nil
	})
	if code := s.end(); code != 0 {
		t.Fatalf("apply exits with %d:\n%s", code, s.stderr.String())
	}
	o.planEmpty(t)
	pods := o.connected(t, "m2", "m3")
	if got := o.kube(t, "exec "+pods[0]+" -- /agnhost connect --timeout=5s "+pods[4]+":8080 && echo reached"); !strings.Contains(got, "reached") {
		t.Errorf("a Pod does not reach another: %s", got)
	}
	if got := o.on(t, "m2", "ip -brief link; ip route"); strings.Contains(got, "flannel") || strings.Contains(got, "10.244.0.0/24 via") {
		t.Errorf("there is an overlay, or routes of ours:\n%s", got)
	}
	// What is reserved is not given to Pods: of 4 GiB, 200 and 100 MiB, and 100 MiB before the node is full.
	got := o.kube(t, "get node m2 -o jsonpath='{.status.capacity.cpu} {.status.allocatable.cpu} {.status.capacity.memory} {.status.allocatable.memory}'")
	var cpu, milli, capacity, allocatable int
	if _, err := fmt.Sscanf(got, "%d %dm %dKi %dKi", &cpu, &milli, &capacity, &allocatable); err != nil {
		t.Fatalf("m2 has %q: %v", got, err)
	}
	if cpu*1000-milli != 200 || capacity-allocatable != 400<<10 {
		t.Errorf("m2 has %q", got)
	}
}
