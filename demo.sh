#!/bin/sh
# Shows what there is: five machines, a look round, a cut network, a power cut, and back to fresh.
set -eu
kw() {
	printf '\n\033[1m$ kubewright machines --set demo %s\033[0m\n' "$*"
	bin/kubewright machines --set demo "$@"
}
[ -t 1 ] || kw() {
	printf '\n$ kubewright machines --set demo %s\n' "$*"
	bin/kubewright machines --set demo "$@"
}

kw up --count 5
m2=$(bin/kubewright machines --set demo list -o json | grep -A2 '"m2"' | sed -n 's/.*"address": "\(.*\)".*/\1/p')
kw ssh m1 -- 'hostnamectl | head -n 8; df -h / | tail -n 1; sudo -u admin sudo id'
kw cut m1 m2
kw ssh m1 -- "ping -c 1 -W 1 $m2 >/dev/null && echo m2 answers || echo m2 does not answer"
kw heal m1
kw ssh m1 -- "ping -c 1 -W 1 $m2 >/dev/null && echo m2 answers || echo m2 does not answer"
kw ssh m3 -- 'echo "written before the power cut" >/root/note'
kw kill m3
kw start m3
kw ssh m3 -- cat /root/note
kw reset m3
kw ssh m3 -- 'ls /root/note 2>/dev/null || echo m3 is fresh'
kw list
cat <<'EOF'

Five machines are up. Try:
  bin/kubewright machines ssh m1 --set demo
  bin/kubewright machines limit m2 10mbit --set demo
  bin/kubewright machines kill --all --set demo && bin/kubewright machines start --all --set demo
  bin/kubewright machines down --all --set demo       # nothing is left
EOF
