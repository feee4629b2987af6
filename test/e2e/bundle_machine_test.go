package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/internal/bundle"
)

// copyTo copies what is in a directory of this computer to one of a machine.
func (f fixture) copyTo(t *testing.T, machine, from, to string) {
	t.Helper()
	must(t, "sh", "-c", `tar -C "$2" -c . | ssh -F "$1" root@"$3" "mkdir -p '$4' && tar -C '$4' -x --no-same-owner"`, "sh", f.SSHConfig(), from, machine, to)
}

// install puts the programs of a bundle on a machine.
func (f fixture) install(t *testing.T, machine, v string) {
	t.Helper()
	root := t.TempDir()
	must(t, kubewright, "bundle", "unpack", v, "programs", root)
	f.copyTo(t, machine, root, "/")
}

// runtime starts containerd of the bundle and loads images of it into a namespace of containerd's, from the file that an export writes.
func (f fixture) runtime(t *testing.T, machine, namespace, v string) {
	t.Helper()
	dir := t.TempDir()
	must(t, kubewright, "bundle", "export", v, "--file", filepath.Join(dir, "bundle.tar.zst"))
	f.copyTo(t, machine, dir, "/root/bundle")
	f.on(t, machine, "systemd-run --quiet --unit=containerd --property=Delegate=yes --property=KillMode=process /usr/local/bin/containerd")
	wait(t, "containerd", func(ctx context.Context) error {
		r, err := f.Run(ctx, machine, "ctr version")
		if err != nil || r.ExitCode != 0 {
			return errors.Join(err, errors.New(r.Stderr))
		}
		return nil
	})
	f.on(t, machine, "ctr --namespace "+namespace+" image import /root/bundle/bundle.tar.zst")
}

// TestProgramsOnAMachine makes every program of every bundle say its version on a machine, in images those that are nowhere else.
func TestProgramsOnAMachine(t *testing.T) {
	f := newFixture(t, "programs")
	all := versions(t)
	f.machines(t, "up", "--count", fmt.Sprint(len(all)))
	for i, v := range all {
		m := fmt.Sprintf("m%d", i+1)
		f.install(t, m, v)
		f.runtime(t, m, "default", v)
		says := func(command, want string) {
			t.Helper()
			if got := f.on(t, m, command+" 2>&1 </dev/null"); !strings.Contains(got, want) {
				t.Errorf("%s says %q, not %q", command, got, want)
			}
		}
		b := showJSON(t, v)
		arguments := map[string]string{"containerd-shim-runc-v2": "-v", "etcdctl": "version", "etcdutl": "version", "kubectl": "version --client", "kubeadm": "version"}
		for _, p := range b.Parts {
			for _, blob := range p.Blobs {
				if p.Kind != bundle.Programs {
					continue
				}
				for _, c := range append(blob.Commands, blob.Title) {
					switch {
					case p.Component == "cni":
						if c != "cni" {
							says("/opt/cni/bin/"+c, "CNI "+c+" plugin "+p.Version)
						}
					case c == "kubernetes":
						says(c+" kubelet --version", "Kubernetes "+p.Version)
					default:
						argument := arguments[c]
						if argument == "" {
							argument = "--version"
						}
						says("/usr/local/bin/"+c+" "+argument, strings.TrimPrefix(p.Version, "v"))
						if p.Revision != "" && (c == "kubeadm" || c == "runc") { // the programs of hosts that say it
							says("/usr/local/bin/"+c+" "+argument, p.Revision)
						}
					}
				}
			}
			if p.Kind != bundle.Image {
				continue
			}
			for image, command := range map[string]string{
				"/agnhost:": "/agnhost --version", "/coredns:": "/coredns -version", "/etcd:": "etcd --version", "/flannel:": "/opt/bin/flanneld --version",
				"/kube-apiserver:": "kube-apiserver --version", "/kube-controller-manager:": "kube-controller-manager --version",
				"/kube-scheduler:": "kube-scheduler --version", "/kube-proxy:": "kube-proxy --version", "/kubewright-approver:": "/kubewright-approver --version", "/metrics-server:": "/metrics-server --version", "/pause:": "/pause -v",
			} {
				if strings.Contains(p.Name, image) {
					says("ctr run --rm "+p.Name+" version "+command, strings.TrimPrefix(p.Version, "v"))
				}
			}
			switch {
			case strings.Contains(p.Name, "/coredns:") && p.Revision != "":
				says("ctr run --rm "+p.Name+" commit /coredns -version", p.Revision)
			case strings.Contains(p.Name, "/etcd:"):
				says("ctr run --rm "+p.Name+" tools etcdctl version", "etcdctl version: "+strings.TrimPrefix(p.Version, "v"))
			case strings.Contains(p.Name, "/kube-proxy:"), strings.Contains(p.Name, "/flannel:"):
				for tool, want := range map[string]string{"nft --version": "nftables v1", "iptables --version": "(nf_tables)", "ip6tables-restore --version": "(nf_tables)", "ipset --version": "ipset v7", "conntrack --version": "conntrack v1", "modprobe --version": "kmod"} {
					says("ctr run --rm --privileged --net-host "+p.Name+" tools "+tool, want)
				}
			}
		}
	}
}

// TestPauseOnAMachine starts pause with containerd and runc of the bundle, and CoreDNS, which binds port 53 without being root.
func TestPauseOnAMachine(t *testing.T) {
	f := newFixture(t, "pause")
	f.machines(t, "up", "--count", "1")
	v := versions(t)[0]
	f.install(t, "m1", v)
	f.runtime(t, "m1", "default", v)
	pause, coredns := "", ""
	for _, p := range showJSON(t, v).Parts {
		if strings.Contains(p.Name, "/pause:") {
			pause = p.Name
		}
		if strings.Contains(p.Name, "/coredns:") {
			coredns = p.Name
		}
	}
	f.on(t, "m1", "ctr run --detach --seccomp "+pause+" pause")
	if got := f.on(t, "m1", "ctr task ls"); !strings.Contains(got, "RUNNING") {
		t.Errorf("pause does not run:\n%s", got)
	}
	pid := f.on(t, "m1", "ctr task ls | awk '/^pause/ {print $2}'")
	if got := f.on(t, "m1", "grep -E '^(Uid|Seccomp):' /proc/"+pid+"/status | tr -s '\\t\\n' '  '"); !strings.HasPrefix(got, "Uid: 65535 65535 65535 65535 Seccomp: 2") {
		t.Errorf("pause runs as %q", got)
	}
	if got := f.on(t, "m1", "runc --root /run/containerd/runc/default list"); !strings.Contains(got, "running") {
		t.Errorf("runc does not know it:\n%s", got)
	}
	f.on(t, "m1", "ctr task kill --signal TERM pause && ctr task wait pause 2>/dev/null; ctr container rm pause")

	f.on(t, "m1", "mkdir -p /etc/coredns && printf '.:53 {\\n  bind 127.0.0.1\\n  hosts {\\n    192.0.2.7 thing.example\\n  }\\n  ready\\n}\\n' >/etc/coredns/Corefile")
	f.on(t, "m1", "ctr run --detach --net-host --cap-drop CAP_ALL --cap-add CAP_NET_BIND_SERVICE --mount type=bind,src=/etc/coredns,dst=/etc/coredns,options=rbind:ro "+coredns+" coredns /coredns -conf /etc/coredns/Corefile")
	f.on(t, "m1", "echo nameserver 127.0.0.1 >/etc/resolv.conf")
	wait(t, "CoreDNS", func(ctx context.Context) error {
		r, err := f.Run(ctx, "m1", "getent ahostsv4 thing.example")
		if err == nil && !strings.Contains(r.Stdout, "192.0.2.7") {
			log, _ := f.Run(ctx, "m1", "ctr task ls")
			err = fmt.Errorf("it says %q; %s", r.Stdout, log.Stdout)
		}
		return err
	})
	pid = f.on(t, "m1", "ctr task ls | awk '/^coredns/ {print $2}'")
	if got := f.on(t, "m1", "awk '/^Uid:/ {print $2}' /proc/"+pid+"/status"); got != "65532" {
		t.Errorf("CoreDNS runs as user %s", got)
	}
}

// TestPackagesOnAMachine installs all packages of the bundle on a fresh machine by its own apt, from nothing but the bundle.
func TestPackagesOnAMachine(t *testing.T) {
	f := newFixture(t, "packages")
	f.machines(t, "up", "--count", "1")
	root := t.TempDir()
	must(t, kubewright, "bundle", "unpack", versions(t)[0], "packages", root)
	f.copyTo(t, "m1", filepath.Join(root, bundle.PackagesDir), bundle.PackagesDir)
	const apt = "export APT_CONFIG=" + bundle.PackagesDir + "/apt.conf DEBIAN_FRONTEND=noninteractive; "
	// A host whose administrator has ideas of his own.
	f.on(t, "m1", `printf 'APT::Install-Recommends "true";\nDPkg::Path "/usr/sbin:/usr/bin:/sbin:/bin";\nDPkg::Pre-Invoke { "exit 1"; };\n' >/etc/apt/apt.conf.d/99own; printf 'Package: *\nPin: origin ""\nPin-Priority: -1\n' >/etc/apt/preferences.d/own`)
	own := f.on(t, "m1", "cat /etc/apt/sources.list; ls -A /etc/apt/sources.list.d /var/lib/apt/lists")
	if got := f.on(t, "m1", apt+"apt-get update 2>&1"); strings.Contains(got, "W:") || strings.Contains(got, "E:") {
		t.Errorf("apt-get update says:\n%s", got)
	}
	before := f.on(t, "m1", "systemctl list-units --plain --no-legend --state=active,activating --type=service,socket,timer | awk '{print $1}' | sort")
	b, err := exec.CommandContext(t.Context(), "sed", "-n", `/^hosts:/,/^layers:/s/^- \([a-z0-9-]*\).*/\1/p`, "../../distro/debian-12.yaml").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(b))
	if len(packages) < 15 {
		t.Fatalf("packages for hosts are %q", packages)
	}
	f.on(t, "m1", apt+"apt-get install --yes "+strings.Join(packages, " ")+" >/root/apt.log 2>&1 || { cat /root/apt.log; false; }")
	after := f.on(t, "m1", "systemctl list-units --plain --no-legend --state=active,activating --type=service,socket,timer | awk '{print $1}' | sort")
	for unit := range strings.FieldsSeq(after) {
		// What systemd starts by itself for a session, and the programs that the test runs, aside.
		if !strings.Contains(before+"\n", unit+"\n") && !strings.HasPrefix(unit, "user") && !strings.HasPrefix(unit, "session") {
			t.Errorf("installing packages started %s", unit)
		}
	}
	if got := f.try(t, "m1", "pgrep -l 'haproxy|keepalived|chronyd'"); got.Stdout != "" {
		t.Errorf("installing packages started:\n%s", got.Stdout)
	}
	if got := f.try(t, "m1", "systemctl is-enabled haproxy keepalived chrony").Stdout; strings.Contains(got, "enabled") {
		t.Errorf("installing packages had services started at the next boot:\n%s", got)
	}
	f.machines(t, "restart", "m1")
	if got := f.try(t, "m1", "pgrep -l 'haproxy|keepalived|chronyd'"); got.Stdout != "" {
		t.Errorf("the next boot started:\n%s", got.Stdout)
	}
	if now := f.on(t, "m1", "cat /etc/apt/sources.list; ls -A /etc/apt/sources.list.d /var/lib/apt/lists; ls /usr/sbin/policy-rc.d 2>/dev/null || true"); now != own {
		t.Errorf("the machine's own package sources changed:\n%s\n%s", own, now)
	}
	for command, want := range map[string]string{
		"haproxy -v": "HAProxy version", "keepalived --version": "Keepalived v", "chronyd --version": "chronyd (chrony)", "conntrack --version": "conntrack v",
		"ipset --version": "ipset v", "{ ipvsadm --version || true; }": "ipvs", "socat -V": "socat by", "ethtool --version": "ethtool version", "nft --version": "nftables v", "fio --version": "fio-",
	} {
		if got := f.on(t, "m1", command+" 2>&1"); !strings.Contains(got, want) {
			t.Errorf("%s says %q", command, got)
		}
	}
}

// TestControlPlaneAnswers starts etcd, the API server, the scheduler and the controller manager of each bundle from its images, with what
// kubeadm of the bundle writes for them, and asks each whether it is well.
func TestControlPlaneAnswers(t *testing.T) {
	f := newFixture(t, "smoke")
	for i, v := range versions(t) {
		t.Run(v, func(t *testing.T) {
			m := fmt.Sprintf("m%d", i+1)
			f.machines(t, "up", "--count", fmt.Sprint(i+1))
			f.install(t, m, v)
			f.runtime(t, m, "default", v)
			images := map[string]string{}
			for _, p := range showJSON(t, v).Parts {
				if p.Kind == bundle.Image {
					name := p.Name[strings.LastIndex(p.Name, "/")+1:]
					images[name[:strings.Index(name, ":")]] = p.Name
				}
			}
			address := f.on(t, m, "hostname -I | cut -d ' ' -f 1")
			f.on(t, m, "kubeadm init phase certs all --kubernetes-version "+v+" --apiserver-advertise-address "+address)
			f.on(t, m, "kubeadm init phase kubeconfig all --kubernetes-version "+v+" --node-name "+m+" --apiserver-advertise-address "+address)
			const pki = "/etc/kubernetes/pki/"
			start := func(name, command string) {
				t.Helper()
				f.on(t, m, "mkdir -p /var/lib/etcd && ctr run --detach --net-host --mount type=bind,src=/etc/kubernetes,dst=/etc/kubernetes,options=rbind:ro "+
					"--mount type=bind,src=/var/lib/etcd,dst=/var/lib/etcd,options=rbind:rw "+images[name]+" "+name+" "+command)
			}
			well := func(name, command string) {
				t.Helper()
				wait(t, name, func(ctx context.Context) error {
					r, err := f.Run(ctx, m, command)
					if err == nil && r.ExitCode != 0 {
						tasks, _ := f.Run(ctx, m, "ctr task ls")
						err = fmt.Errorf("%s%s%s", r.Stdout, r.Stderr, tasks.Stdout)
					}
					return err
				})
			}
			start("etcd", "etcd --name m --data-dir /var/lib/etcd --listen-client-urls https://127.0.0.1:2379 --advertise-client-urls https://127.0.0.1:2379 --listen-peer-urls https://127.0.0.1:2380 "+
				"--initial-advertise-peer-urls https://127.0.0.1:2380 --initial-cluster m=https://127.0.0.1:2380 --client-cert-auth --trusted-ca-file "+pki+"etcd/ca.crt --cert-file "+pki+"etcd/server.crt --key-file "+pki+"etcd/server.key "+
				"--peer-client-cert-auth --peer-trusted-ca-file "+pki+"etcd/ca.crt --peer-cert-file "+pki+"etcd/peer.crt --peer-key-file "+pki+"etcd/peer.key")
			well("etcd", "etcdctl --endpoints https://127.0.0.1:2379 --cacert "+pki+"etcd/ca.crt --cert "+pki+"etcd/healthcheck-client.crt --key "+pki+"etcd/healthcheck-client.key endpoint health")
			start("kube-apiserver", "kube-apiserver --etcd-servers https://127.0.0.1:2379 --etcd-cafile "+pki+"etcd/ca.crt --etcd-certfile "+pki+"apiserver-etcd-client.crt --etcd-keyfile "+pki+"apiserver-etcd-client.key "+
				"--advertise-address "+address+" --tls-cert-file "+pki+"apiserver.crt --tls-private-key-file "+pki+"apiserver.key --client-ca-file "+pki+"ca.crt --service-account-issuer https://kubernetes.default.svc "+
				"--service-account-key-file "+pki+"sa.pub --service-account-signing-key-file "+pki+"sa.key --service-cluster-ip-range 10.96.0.0/12 --authorization-mode Node,RBAC")
			well("kube-apiserver", "kubectl --kubeconfig /etc/kubernetes/super-admin.conf get --raw '/readyz?verbose'")
			start("kube-controller-manager", "kube-controller-manager --kubeconfig /etc/kubernetes/controller-manager.conf --bind-address 127.0.0.1")
			well("kube-controller-manager", "kubectl --server https://127.0.0.1:10257 --insecure-skip-tls-verify --client-certificate "+pki+"apiserver-kubelet-client.crt --client-key "+pki+"apiserver-kubelet-client.key get --raw /healthz")
			start("kube-scheduler", "kube-scheduler --kubeconfig /etc/kubernetes/scheduler.conf --bind-address 127.0.0.1")
			well("kube-scheduler", "kubectl --server https://127.0.0.1:10259 --insecure-skip-tls-verify --client-certificate "+pki+"apiserver-kubelet-client.crt --client-key "+pki+"apiserver-kubelet-client.key get --raw /healthz")
			if got := f.on(t, m, "kubectl --kubeconfig /etc/kubernetes/super-admin.conf version"); !strings.Contains(got, "Server Version: "+v) {
				t.Errorf("the API server says:\n%s", got)
			}
		})
	}
}
