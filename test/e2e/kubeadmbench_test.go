package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewright/kubewright/internal/bundle"
)

// BenchmarkKubeadm measures Kubewright against kubeadm as a good script drives it: from booted bare machines to all nodes ready and names answered, three control planes and two workers, one
// after the other in each round, and the ratio of the medians. The script has the same programs and images from the same bundle, compressed, by SSH to all machines at once; images only where
// they are needed; the same runtime and its settings, the same network of Pods; workers join at once, control planes one after the other, as etcd's members have to. It installs no packages,
// keeps no clock, encrypts nothing, and makes no balancer: what Kubewright does besides counts against Kubewright.
//
// Machines that share all processors of this computer hide what waits for what: while one waits, others have its share. So both are measured a second time where each machine has a fifth of two
// processors for itself, and no more.
func BenchmarkKubeadm(b *testing.B) {
	b.Run("shared", func(b *testing.B) { againstKubeadm(b, "0") })
	b.Run("own", func(b *testing.B) { againstKubeadm(b, "0.4") })
}

func againstKubeadm(b *testing.B, cpus string) {
	f := newFixture(b, "kubeadm-bench")
	f.machines(b, "up", "--count", "5", "--cpus", cpus)
	o := newOperator(b, f, "kubeProxy: {mode: nftables}\n")
	k := newKubeadmScript(b, o)
	var ours, theirs []time.Duration
	for b.Loop() {
		f.machines(b, "reset", "--all")
		start := time.Now()
		o.must(b, "apply", "--yes")
		o.answers(b)
		ours = append(ours, time.Since(start))
		b.Logf("kubewright: %.1f s\n%s", time.Since(start).Seconds(), o.must(b, "runs", "show"))
		k.learn(b)
		f.machines(b, "reset", "--all")
		start = time.Now()
		k.run(b)
		o.answers(b)
		theirs = append(theirs, time.Since(start))
		k.mark("all nodes ready, names answered")
		b.Logf("kubeadm: %.1f s\n%s", time.Since(start).Seconds(), strings.Join(k.marks, "\n"))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	mine, other := ours[len(ours)/2].Seconds(), theirs[len(theirs)/2].Seconds()
	b.ReportMetric(mine, "kubewright-median-s")
	b.ReportMetric(other, "kubeadm-median-s")
	b.ReportMetric(mine/other, "kubewright/kubeadm")
}

// answers waits until all nodes are ready and names are answered.
func (o operator) answers(t testing.TB) {
	t.Helper()
	o.eventually(t, "all nodes to be ready", kubectl+"get nodes --no-headers | grep -cw Ready", "5")
	o.eventually(t, "names to be answered", `dns=$(`+kubectl+`-n kube-system get service kube-dns -o jsonpath={.spec.clusterIP}) && `+lookUp, "answered")
}

// kubeadmScript is what somebody who knows kubeadm well would have written.
type kubeadmScript struct {
	o             operator
	version       string
	etcd, coredns string            // tags
	programs      string            // an archive of programs
	images        map[string]string // archives of images, by role
	settings      string            // an archive of what Kubewright set: runtime, network of Pods
	network       string            // objects of the network of Pods
	begun         time.Time
	marks         []string
}

const (
	benchToken = "abcdef.0123456789abcdef"
	benchKey   = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

// newKubeadmScript packs what is packed once.
func newKubeadmScript(b *testing.B, o operator) *kubeadmScript {
	b.Helper()
	of := bundles(b)[0]
	dir := b.TempDir()
	k := &kubeadmScript{o: o, version: of.Kubernetes, programs: filepath.Join(dir, "programs.tar.gz"), settings: filepath.Join(dir, "settings.tar"), network: filepath.Join(dir, "network.json"), images: map[string]string{}}
	must(b, kubewright, "bundle", "unpack", k.version, "programs", filepath.Join(dir, "root"))
	must(b, "sh", "-c", `tar -C "$1" -c . | gzip -1 >"$2"`, "sh", filepath.Join(dir, "root"), k.programs)
	need := map[string][]string{
		"worker":        {"pause", "kube-proxy", "flannel", "coredns"},
		"control-plane": {"pause", "kube-proxy", "flannel", "coredns", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"},
	}
	for role, names := range need {
		layout := filepath.Join(dir, role)
		for _, p := range of.Parts {
			if p.Kind != bundle.Image || !slices.Contains(names, p.ShortName()) {
				continue
			}
			must(b, "skopeo", "copy", "--quiet", "oci:"+store(b)+":"+p.Name, "oci:"+layout+":"+p.Name)
			switch tag := p.Name[strings.LastIndex(p.Name, ":")+1:]; p.ShortName() {
			case "etcd":
				k.etcd = tag
			case "coredns":
				k.coredns = tag
			}
		}
		k.images[role] = layout + ".tar"
		must(b, "tar", "-C", layout, "-cf", k.images[role], ".")
	}
	return k
}

// learn takes from a cluster of Kubewright's what both are to have alike.
func (k *kubeadmScript) learn(b *testing.B) {
	b.Helper()
	must(b, "sh", "-c", `ssh -F "$1" root@m1 tar -C / -c etc/containerd etc/cni/net.d etc/systemd/system/containerd.service >"$2"`, "sh", k.o.SSHConfig(), k.settings)
	objects := k.o.kube(b, `get namespace/kube-flannel clusterrole/flannel clusterrolebinding/flannel -o json; `+
		kubectl+`-n kube-flannel get serviceaccount/flannel configmap/kube-flannel-cfg daemonset/kube-flannel-ds -o json`)
	if err := os.WriteFile(k.network, []byte(objects), 0o600); err != nil {
		b.Fatal(err)
	}
}

func (k *kubeadmScript) mark(what string) {
	k.marks = append(k.marks, fmt.Sprintf("%6.1f s  %s", time.Since(k.begun).Seconds(), what))
}

// run makes the cluster.
func (k *kubeadmScript) run(b *testing.B) {
	b.Helper()
	k.begun, k.marks = time.Now(), nil
	roles := map[string]string{"m1": "control-plane", "m2": "control-plane", "m3": "control-plane", "m4": "worker", "m5": "worker"}
	endpoint := k.o.address(b, "m1") + " api.e2e.internal"
	var prepared errgroup.Group
	ready := map[string]chan struct{}{}
	for m := range roles {
		ready[m] = make(chan struct{})
	}
	for m, role := range roles {
		prepared.Go(func() error {
			if err := k.prepare(b.Context(), m, role, endpoint); err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			close(ready[m])
			return nil
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- prepared.Wait() }()
	await := func(m string) {
		b.Helper()
		select {
		case <-ready[m]:
		case err := <-failed:
			if err != nil {
				b.Fatal(err)
			}
			<-ready[m]
		case <-b.Context().Done():
			b.Fatal(b.Context().Err())
		}
	}
	await("m1")
	k.mark("m1 prepared: programs, runtime, images")
	k.do(b, "m1", `cat >/root/kubeadm.yaml <<'END'
`+k.config(b)+`END
kubeadm init --config /root/kubeadm.yaml --upload-certs --skip-token-print --ignore-preflight-errors=all 2>&1`)
	k.mark("m1 initialised")
	must(b, "sh", "-c", `ssh -F "$1" root@m1 "kubectl --kubeconfig=/etc/kubernetes/admin.conf apply -f -" <"$2"`, "sh", k.o.SSHConfig(), k.network)
	k.mark("network of Pods applied")
	join := func(ctx context.Context, m, more string) error {
		r, err := k.o.Run(ctx, m, "kubeadm join api.e2e.internal:6443 --token "+benchToken+" --discovery-token-unsafe-skip-ca-verification --ignore-preflight-errors=all "+more+" 2>&1")
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("%s joins with exit code %d: %s", m, r.ExitCode, r.Stdout)
		}
		return err
	}
	var workers errgroup.Group
	for _, m := range []string{"m4", "m5"} {
		await(m)
		workers.Go(func() error { return join(b.Context(), m, "") })
	}
	for _, m := range []string{"m2", "m3"} {
		await(m)
		if err := join(b.Context(), m, "--control-plane --certificate-key "+benchKey+" --apiserver-advertise-address "+k.o.address(b, m)); err != nil {
			b.Fatal(err)
		}
		k.mark(m + " joined")
	}
	if err := workers.Wait(); err != nil {
		b.Fatal(err)
	}
	k.mark("workers joined")
}

// prepare makes a machine ready for kubeadm.
func (k *kubeadmScript) prepare(ctx context.Context, m, role, endpoint string) error {
	pipe := func(file, command string) error {
		c := exec.CommandContext(ctx, "ssh", "-F", k.o.SSHConfig(), "root@"+m, command)
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		c.Stdin = in
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
		return nil
	}
	if err := pipe(k.programs, "tar -C / -xz --no-same-owner"); err != nil {
		return err
	}
	if err := pipe(k.settings, "tar -C / -x --no-same-owner"); err != nil {
		return err
	}
	for _, command := range []string{
		// CoreDNS as kubeadm has it does not start where resolv.conf names nobody; that one answers to nobody (RFC 5737) is no matter.
		kubeletUnits + "echo nameserver 192.0.2.1 >/etc/resolv.conf; sysctl -qw net.ipv4.ip_forward=1; echo '" + endpoint + "' >>/etc/hosts; mkdir -p /run/flannel; systemctl enable --now containerd kubelet 2>/dev/null; " +
			"until ctr version >/dev/null 2>&1; do sleep 0.1; done",
	} {
		if r, err := k.o.Run(ctx, m, command); err != nil || r.ExitCode != 0 {
			return fmt.Errorf("%s: %w: %s", command, err, r.Stderr)
		}
	}
	return pipe(k.images[role], "ctr --namespace k8s.io images import - >/dev/null")
}

// do runs a command that has to succeed.
func (k *kubeadmScript) do(b *testing.B, m, command string) {
	b.Helper()
	if r, err := k.o.Run(b.Context(), m, command); err != nil || r.ExitCode != 0 {
		b.Fatalf("on %s: %v\n%s%s", m, err, r.Stdout, r.Stderr)
	}
}

// config is what the cluster is to be, with what local machines need: their control groups may be of version 1, and they share their kernel.
func (k *kubeadmScript) config(b *testing.B) string {
	b.Helper()
	return `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{token: ` + benchToken + `}]
certificateKey: ` + benchKey + `
localAPIEndpoint: {advertiseAddress: ` + k.o.address(b, "m1") + `}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: ` + k.version + `
controlPlaneEndpoint: api.e2e.internal:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16}
etcd: {local: {imageTag: ` + k.etcd + `}}
dns: {imageTag: ` + k.coredns + `}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failCgroupV1: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`
}
