package kubelet

import (
	"cmp"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

const unit = "kubelet.service"

// service is the unit of Kubernetes' own packages (cmd/krel/templates/latest/kubelet/kubelet.service in kubernetes/release), which start it without its container runtime and let it wait.
func service(runtime string) string {
	return `# Kubewright wrote this, and writes it again when it is changed here: change kubelet in the cluster file, or put more beside it with "systemctl edit".
[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target ` + runtime + `
After=network-online.target ` + runtime + `
StartLimitIntervalSec=0

[Service]
ExecStart=` + bundle.ProgramPath("kubelet") + `
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
`
}

// userFlags are where packages have people put flags, by package manager.
var userFlags = map[string]string{"apt": "/etc/default/kubelet", "dnf": "/etc/sysconfig/kubelet"}

// dropIn is what the packages of kubeadm add to it (cmd/krel/templates/latest/kubeadm/10-kubeadm.conf), by which kubeadm knows a kubelet. It names the program's blob, so
// that another program is another drop-in: the unit is started anew by what changes in its own step, and the program is in one before.
// A kubelet that stands alone has no kubeconfig.
func dropIn(f facts.Host, program resource.Program, standalone bool) string {
	kubeconfig := "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
	if standalone {
		kubeconfig = ""
	}
	return `# Kubewright wrote this, and writes it again when it is changed here.
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=` + kubeconfig + `"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
Environment="KUBEWRIGHT_PROGRAM=` + program.Blob + `"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
# Flags of yours, as a last resort: KUBELET_EXTRA_ARGS.
EnvironmentFile=-` + cmp.Or(userFlags[f.Packages], userFlags["apt"]) + `
ExecStart=
ExecStart=` + bundle.ProgramPath("kubelet") + ` $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`
}
