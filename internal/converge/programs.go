package converge

import (
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/component/clusterobjects"
	"github.com/kubewright/kubewright/internal/component/controlplane"
	"github.com/kubewright/kubewright/internal/component/etcd"
)

// programs are what kubeadm has to be told of the programs of the control plane, so that an upgrade by it keeps that.
func programs(c *cluster.Cluster) (map[string]clusterobjects.Program, error) {
	flags, err := etcd.OwnFlags(c)
	if err != nil {
		return nil, err
	}
	all := map[string]clusterobjects.Program{"etcd": {Args: flags}}
	for name, p := range controlplane.Programs(c) {
		program := clusterobjects.Program{Args: p.Flags}
		for _, m := range p.Mounts {
			program.Volumes = append(program.Volumes, clusterobjects.Volume{
				Name: m.Name, HostPath: m.Path, MountPath: m.Path, ReadOnly: !m.Writable, PathType: string(m.Type)})
		}
		all[name] = program
	}
	return all, nil
}
