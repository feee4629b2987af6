package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// kubeletUnits are the kubelet's as kubeadm's packages have it (release/cmd/krel/templates/latest of kubernetes/release v0.18), with the program where the bundle puts it.
const kubeletUnits = `mkdir -p /etc/systemd/system/kubelet.service.d
cat >/etc/systemd/system/kubelet.service <<'END'
[Unit]
Description=kubelet: The Kubernetes Node Agent
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10
[Install]
WantedBy=multi-user.target
END
cat >/etc/systemd/system/kubelet.service.d/10-kubeadm.conf <<'END'
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
END
systemctl daemon-reload
`

// passedOver are kubeadm's complaints of local machines: they are containers, whose kernel keeps its configuration to itself, and they lack packages that images bring.
const passedOver = " --ignore-preflight-errors=SystemVerification,FileExisting-conntrack,FileExisting-ip,FileExisting-iptables,FileExisting-mount,FileExisting-nsenter"

// judged has kubeadm judge the cluster: it knows its certificates, would upgrade it, and has a machine join that Kubewright knows nothing of.
func (o operator) judged(t *testing.T) {
	t.Helper()
	v := versions(t)[0]
	expiration := o.on(t, "m1", "kubeadm certs check-expiration 2>&1")
	for _, name := range []string{"admin.conf", "apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "controller-manager.conf", "etcd-healthcheck-client", "etcd-peer", "etcd-server", "front-proxy-client", "scheduler.conf", "super-admin.conf", "ca", "etcd-ca", "front-proxy-ca"} {
		if !strings.Contains(expiration, "\n"+name+" ") {
			t.Errorf("kubeadm knows no certificate %s:\n%s", name, expiration)
		}
	}
	if strings.Contains(expiration, "MISSING") || strings.Contains(expiration, "invalid") {
		t.Errorf("kubeadm misses certificates:\n%s", expiration)
	}
	if plan := o.on(t, "m1", "kubeadm upgrade plan "+next(t, v)+" 2>&1"); !strings.Contains(plan, "kube-apiserver") || !strings.Contains(plan, "kubeadm upgrade apply "+next(t, v)) {
		t.Errorf("kubeadm would upgrade by this plan:\n%s", plan)
	}

	o.machines(t, "up", "--count", "6")
	o.install(t, "m6", v)
	// Local machines may lack what a runtime needs that spares processes when memory runs out: it is told so.
	o.on(t, "m6", "mkdir -p /etc/containerd && cat >/etc/containerd/config.toml <<'END'\n"+o.on(t, "m5", "cat /etc/containerd/config.toml")+"\nEND")
	o.runtime(t, "m6", "k8s.io", v)
	o.on(t, "m6", kubeletUnits+"sysctl -qw net.ipv4.ip_forward=1; mkdir -p /etc/cni/net.d /root/patches; echo 'failCgroupV1: false' >/root/patches/kubeletconfiguration.yaml") // local machines may have these
	// What docs/operating.md names: a line in /etc/hosts, and what the network of Pods wants.
	var join struct {
		Command string `json:"command"`
		Hosts   string `json:"hosts"`
	}
	if out := o.must(t, "join-command", "--ttl", "10m", "--output", "json"); json.Unmarshal([]byte(out), &join) != nil || !strings.HasPrefix(join.Command, "kubeadm join api.e2e.internal:6443 --token ") {
		t.Fatalf("join-command says %s", out)
	}
	o.on(t, "m6", "echo '"+join.Hosts+"' >>/etc/hosts")
	o.on(t, "m6", "cat >/etc/cni/net.d/10-flannel.conflist <<'END'\n"+o.on(t, "m5", "cat /etc/cni/net.d/10-flannel.conflist")+"\nEND")
	o.on(t, "m6", join.Command+" --patches=/root/patches"+passedOver+" 2>&1")
	o.eventually(t, "the node of m6 to be ready", kubectl+"get node m6 --no-headers | grep -cw Ready", "1")
	o.kube(t, "-n kube-system rollout status daemonset/kube-proxy --timeout=90s")
	o.kube(t, "-n kube-flannel rollout status daemonset/kube-flannel-ds --timeout=90s")
	if got := o.on(t, "m1", "kubeadm token list 2>/dev/null"); !strings.Contains(got, `Asked for by "kubewright join-command"`) {
		t.Errorf("kubeadm knows these tokens:\n%s", got)
	}
	if r := run(t, "grep", "--recursive", "--fixed-strings", "--files-with-matches", "--devices=skip", strings.Fields(join.Command)[4], o.home, o.dir); r.code != 1 {
		t.Errorf("the token to join with is on the operator's disk:\n%s%s", r.stdout, r.stderr)
	}
	if got := o.must(t, "status"); !strings.Contains(got, "m6: the cluster has this node, and the cluster file has no host of that name") {
		t.Errorf("status says nothing of m6:\n%s", got)
	}
	o.kube(t, "delete node m6")
	o.machines(t, "down", "m6")
	o.nothing(t, "after m6 has come and gone")
}

// next is the patch release after a version.
func next(t *testing.T, version string) string {
	t.Helper()
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "v%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("v%d.%d.%d", major, minor, patch+1)
}
