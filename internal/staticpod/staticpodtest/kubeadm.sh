#!/bin/sh
# kubeadm.sh KUBEADM: has kubeadm 1.37 write anew what tests of components compare with, in their testdata/kubeadm-1.37. It needs root and a machine with ca-certificates as
# Debian has them; what kubeadm writes to the machine lies in a mount namespace of its own. Of certificates no keys are kept.
set -eu
kubeadm=$(realpath --no-symlinks "$1") # a program of several goes by the name
here=$(realpath "$(dirname "$0")")
export kubeadm here
unshare --mount sh -eu <<'INSIDE'
mkdir -p /etc/kubernetes /var/lib/kubelet
mount -t tmpfs tmpfs /etc/kubernetes
mount -t tmpfs tmpfs /var/lib/kubelet
for phase in "certs all" "kubeconfig all" "etcd local" "control-plane all" "kubelet-start"; do
	"$kubeadm" init phase $phase --config "$here/kubeadm.yaml"
done
out() {
	dir=$here/../../component/$1/testdata/kubeadm-1.37
	mkdir -p "$dir"
	echo "$dir"
}
cd /etc/kubernetes
cp manifests/etcd.yaml pki/etcd/server.crt pki/etcd/peer.crt pki/etcd/healthcheck-client.crt "$(out etcd)"
cp manifests/kube-*.yaml pki/apiserver*.crt pki/front-proxy-client.crt "$(out controlplane)"
cp /var/lib/kubelet/config.yaml /var/lib/kubelet/instance-config.yaml /var/lib/kubelet/kubeadm-flags.env "$(out kubelet)"
kubeconfig() { # the server, and the certificate without its key
	sed -n 's/^ *server: //p' "$1.conf" > "$2/$1.server"
	sed -n 's/^ *client-certificate-data: //p' "$1.conf" | base64 -d > "$2/$1.crt"
}
for k in admin super-admin controller-manager scheduler; do
	kubeconfig $k "$(out controlplane)"
done
kubeconfig kubelet "$(out kubelet)"
INSIDE
rmdir --ignore-fail-on-non-empty /etc/kubernetes /var/lib/kubelet
