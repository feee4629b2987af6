#!/bin/sh
# Shows what there is: a highly available cluster on five local machines by plan and apply; a server on it that can be asked; a control plane that loses its
# power. The cluster is left running, and DIR with what is needed to go on.
set -eu
dir=${DEMO_DIR:-$HOME/kubewright-demo}
mkdir -p "$dir/home/.ssh"
set="--set demo"
say() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
data=${XDG_DATA_HOME:-$HOME/.local/share}
kw() {
	say "\$ kubewright $*"
	XDG_DATA_HOME="$data" HOME="$dir/home" bin/kubewright "$@"
}
machines() {
	say "\$ kubewright machines $*"
	bin/kubewright machines $set "$@"
}
on() { bin/kubewright machines $set ssh "$@"; }
machines up --count 5

# The machines' host keys are known from the start, so nobody is asked about them.
cp "$(bin/kubewright machines list $set -o json | sed -n 's/^ *"knownHosts": "\(.*\)",*$/\1/p')" "$dir/home/.ssh/known_hosts"
rm -f "$dir/cluster.yaml"
kw init "$dir/cluster.yaml" --name demo --from-machines $set
cat "$dir/cluster.yaml"
address() { sed -n "s/.*{name: $1, address: \([^,]*\),.*/\1/p" "$dir/cluster.yaml"; }

kw plan "$dir/cluster.yaml" | tail -n 1
kw apply "$dir/cluster.yaml" --yes | tail -n 2
kw runs show
kw apply "$dir/cluster.yaml" --yes # does nothing
kw status "$dir/cluster.yaml"
kw kubeconfig "$dir/cluster.yaml" -o "$dir/kubeconfig"

# kubectl is in the bundle, and so is an image to try things with, which is on no host by itself.
version=$(bin/kubewright bundle list -o json | sed -n 's/^ *"kubernetes": "\(.*\)",*$/\1/p' | head -n 1)
[ -x "$dir/usr/local/bin/kubectl" ] || bin/kubewright bundle unpack "$version" programs "$dir" >/dev/null
kubectl() {
	say "\$ kubectl $*"
	KUBECONFIG="$dir/kubeconfig" "$dir/usr/local/bin/kubectl" "$@"
}
image=$(bin/kubewright bundle show "$version" --output json | sed -n 's/^ *"name": "\(.*\/agnhost:.*\)",*$/\1/p')
say "loading $image on m4 and m5"
rm -f "$dir/agnhost.tar"
skopeo copy --quiet "oci:$data/kubewright/bundles:$image" "oci-archive:$dir/agnhost.tar:$image"
for m in m4 m5; do
	on "$m" -- ctr --namespace k8s.io images import - <"$dir/agnhost.tar" >/dev/null
done
kubectl apply -f - <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "$image", args: [netexec, --http-port=8080], readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
END
kubectl rollout status deployment/web --timeout=120s
kubectl get nodes,pods --output wide
say "\$ curl http://$(address m4):30080/hostname"
curl --silent --show-error --max-time 10 --retry 5 --retry-all-errors "http://$(address m4):30080/hostname"
echo

machines kill m3 # a control plane loses its power
say "\$ curl http://$(address m5):30080/hostname"
curl --silent --show-error --max-time 10 --retry 5 --retry-all-errors "http://$(address m5):30080/hostname"
echo
kubectl get pods --selector app=web
machines start m3
cat <<END

The cluster is up. Try:
  export KUBECONFIG=$dir/kubeconfig PATH=\$PATH:$dir/usr/local/bin
  kubectl get nodes
  kubectl top nodes
  curl http://$(address m4):30080/hostname
  HOME=$dir/home XDG_DATA_HOME=$data bin/kubewright status $dir/cluster.yaml
  bin/kubewright machines ssh m1 --set demo
  bin/kubewright machines cut m1 m2 --set demo        # and heal
  HOME=$dir/home XDG_DATA_HOME=$data bin/kubewright reset --all --file $dir/cluster.yaml
  bin/kubewright machines down --all --set demo       # nothing is left
END
