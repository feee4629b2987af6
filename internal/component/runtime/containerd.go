package runtime

import (
	"fmt"
	"path"
	"strings"

	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	containerdUnit   = "containerd.service"
)

// containerd 2.4 and what goes with it.
func containerd() engine {
	return engine{
		socket:  containerdSocket,
		unit:    containerdUnit,
		content: func(root string) string { return path.Join(root, "io.containerd.content.v1.content/blobs") }, // plugins/content/local of containerd
		packages: func(f facts.Host) []string {
			if f.AppArmor {
				return []string{"apparmor", "ca-certificates"} // apparmor_parser loads the profile of containers; with it comes a Python
			}
			return []string{"ca-certificates"}
		},
		programs: []string{"runc", "containerd-shim-runc-v2", "containerd", "ctr", "crictl", "cni"},
		resources: func(in Input, f facts.Host, pause string) []resource.Resource {
			config := resource.NewFile("/etc/containerd/config.toml", containerdConfig(in.Cluster, f, pause))
			unit := resource.NewFile("/etc/systemd/system/"+containerdUnit, containerdService(in.Cluster, f))
			list := []resource.Resource{
				// containerd makes these itself, with these modes; here they stand so that they go with it.
				resource.Directory{Path: in.Cluster.Runtime.Root, Mode: 0o700, Purge: true},
				resource.Directory{Path: "/run/containerd", Mode: 0o711, Purge: true},
				resource.Directory{Path: "/run/nri", Mode: 0o700, Purge: true},
				resource.Directory{Path: "/etc/cni/net.d", Purge: true}, // network plugins put their configuration there
				resource.Directory{Path: "/var/lib/cni", Purge: true},   // and remember there which addresses Pods have
				resource.Directory{Path: "/etc/containerd"},
				config,
			}
			list = append(list, registries(in.Cluster)...)
			return append(list,
				resource.NewFile("/etc/crictl.yaml", crictlConfig),
				unit,
				resource.Unit{Name: containerdUnit, Active: true, Enabled: true,
					RestartOn: []resource.ID{config.ID(), unit.ID(), resource.Program{Name: "containerd"}.ID()}},
				podNetwork(in.Cluster),
				resource.Pods{
					Kubelet: kubeletUnit, Runtime: containerdUnit,
					Remove:     []string{bundle.ProgramPath("crictl"), "--runtime-endpoint", "unix://" + containerdSocket, "--timeout", "2m", "rmp", "--all", "--force"},
					Tasks:      "/run/containerd/io.containerd.runtime.v2.task/k8s.io",
					Mounts:     []string{kubeletRoot, "/run/containerd"},
					Namespaces: "/run/netns/cni-", // pkg/netns of containerd
					Slice:      "kubepods.slice",
				},
			)
		},
		ensures: []resource.Probe{
			resource.UnitActive{Name: containerdUnit},
			resource.RuntimeAnswers{Name: "containerd", Socket: "unix://" + containerdSocket},
		},
		images: func(in Input, images []resource.Image) resource.Resource {
			return resource.Images{Images: images, Socket: containerdSocket, Root: in.Cluster.Runtime.Root}
		},
	}
}

const crictlConfig = `# Kubewright wrote this, and writes it again when it is changed here.
runtime-endpoint: unix://` + containerdSocket + `
image-endpoint: unix://` + containerdSocket + `
timeout: 10
`

// containerdConfig is config.toml in the version that containerd 2.4 has (docs/man/containerd-config.toml.5.md). What it leaves out is as containerd has it;
// people may add to it in /etc/containerd/conf.d, which is named in it: containerd reads no other by itself then.
func containerdConfig(c *cluster.Cluster, f facts.Host, pause string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Kubewright wrote this, and writes it again when it is changed here: change runtime in the cluster file, or put more into /etc/containerd/conf.d.")
	line("version = 4")
	line(`imports = ["/etc/containerd/conf.d/*.toml"]`)
	line("root = %s", quote(c.Runtime.Root))
	line("# It is for installing programs by containerd, below /opt.")
	line(`disabled_plugins = ["io.containerd.internal.v1.opt"]`)
	line("\n[plugins.%s]", quote("io.containerd.cri.v1.images")+".pinned_images")
	line("sandbox = %s", quote(pause))
	line("\n[plugins.%s]", quote("io.containerd.cri.v1.images")+".registry")
	line("config_path = %s", quote(registriesDir))
	line("\n[plugins.%s]", quote("io.containerd.cri.v1.runtime"))
	line("# Every second, as containerd 2.4 has it, each container is asked twice what it uses; kubelets and metrics-server ask less often.")
	line(`stats_collect_period = "10s"`)
	if !f.RaisePriority {
		line("# This machine may not let processes be spared when memory runs out.")
		line("restrict_oom_score_adj = true")
	}
	line("\n[plugins.%s]", quote("io.containerd.cri.v1.runtime")+".containerd.runtimes.runc.options")
	line("BinaryName = %s", quote(bundle.ProgramPath("runc")))
	line("SystemdCgroup = true")
	line("\n[plugins.%s]", quote("io.containerd.cri.v1.runtime")+".cni")
	line(`bin_dirs = ["/opt/cni/bin"]`)
	line(`conf_dir = "/etc/cni/net.d"`)
	line("\n[plugins.%s]", quote("io.containerd.transfer.v1.local")) // the CRI's own key would make it pull in the old way
	line("max_concurrent_downloads = %d", c.Runtime.MaxConcurrentDownloads)
	line("config_path = %s", quote(registriesDir))
	return b.String()
}

// containerdService is upstream's unit (containerd.service of v2.4), with the limit of open files that the cluster file says.
func containerdService(c *cluster.Cluster, f facts.Host) string {
	spared := "OOMScoreAdjust=-999\n"
	if !f.RaisePriority {
		spared = "" // systemd would not start it
	}
	return `# Kubewright wrote this, and writes it again when it is changed here: change runtime in the cluster file, or put more beside it with "systemctl edit".
[Unit]
Description=containerd container runtime
Documentation=https://containerd.io
After=network.target local-fs.target dbus.service

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=` + bundle.ProgramPath("containerd") + `

Type=notify
# Containers live on when containerd is restarted.
Delegate=yes
KillMode=process
Restart=always
RestartSec=5

# Counting costs time; containers are limited by control groups.
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=` + fmt.Sprint(c.HostPreparation.OpenFiles) + `
TasksMax=infinity
` + spared + `
[Install]
WantedBy=multi-user.target
`
}
