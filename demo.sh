#!/bin/sh
# Shows what there is: five machines made hosts of a cluster by plan and apply; a change by hand found and mended; a power cut; all put back.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
set="--set demo"
kw() {
	if [ -t 1 ]; then printf '\n\033[1m$ kubewright %s\033[0m\n' "$*"; else printf '\n$ kubewright %s\n' "$*"; fi
	bin/kubewright "$@"
}
kw machines up --count 5 $set

# The machines as a cluster file. Their host keys are known from the start, so nobody is asked about them.
list=$(bin/kubewright machines list $set -o json)
field() { printf '%s\n' "$list" | sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p"; }
{
	printf 'apiVersion: kubewright.dev/v1alpha1\nkind: Cluster\nname: demo\nssh: {user: root, key: %s}\nhosts:\n' "$(field identityFile)"
	field name | paste -d ' ' - /dev/null | while read -r name; do
		address=$(printf '%s\n' "$list" | grep -A 2 "\"name\": \"$name\"" | sed -n 's/^ *"address": "\(.*\)",*$/\1/p')
		case $name in m1 | m2 | m3) role=control-plane ;; *) role=worker ;; esac
		echo "- {name: $name, address: $address, roles: [$role]}"
	done
} >"$dir/cluster.yaml"
mkdir -p "$dir/home/.ssh" "$dir/home/data"
cp "$(field knownHosts)" "$dir/home/.ssh/known_hosts"
export XDG_DATA_HOME="${XDG_DATA_HOME:-$HOME/.local/share}" HOME="$dir/home"
cat "$dir/cluster.yaml"

kw plan "$dir/cluster.yaml"
kw apply "$dir/cluster.yaml" --yes
kw apply "$dir/cluster.yaml" --yes # does nothing
kw machines $set ssh m1 -- 'sysctl net.ipv4.ip_forward; crictl images; systemctl is-active containerd'
kw machines $set ssh m4 -- 'sysctl -qw net.ipv4.ip_forward=0; rm /usr/local/bin/runc'
kw plan "$dir/cluster.yaml"
kw apply "$dir/cluster.yaml" --yes
kw machines kill --all $set
kw machines start --all $set
kw plan "$dir/cluster.yaml" # all is back without Kubewright
kw runs show
kw reset --all --yes --file "$dir/cluster.yaml"
kw machines $set ssh m4 -- 'ls /var/lib/kubewright 2>/dev/null || echo as it was found'
cat <<'END'

Five machines are up. Try:
  bin/kubewright machines ssh m1 --set demo
  bin/kubewright machines limit m2 10mbit --set demo
  bin/kubewright machines down --all --set demo       # nothing is left
END
