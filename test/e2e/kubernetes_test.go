package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/machines"
)

// kubectl runs on m1, with the credentials that lie there.
const kubectl = "KUBECONFIG=/etc/kubernetes/admin.conf kubectl --request-timeout=20s "

// kube runs kubectl on m1; it must succeed.
func (o operator) kube(t testing.TB, args string) string {
	t.Helper()
	return o.on(t, "m1", kubectl+args)
}

// eventually waits until a command on m1 succeeds and says something.
func (o operator) eventually(t testing.TB, what, command, want string) {
	t.Helper()
	o.eventuallyOn(t, "m1", what, command, want)
}

// eventuallyOn waits until a command on a machine succeeds and says something.
func (o operator) eventuallyOn(t testing.TB, machine, what, command, want string) {
	t.Helper()
	start := time.Now()
	wait(t, what, func(ctx context.Context) error {
		r, err := o.Run(ctx, machine, command)
		if err != nil {
			return err
		}
		if r.ExitCode != 0 || !strings.Contains(r.Stdout, want) {
			return fmt.Errorf("exit code %d: %s%s", r.ExitCode, r.Stdout, r.Stderr)
		}
		return nil
	})
	t.Logf("%5.1fs  until %s", time.Since(start).Seconds(), what)
}

// containers are the IDs of all containers that run on a machine, which are others after a restart, and of their Pods.
func (o operator) containers(t testing.TB, machine string) string {
	t.Helper()
	return o.on(t, machine, "crictl ps -q --no-trunc | sort; crictl pods -q --no-trunc --state ready | sort")
}

// agnhost puts Kubernetes' image for tests on a machine.
func (o operator) agnhost(t *testing.T, machines ...string) string {
	t.Helper()
	name := ""
	for _, p := range bundles(t)[0].Parts {
		if p.Test && p.ShortName() == "agnhost" {
			name = p.Name
		}
	}
	if name == "" {
		t.Fatal("the bundle has no agnhost")
	}
	dir := t.TempDir()
	must(t, "skopeo", "copy", "--quiet", "oci:"+store(t)+":"+name, "oci-archive:"+filepath.Join(dir, "agnhost.tar")+":"+name)
	for _, m := range machines {
		o.copyTo(t, m, dir, "/root/agnhost")
		o.on(t, m, "ctr --namespace k8s.io images import /root/agnhost/agnhost.tar >/dev/null && rm -r /root/agnhost")
		// The part of containerd that speaks CRI hears of it by an event.
		o.eventuallyOn(t, m, "the image to be known", "crictl inspecti -q "+name+" >/dev/null && echo known", "known")
	}
	return name
}

// TestCluster is the life of a cluster: made of five bare machines, used, left alone, cut off from power, changed by hand, put back.
func TestCluster(t *testing.T) {
	f := newFixture(t, "cluster")
	f.machines(t, "up", "--count", "5")
	o := newOperator(t, f, "")
	if err := os.Remove(filepath.Join(o.dir, "cluster.yaml")); err != nil {
		t.Fatal(err)
	}
	o.must(t, "init", "--name", "e2e", "--from-machines", "--set", f.Name())
	names := o.names(t)
	before := map[string][]string{}
	for _, m := range names {
		before[m] = o.snapshot(t, m)
	}
	o.looked(t)
	o.fit(t)
	saved := filepath.Join(o.dir, "saved.plan")
	said := o.must(t, "plan", "-o", saved)
	made := o.run(t, "apply", "--yes", saved)
	if made.code != 0 {
		t.Fatalf("apply exits with %d and says:\n%s%s", made.code, made.stdout, made.stderr)
	}
	o.ready(t)
	running := map[string]string{}
	for _, m := range names {
		running[m] = o.running(t, m) + "\n" + o.containers(t, m)
	}
	if got := o.must(t, "apply", "--yes"); !strings.Contains(got, "nothing to do") {
		t.Errorf("a second apply says:\n%s", got)
	}
	for _, m := range names {
		if now := o.running(t, m) + "\n" + o.containers(t, m); now != running[m] {
			t.Errorf("a second apply restarted something on %s:\n%s\n%s", m, running[m], now)
		}
	}
	o.secrets(t, said+made.stdout+made.stderr)
	o.workloads(t, "m4", "m5")
	o.emptied(t)
	o.seen(t)
	o.judged(t)
	o.clusterDrift(t)

	// A power cut of all at once: the cluster comes back by itself.
	f.machines(t, "kill", "--all")
	f.machines(t, "start", "--all")
	o.ready(t)

	o.must(t, "reset", "--all", "--yes")
	o.on(t, "m1", "rm -r /root/.kube /root/workload.yaml") // the test's own
	for _, m := range names {
		after := o.snapshot(t, m)
		for _, line := range difference(before[m], after) {
			if line != "new: unit network-online.target loaded active active" { // the kubelet's unit wanted it, and the network is there
				t.Errorf("%s after reset: %s", m, line)
			}
		}
	}
}

// seen has a person look at the cluster from outside.
func (o operator) seen(t *testing.T) {
	t.Helper()
	if got := o.must(t, "status"); !strings.Contains(got, "3 of 3 members are well; 1 may fail") {
		t.Errorf("status says:\n%s", got)
	}
	config := o.must(t, "kubeconfig", "--user", "jane", "--ttl", "1h")
	dir := t.TempDir()
	o.write(t, filepath.Join(dir, "jane"), config)
	o.copyTo(t, "m5", dir, "/root/jane")
	if got := o.on(t, "m5", "kubectl --kubeconfig=/root/jane/jane auth whoami -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}' && rm -r /root/jane"); !strings.HasPrefix(got, "jane ") || !strings.Contains(got, "kubeadm:cluster-admins") {
		t.Errorf("the cluster knows who has the kubeconfig as %s", got)
	}
}

// workload is what a user would try first: servers on different nodes, one of them behind a Service, and Pods that keep their names.
const workload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: IMAGE
        args: [netexec, --http-port=8080]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: numbered}
spec: {clusterIP: None, selector: {app: numbered}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: numbered}
spec:
  serviceName: numbered
  replicas: 2
  selector: {matchLabels: {app: numbered}}
  template:
    metadata: {labels: {app: numbered}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: IMAGE
        args: [netexec, --http-port=8080]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
`

// connected puts two Pods and a Service on two workers, and looks that these reach each other by all that Kubernetes knows them as. Of each Pod, it returns name, address and node.
func (o operator) connected(t *testing.T, workers ...string) (pods []string) {
	t.Helper()
	image := o.agnhost(t, workers...)
	o.on(t, "m1", "cat >/root/workload.yaml <<'END'\n"+strings.ReplaceAll(workload, "IMAGE", image)+"END\n"+kubectl+"apply -f /root/workload.yaml")
	o.kube(t, "rollout status deployment/web --timeout=90s")
	o.kube(t, "rollout status statefulset/numbered --timeout=90s")
	pods = strings.Fields(o.kube(t, `get pods -l app=web -o jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.podIP}{" "}{.spec.nodeName}{"\n"}{end}'`))
	if len(pods) != 6 || pods[2] == pods[5] {
		t.Fatalf("the Pods are %q; want two on different nodes", pods)
	}
	service := o.kube(t, "get service web -o jsonpath={.spec.clusterIP}")
	from := func(pod, url string) string {
		return o.kube(t, "exec "+pod+" -- /agnhost connect --timeout=5s "+url+" && echo reached")
	}
	for what, target := range map[string]string{
		"the other Pod's address": pods[4] + ":8080", "the Service's address": service + ":80", "the Service's name": "web.default.svc.cluster.local:80",
		"a short name": "web:80", "a numbered Pod's name": "numbered-1.numbered:8080", "the API": "kubernetes.default:443",
	} {
		if got := from(pods[0], target); !strings.Contains(got, "reached") {
			t.Errorf("a Pod does not reach %s: %s", what, got)
		}
	}
	return pods
}

// workloads proves that the cluster carries what users run: Pods that reach each other, Services, names, logs, exec, port-forward, metrics, rollouts.
func (o operator) workloads(t *testing.T, workers ...string) {
	t.Helper()
	pods := o.connected(t, workers...)
	for _, m := range o.names(t) {
		wait(t, "the NodePort of "+m, func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.address(t, m)+":30080/hostname", nil)
			if err != nil {
				return err
			}
			reply, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
			if err != nil {
				return err
			}
			defer func() { _ = reply.Body.Close() }()
			if said, err := io.ReadAll(reply.Body); err != nil || !strings.HasPrefix(string(said), "web-") {
				return fmt.Errorf("it says %q, %v", said, err)
			}
			return nil
		})
	}
	if got := o.kube(t, "logs "+pods[0]); !strings.Contains(got, "8080") {
		t.Errorf("the logs are %q", got)
	}
	o.on(t, "m1", kubectl+"port-forward pod/"+pods[0]+" 18080:8080 >/dev/null & p=$!; for i in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/18080) 2>/dev/null && break; sleep 0.1; done; exec 3<>/dev/tcp/127.0.0.1/18080 && printf 'GET /hostname HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q web- <&3; r=$?; kill $p; exit $r")
	o.eventually(t, "kubectl top", kubectl+"top nodes", "m1")
	o.eventually(t, "kubectl top of Pods", kubectl+"top pods -n kube-system", "coredns")

	// etcd has the first say at the disk, and whatever starts it again.
	if got := o.on(t, "m1", `for t in /proc/$(pgrep -xo etcd)/task/*; do ionice -p "${t##*/}"; done | sort -u`); got != "best-effort: prio 0" {
		t.Errorf("etcd's threads have at the disk: %s", got)
	}

	// A Deployment rolls, and a numbered Pod comes back under its name.
	before := o.kube(t, "get pods -l app=web -o name")
	o.kube(t, "rollout restart deployment/web")
	o.kube(t, "rollout status deployment/web --timeout=90s")
	if now := o.kube(t, "get pods -l app=web -o name"); now == before {
		t.Errorf("after a rollout the Pods are still %s", now)
	}
	uid := o.kube(t, "get pod numbered-0 -o jsonpath={.metadata.uid}")
	o.kube(t, "delete pod numbered-0")
	o.kube(t, "wait --for=condition=Ready pod/numbered-0 --timeout=60s")
	if now := o.kube(t, "get pod numbered-0 -o jsonpath={.metadata.uid}"); now == uid {
		t.Error("numbered-0 was deleted, and is the same Pod")
	}
	o.kube(t, "delete -f /root/workload.yaml --wait=false")
}

// address of a machine.
func (o operator) address(t testing.TB, machine string) string {
	t.Helper()
	list, err := o.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.Name == machine {
			return m.Address.String()
		}
	}
	t.Fatalf("there is no machine %s", machine)
	return ""
}

// clusterDrift changes by hand what makes up the cluster: it is named exactly, and repaired exactly.
func (o operator) clusterDrift(t *testing.T) {
	t.Helper()
	o.on(t, "m2", `sed -i 's/--audit-log-maxage=30/--no-such-flag=1/' /etc/kubernetes/manifests/kube-apiserver.yaml`) // it crashes, over and over
	o.on(t, "m3", "rm /etc/kubernetes/scheduler.conf")
	o.kube(t, "-n kube-system delete deployment coredns --wait=false")
	o.kube(t, `-n kube-system patch configmap kube-proxy --type merge -p '{"data":{"config.conf":"broken"}}'`)
	p := o.plan(t)
	want := []string{
		"m1 object ConfigMap kube-system/kube-proxy", "m1 object Deployment kube-system/coredns",
		"m2 file /etc/kubernetes/manifests/kube-apiserver.yaml", "m3 kubeconfig /etc/kubernetes/scheduler.conf", "m3 pod-restart kube-scheduler",
	}
	if got := p.changes(); !slices.Equal(got, want) {
		t.Errorf("after changes by hand, the plan names\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	o.sick(t)
	const unhurt = "crictl ps -q --no-trunc --name '^(kube-|etcd)' | sort" // CoreDNS, which was deleted, may have been there, too
	m1 := o.on(t, "m1", unhurt)
	o.must(t, "apply", "--yes")
	o.nothing(t, "after repairing the cluster")
	if now := o.on(t, "m1", unhurt); now != m1 {
		t.Errorf("repairing others restarted something on m1:\n%s\n%s", m1, now)
	}
	o.eventually(t, "the API server of m2", kubectl+"--server=https://"+o.address(t, "m2")+":6443 get --raw /readyz", "ok")
}

// keysScript says which private keys and which key for Secrets lie on the machine that it runs on, as "FILE TEXT": a line of each is enough to find it.
const keysScript = `
find /etc/kubernetes /var/lib/kubelet -type f \( -name '*.key' -o -name '*.pem' \) -exec awk '/BEGIN.* PRIVATE KEY/ {getline; print FILENAME, $1}' {} \;
find /etc/kubernetes /var/lib/kubelet -type f -name '*.conf' -exec awk '/client-key-data:/ {print FILENAME, substr($2, 100, 64)}' {} \;
[ ! -e /etc/kubernetes/encryption.yaml ] || awk '/secret:/ {print FILENAME, $2}' /etc/kubernetes/encryption.yaml`

// sharedKeys are those that control planes share: authorities', the one that tokens of service accounts are signed with, the one that Secrets are encrypted with.
var sharedKeys = []string{
	"/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/etcd/ca.key", "/etc/kubernetes/pki/front-proxy-ca.key", "/etc/kubernetes/pki/sa.key", "/etc/kubernetes/encryption.yaml",
}

// secrets searches for each private key, each token and the key that Secrets are encrypted with where they must not be: on other hosts, in journals, in the arguments and
// environments of processes, on the operator's disk, and in what was said.
func (o operator) secrets(t *testing.T, said string) {
	t.Helper()
	where := map[string][]string{} // by secret: the files, as MACHINE FILE
	for _, m := range o.names(t) {
		for line := range strings.Lines(o.on(t, m, keysScript)) {
			file, secret, _ := strings.Cut(strings.TrimSpace(line), " ")
			if len(secret) < 32 {
				t.Fatalf("%s: a key in %s was not understood", m, file)
			}
			where[secret] = append(where[secret], m+" "+file)
		}
	}
	leaves := 0
	for _, files := range where {
		_, first, _ := strings.Cut(files[0], " ")
		switch shared := slices.Contains(sharedKeys, first); {
		case shared && len(files) != 3:
			t.Errorf("a key that control planes share is in %q", files)
		case !shared && len(files) != 1:
			t.Errorf("a key that is to stay on its host is in %q", files)
		case !shared:
			leaves++
		}
	}
	tokens := o.kube(t, `-n kube-system get secrets -o jsonpath='{range .items[?(@.type=="bootstrap.kubernetes.io/token")]}{.data.token-secret}{"\n"}{end}' | base64 -d`)
	if len(where)-leaves != len(sharedKeys) || leaves < 3*10+2 || len(tokens) < 16 {
		t.Fatalf("%d keys that are shared, %d that are not and %d characters of tokens were found to look for; want %d, 32 or more, 16 or more", len(where)-leaves, leaves, len(tokens), len(sharedKeys))
	}
	for _, token := range strings.Fields(tokens) {
		where[token] = nil
	}
	o.told(t)
	patterns := t.TempDir() // they must not be in the arguments of what looks for them
	o.write(t, filepath.Join(patterns, "patterns"), strings.Join(slices.Sorted(maps.Keys(where)), "\n")+"\n")
	o.write(t, filepath.Join(o.dir, "said"), said)
	if r := run(t, "grep", "--recursive", "--fixed-strings", "--files-with-matches", "--devices=skip", "--file="+filepath.Join(patterns, "patterns"), o.home, o.dir); r.code != 1 {
		t.Errorf("secrets are on the operator's disk:\n%s%s", r.stdout, r.stderr)
	}
	for _, m := range o.names(t) {
		o.copyTo(t, m, patterns, "/root/looking")
		found := o.on(t, m, "cd /root/looking; grep -rlFD skip -f patterns /etc /var/lib/kubewright /var/lib/kubelet /var/log /tmp /var/tmp /run/kubewright 2>/dev/null | sort; journalctl --no-pager -q | grep -cFf patterns; "+
			"for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline 2>/dev/null; tr '\\0' '\\n' <$p/environ 2>/dev/null; done | grep -cFf patterns; rm -r /root/looking")
		for line := range strings.Lines(found) {
			line = strings.TrimSpace(line)
			known := slices.ContainsFunc(slices.Collect(maps.Values(where)), func(files []string) bool { return slices.Contains(files, m+" "+line) })
			if line != "0" && !known {
				t.Errorf("%s has a secret where it must not be: %s", m, line)
			}
		}
	}
	// Secrets of users are unreadable in etcd.
	o.kube(t, "create secret generic hidden --from-literal=word=xyzzyplugh")
	o.on(t, "m1", `! grep -rqF xyzzyplugh /var/lib/etcd && `+kubectl+`delete secret hidden`)
}

// ready waits until the cluster is whole, as after a power cut, without anybody's doing: all API servers are ready, then all nodes, and the plan is empty.
func (o operator) ready(t *testing.T) {
	t.Helper()
	o.readyWith(t, len(o.names(t)))
}

// readyWith is the same where not all machines are nodes.
func (o operator) readyWith(t *testing.T, nodes int) {
	t.Helper()
	start := time.Now()
	for _, m := range []string{"m1", "m2", "m3"} {
		o.eventuallyOn(t, m, "the API server of "+m, kubectl+"--server=https://"+o.address(t, m)+":6443 get --raw /readyz", "ok")
	}
	o.eventually(t, "all nodes to be ready", kubectl+"get nodes --no-headers | grep -cw Ready", fmt.Sprint(nodes))
	o.planEmpty(t)
	t.Logf("%5.1fs  until the cluster is whole", time.Since(start).Seconds())
}

// planEmpty waits until the plan is empty.
func (o operator) planEmpty(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := machines.Wait(ctx, "the plan to be empty", func(context.Context) error {
		if r := o.run(t, "plan", "--detailed-exitcode"); r.code != 0 {
			return errors.New(r.stdout + r.stderr)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
