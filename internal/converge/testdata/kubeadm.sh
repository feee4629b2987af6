#!/bin/sh
# kubeadm.sh KUBEADM: has kubeadm 1.37 write anew what TestLikeKubeadm compares with, in kubeadm-1.37: what "kubeadm init" leaves on a first control plane (host, with permissions in
# modes) and in the API (objects.yaml, cluster-admins.dump). It needs root, and a machine with ca-certificates as Debian has them. What kubeadm does to the machine, it does in
# namespaces of its own, where nobody answers. Of certificates no keys are kept.
set -eu
kubeadm=$(realpath --no-symlinks "$1") # a program of several goes by the name
here=$(realpath "$(dirname "$0")")
export kubeadm here
unshare --mount --uts --net sh -eu <<'INSIDE'
mkdir -p /etc/kubernetes /var/lib/kubelet
mount -t tmpfs tmpfs /etc/kubernetes
mount -t tmpfs tmpfs /var/lib/kubelet
hostname cp1
if systemctl=$(command -v systemctl); then
	mount --bind /bin/true "$systemctl" # no kubelet is started or stopped
fi
out=$here/kubeadm-1.37
rm -rf "$out"
mkdir "$out"

# What it would make in the API. Of a change to a node a dry run shows the node before it; what it says in words is made YAML here.
"$kubeadm" init --dry-run --config "$here/kubeadm.yaml" --ignore-preflight-errors=all >"$out/said"
{
	awk '/^\[/ { shown = 0 }
		/^\[dryrun\] Would perform action/ { makes = $5 == "CREATE" }
		shown && NF { print }
		/^\[dryrun\] Attached object:/ && makes { print "---"; shown = 1; makes = 0 }' "$out/said"
	sed -n '/^\[mark-control-plane\]/s/.*[[]\([^]]*\)[]]$/\1/p' "$out/said" | awk '
		NR == 1 { print "---\napiVersion: v1\nkind: Node\nmetadata:\n  labels:"; for (i = 1; i <= NF; i++) print "    " $i ": \"\""; print "  name: cp1" }
		NR == 2 { print "spec:\n  taints:"; for (i = 1; i <= NF; i++) { split($i, t, ":"); print "  - effect: " t[2] "\n    key: " t[1] } }'
} >"$out/objects.yaml"
sed -i 's/^\( *certificate-authority-data:\) .*/\1 CA/' "$out/objects.yaml"
sed -i -z 's/\ndata:\n  auth-extra-groups:/\nstringData:\n  auth-extra-groups:/' "$out/objects.yaml"
sed -n 's/^  \(auth-extra-groups\|expiration\|token-[a-z]*\|usage-bootstrap-[a-z]*\): //p' "$out/objects.yaml" | while read -r data; do
	text=$(echo "$data" | base64 -d)
	if ends=$(date -d "$text" +%s 2>/dev/null); then
		text="in $(((ends - $(date +%s) + 1800) / 3600))h"
	fi
	sed -i "s|: $data\$|: \"$text\"|" "$out/objects.yaml"
done
rm -r "$out/said" /etc/kubernetes/tmp

# What it leaves on the machine. Of certificates that kubelets have, the first is in kubelet.conf; they put it where it is looked for in the end.
for phase in "certs all" "kubeconfig all" "etcd local" "control-plane all" "kubelet-start"; do
	"$kubeadm" init phase $phase --config "$here/kubeadm.yaml"
done
certificate=$(sed -n 's/^ *client-certificate-data: //p' /etc/kubernetes/kubelet.conf)
(umask 077 && mkdir /var/lib/kubelet/pki && echo "$certificate" | base64 -d >/var/lib/kubelet/pki/kubelet-client-current.pem)
"$kubeadm" init phase kubelet-finalize enable-client-cert-rotation --config "$here/kubeadm.yaml"
find /etc/kubernetes /var/lib/kubelet -type f -printf '%m %p\n' | LC_ALL=C sort -k 2 >"$out/modes"

# The first thing that it does in the API is no part of a dry run. Nobody hears it, but it says what it asks.
"$kubeadm" init phase mark-control-plane --config "$here/kubeadm.yaml" -v 8 2>"$out/said" || true
sed -n '/"Request Body"/,/^ >/ s/^\t//p; /^ >/ q' "$out/said" >"$out/cluster-admins.dump"
rm "$out/said"

authority=$(base64 -w 0 /etc/kubernetes/pki/ca.crt)
cut -d ' ' -f 2 "$out/modes" | grep -v '\.key$' | while read -r file; do
	mkdir -p "$out/host$(dirname "$file")"
	sed "s|: $authority\$|: CA|; s|^\( *client-key-data:\) .*|\1 KEY|" "$file" >"$out/host$file"
done
INSIDE
rmdir --ignore-fail-on-non-empty /etc/kubernetes /var/lib/kubelet
