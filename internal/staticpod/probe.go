package staticpod

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// port is the name of the port that probes ask.
const port = "probe-port"

// Port is the one that probes ask.
func Port(number int32) []corev1.ContainerPort {
	return []corev1.ContainerPort{{Name: port, ContainerPort: number, Protocol: corev1.ProtocolTCP}}
}

// Endpoint is where a container says how it is.
type Endpoint struct {
	Scheme corev1.URIScheme
	// Host is an address; the node's if empty.
	Host string
}

// Liveness starts the container anew when it is not well for 80 s.
func (e Endpoint) Liveness(path string) *corev1.Probe { return e.probe(path, 10, 8, 10) }

// Readiness says soon when it is well, and when it is not.
func (e Endpoint) Readiness(path string) *corev1.Probe { return e.probe(path, 0, 3, 1) }

// Startup gives it four minutes (ControlPlaneComponentHealthCheckTimeout in kubeadm).
func (e Endpoint) Startup(path string) *corev1.Probe { return e.probe(path, 10, 24, 10) }

// probe is one with a delay and a period in seconds. Each question may take 15 s.
func (e Endpoint) probe(path string, delay, failures, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: e.Host, Path: path, Port: intstr.FromString(port), Scheme: e.Scheme}},
		InitialDelaySeconds: delay, TimeoutSeconds: 15, FailureThreshold: failures, PeriodSeconds: period,
	}
}

// Local is the address at which to ask what is bound to another: one that stands for all of the host's is asked as the node.
func Local(bound string) string {
	if bound == "0.0.0.0" || bound == "::" {
		return ""
	}
	return bound
}
