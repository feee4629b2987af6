package controlplane

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// keys are those of the cluster.
var keys = staticpod.Mount{Name: "k8s-certs", Path: resource.PKIDir, Type: corev1.HostPathDirectoryOrCreate}

// file is one that has to be there: nothing may stand for it.
func file(name, path string) staticpod.Mount {
	return staticpod.Mount{Name: name, Path: path, Type: corev1.HostPathFile}
}

// kubeconfig is one of a program's own.
func kubeconfig(name string) staticpod.Mount {
	return staticpod.Mount{Name: "kubeconfig", Path: kubernetesDir + "/" + name, Type: corev1.HostPathFileOrCreate}
}

// linked are directories that links in /etc/ssl/certs lead to, by package manager. kubeadm mounts those of both that it finds (cmd/kubeadm/app/phases/controlplane/volumes.go).
var linked = map[string][]string{
	"apt": {"/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"},
	"dnf": {"/etc/pki/ca-trust", "/etc/pki/tls/certs"},
}

// authorities are what the host trusts.
func authorities(f facts.Host) []staticpod.Mount {
	mounts := []staticpod.Mount{{Name: "ca-certs", Path: "/etc/ssl/certs", Type: corev1.HostPathDirectoryOrCreate}}
	for _, dir := range linked[f.Packages] {
		mounts = append(mounts, staticpod.Mount{Name: strings.ReplaceAll(dir, "/", "-")[1:], Path: dir, Type: corev1.HostPathDirectoryOrCreate})
	}
	return mounts
}
