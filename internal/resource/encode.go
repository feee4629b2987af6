package resource

import (
	"encoding/json"
	"fmt"
)

// Encoded is a resource or a probe on its way to an agent.
type Encoded struct {
	Kind string          `json:"kind"`
	Spec json.RawMessage `json:"spec"`
}

// Encode makes a resource ready to travel.
func Encode(r Resource) (Encoded, error) { return encode(r.ID().Kind, r) }

// EncodeProbe makes a probe ready to travel.
func EncodeProbe(p Probe) (Encoded, error) { return encode(p.ID().Kind, p) }

func encode(kind string, v any) (Encoded, error) {
	spec, err := json.Marshal(v)
	if err != nil {
		return Encoded{}, fmt.Errorf("encoding %s: %w", kind, err)
	}
	return Encoded{kind, spec}, nil
}

// Decode is the reverse of Encode. All kinds of resources stand here.
func Decode(e Encoded) (Resource, error) {
	switch e.Kind {
	case "file":
		return decode[File](e)
	case "directory":
		return decode[Directory](e)
	case "link":
		return decode[Link](e)
	case "block":
		return decode[Block](e)
	case "fstab":
		return decode[FstabSwap](e)
	case "swap":
		return decode[Swap](e)
	case "hostname":
		return decode[Hostname](e)
	case "sysctl":
		return decode[Sysctl](e)
	case "sysctl-file":
		return decode[SysctlFile](e)
	case "module":
		return decode[KernelModule](e)
	case "selinux":
		return decode[SELinux](e)
	case "firewall":
		return decode[FirewallPorts](e)
	case "identity":
		return decode[Identity](e)
	case "unit":
		return decode[Unit](e)
	case "program":
		return decode[Program](e)
	case "images":
		return decode[Images](e)
	case "pods":
		return decode[Pods](e)
	case "pod-restart":
		return decode[PodRestart](e)
	case "static-pod-started":
		return decode[StaticPodStarted](e)
	case "static-pods-gone":
		return decode[StaticPodsGone](e)
	case "unit-stopped":
		return decode[UnitStopped](e)
	case "set-aside":
		return decode[SetAside](e)
	case "pod-network":
		return decode[PodNetwork](e)
	case "packages":
		return decode[Packages](e)
	case "authority":
		return decode[Authority](e)
	case "certificate":
		return decode[Certificate](e)
	case "kubeconfig":
		return decode[Kubeconfig](e)
	case "kubelet-identity":
		return decode[KubeletIdentity](e)
	case "kubelet-bootstrap":
		return decode[KubeletBootstrap](e)
	case "kubelet-joined":
		return decode[KubeletJoined](e)
	case "pod-range-file":
		return decode[PodRangeFile](e)
	case "shared-file":
		return decode[SharedFile](e)
	case "object":
		return decode[KubeObject](e)
	case "objects":
		return decode[KubeObjects](e)
	case "bootstrap-token":
		return decode[BootstrapToken](e)
	case "node":
		return decode[Node](e)
	case "etcd-member":
		return decode[EtcdMember](e)
	case "etcd-vote":
		return decode[EtcdVote](e)
	case "etcd-member-absent":
		return decode[EtcdMemberAbsent](e)
	case "node-absent":
		return decode[NodeAbsent](e)
	case "cordon":
		return decode[Cordon](e)
	case "drain":
		return decode[Drain](e)
	}
	return nil, fmt.Errorf("resource of kind %q: this agent knows none", e.Kind)
}

// DecodeProbe is the reverse of EncodeProbe. All kinds of probes stand here.
func DecodeProbe(e Encoded) (Probe, error) {
	switch e.Kind {
	case "unit-active":
		return decode[UnitActive](e)
	case "answers":
		return decode[Answers](e)
	case "runtime-answers":
		return decode[RuntimeAnswers](e)
	case "node-ready":
		return decode[NodeReady](e)
	case "rollout":
		return decode[Rollout](e)
	case "http-answers":
		return decode[HTTPAnswers](e)
	case "static-pod":
		return decode[StaticPodRuns](e)
	case "external-etcd-answers":
		return decode[ExternalEtcdAnswers](e)
	}
	return nil, fmt.Errorf("probe of kind %q: this agent knows none", e.Kind)
}

func decode[T any](e Encoded) (T, error) {
	var v T
	if err := json.Unmarshal(e.Spec, &v); err != nil {
		return v, fmt.Errorf("decoding %s: %w", e.Kind, err)
	}
	return v, nil
}
