package controlplane

import (
	"cmp"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
	"github.com/kubewright/kubewright/internal/staticpod"
)

// signedFor is for how long controller managers sign certificates by themselves (--cluster-signing-duration).
const signedFor = 365 * 24 * time.Hour

// controllerManagerPod is a controller manager as kubeadm 1.37 runs it (GetStaticPodSpecs).
func controllerManagerPod(c *cluster.Cluster, f facts.Host, image string) corev1.Pod {
	const port = 10257
	extra := c.ControllerManager.ExtraArgs
	asked := bound(extra)
	return staticpod.Pod(corev1.Container{
		Name: controllerManager, Image: image,
		Command:       staticpod.Command(controllerManager, controllerManagerFlags(c), extra),
		Resources:     staticpod.Requests(map[corev1.ResourceName]string{corev1.ResourceCPU: "200m"}),
		LivenessProbe: asked.Liveness("/healthz"),
		StartupProbe:  asked.Startup("/healthz"),
		Ports:         staticpod.Port(port),
	}, append(authorities(f), keys, kubeconfig(controllerManagerConf)), nil)
}

// bound is where a program is asked that answers on loopback, unless a flag of the user's says otherwise (GetControllerManagerProbeAddress in kubeadm).
func bound(extra map[string]string) staticpod.Endpoint {
	return staticpod.Endpoint{Scheme: corev1.URISchemeHTTPS, Host: staticpod.Local(cmp.Or(extra["bind-address"], loopback))}
}

const loopback = "127.0.0.1"

// controllerManagerFlags are kubeadm's (getControllerManagerCommand), and what the cluster file says of nodes' ranges and certificates.
func controllerManagerFlags(c *cluster.Cluster) map[string]string {
	const pki = resource.PKIDir
	const conf = kubernetesDir + "/" + controllerManagerConf
	flags := map[string]string{
		"bind-address":                     loopback,
		"leader-elect":                     "true",
		"kubeconfig":                       conf,
		"authentication-kubeconfig":        conf,
		"authorization-kubeconfig":         conf,
		"client-ca-file":                   pki + "/ca.crt",
		"requestheader-client-ca-file":     pki + "/front-proxy-ca.crt",
		"root-ca-file":                     pki + "/ca.crt",
		"service-account-private-key-file": pki + "/sa.key",
		"cluster-signing-cert-file":        pki + "/ca.crt",
		"cluster-signing-key-file":         pki + "/ca.key",
		"use-service-account-credentials":  "true",
		"controllers":                      "*,bootstrapsigner,tokencleaner",
		"allocate-node-cidrs":              "true",
		"cluster-cidr":                     strings.Join(c.Network.PodRanges, ","),
		"service-cluster-ip-range":         strings.Join(c.Network.ServiceRanges, ","),
		"cluster-name":                     c.Name,
	}
	maps.Copy(flags, ownControllerManagerFlags(c))
	return flags
}

// ownControllerManagerFlags are those that kubeadm does not give them itself.
func ownControllerManagerFlags(c *cluster.Cluster) map[string]string {
	flags := map[string]string{}
	for name, mask := range nodeMasks(c) {
		flags[name] = strconv.Itoa(mask)
	}
	if v := c.CertificateValidity(); v != signedFor { // those of kubelets
		flags["cluster-signing-duration"] = v.String()
	}
	if c.CloudProvider != "" {
		flags["cloud-provider"] = c.CloudProvider
	}
	return flags
}

// nodeMasks are how large a node's part of each range is. Of two ranges each is said by its family, and of one alone without (setNodeCIDRMaskSizes in
// cmd/kube-controller-manager/app/core.go).
func nodeMasks(c *cluster.Cluster) map[string]int {
	masks := map[string]int{}
	for _, r := range c.Network.PodRanges {
		p, err := netip.ParsePrefix(r)
		if err != nil {
			continue // the cluster file was checked
		}
		family, mask := "-ipv4", c.Network.NodeMask
		if p.Addr().Is6() {
			family, mask = "-ipv6", c.Network.NodeMaskIPv6
		}
		if len(c.Network.PodRanges) == 1 {
			family = ""
		}
		masks["node-cidr-mask-size"+family] = mask
	}
	return masks
}
