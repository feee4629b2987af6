package v1alpha1

// APIVersion and Kind are what a cluster file begins with.
const (
	APIVersion = "kubewright.dev/v1alpha1"
	Kind       = "Cluster"
)

// Cluster is a cluster file.
type Cluster struct {
	// APIVersion is kubewright.dev/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Cluster.
	Kind string `json:"kind"`
	// Name of the cluster: a DNS label. It names the cluster in kubeconfigs, certificates and questions.
	Name string `json:"name"`
	// SSH is how all hosts are reached, unless a host says otherwise.
	SSH SSH `json:"ssh,omitempty"`
	// Hosts are the machines of the cluster.
	Hosts []Host `json:"hosts"`
	// HostPreparation is what is made true of every host before anything runs on it.
	HostPreparation HostPreparation `json:"hostPreparation,omitempty"`
	// TimeSync is how clocks are kept together.
	TimeSync TimeSync `json:"timeSync,omitempty"`
	// Runtime is the container runtime.
	Runtime Runtime `json:"runtime,omitempty"`
	// Registries are the image registries that need something said about them.
	Registries []Registry `json:"registries,omitempty"`
	// Files are files of yours that hosts shall have.
	Files []File `json:"files,omitempty"`
	// KubernetesVersion is the version of the cluster, such as v1.37.1; that of the newest bundle in the store by default. What is in use is better said here:
	// otherwise a new bundle is a wish for another version.
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Endpoint is where the API is found.
	Endpoint Endpoint `json:"endpoint,omitempty"`
	// Network is the network of Pods and Services.
	Network Network `json:"network,omitempty"`
	// Etcd are the options of etcd.
	Etcd EtcdOptions `json:"etcd,omitempty"`
	// ControlPlane are the options of hosts with that role.
	ControlPlane ControlPlaneOptions `json:"controlPlane,omitempty"`
	// APIServer are the options of API servers.
	APIServer APIServer `json:"apiServer,omitempty"`
	// ControllerManager are the options of controller managers.
	ControllerManager Program `json:"controllerManager,omitempty"`
	// Scheduler are the options of schedulers.
	Scheduler Program `json:"scheduler,omitempty"`
	// KubeProxy are the options of kube-proxy.
	KubeProxy KubeProxy `json:"kubeProxy,omitempty"`
	// Kubelet are the options of kubelets.
	Kubelet Kubelet `json:"kubelet,omitempty"`
	// Certificates are how keys and certificates are made.
	Certificates Certificates `json:"certificates,omitempty"`
	// Encryption is what etcd holds encrypted.
	Encryption Encryption `json:"encryption,omitempty"`
	// Audit is the record of requests that API servers keep.
	Audit Audit `json:"audit,omitempty"`
	// Addons are what runs in every cluster.
	Addons Addons `json:"addons,omitempty"`
	// CloudProvider is external for clusters with a cloud controller manager of yours; none by default.
	CloudProvider string `json:"cloudProvider,omitempty"`
}

// SSH is how a host is reached.
type SSH struct {
	// Port of sshd; what ~/.ssh/config says by default, or 22.
	Port int `json:"port,omitempty"`
	// User to log in as: root, or one that may use sudo; what ~/.ssh/config says by default, or root.
	User string `json:"user,omitempty"`
	// Key is the file of a private key, relative to the cluster file; ~/ is your home directory. By default ssh-agent, ~/.ssh/config and
	// ~/.ssh/id_* are tried.
	Key string `json:"key,omitempty"`
	// Bastion is a host to go through: [user@]address[:port]; what ~/.ssh/config says by default (ProxyJump), or none.
	Bastion string `json:"bastion,omitempty"`
}

// Role is what a host does in the cluster.
type Role string

// The roles.
const (
	ControlPlane Role = "control-plane"
	Etcd         Role = "etcd"
	Worker       Role = "worker"
	LoadBalancer Role = "loadbalancer"
)

// Roles are all roles, in the order in which they are shown.
var Roles = []Role{ControlPlane, Etcd, Worker, LoadBalancer}

// Host is a machine, or a range of machines that differ in their names and addresses only.
type Host struct {
	// Name of the host: a DNS name in lower case, which becomes its host name and its node's name. A range such as worker[001-200] stands for as
	// many hosts; its addresses must be ranges of as many, too.
	Name string `json:"name"`
	// Address that Kubewright reaches it by: an IP address, a range such as 10.0.0.[11-13], or a DNS name.
	Address string `json:"address"`
	// InternalAddresses are the IP addresses that other hosts reach it by, one for each address family; its address by default, if that is an IP address,
	// and otherwise found out on the host. The first is its node's. Ranges as in address.
	InternalAddresses []string `json:"internalAddresses,omitempty"`
	// SSH overrides how it is reached.
	SSH SSH `json:"ssh,omitempty"`
	// Roles of the host, at least one. A control plane carries a member of etcd unless some host has the role etcd.
	Roles []Role `json:"roles"`
	// Labels of its node.
	Labels map[string]string `json:"labels,omitempty"`
	// Taints of its node. Control planes that are not workers have node-role.kubernetes.io/control-plane:NoSchedule, too.
	Taints []Taint `json:"taints,omitempty"`
}

// TaintEffect is what becomes of Pods that don't tolerate a taint.
type TaintEffect string

// The effects.
const (
	NoSchedule       TaintEffect = "NoSchedule"
	PreferNoSchedule TaintEffect = "PreferNoSchedule"
	NoExecute        TaintEffect = "NoExecute"
)

// Taint keeps Pods off a node that don't tolerate it.
type Taint struct {
	// Key of the taint.
	Key string `json:"key"`
	// Value of the taint; may be empty.
	Value string `json:"value,omitempty"`
	// Effect is NoSchedule, PreferNoSchedule or NoExecute.
	Effect TaintEffect `json:"effect"`
}

// Handling says what becomes of something that a host already has.
type Handling string

// What can become of a firewall: Open opens the ports that the cluster needs, Disable stops it, Leave leaves it alone. Of SELinux: Permissive lets all
// happen and logs it, Leave leaves it alone.
const (
	Open       Handling = "open"
	Disable    Handling = "disable"
	Leave      Handling = "leave"
	Permissive Handling = "permissive"
)

// HostPreparation is what is made true of every host.
type HostPreparation struct {
	// Hostname says whether a host's name is set to its name here; true by default.
	Hostname *bool `json:"hostname,omitempty"`
	// Swap says whether swap may stay; false by default: it is off now and after restarts.
	Swap *bool `json:"swap,omitempty"`
	// Firewall is what becomes of a firewall that runs: open (default), disable or leave.
	Firewall Handling `json:"firewall,omitempty"`
	// SELinux is what becomes of SELinux where it is enforcing: permissive (default) or leave.
	SELinux Handling `json:"selinux,omitempty"`
	// Packages are installed in addition to those that clusters need, by Debian's names, such as xfsprogs for volumes with XFS. The bundle has to have them:
	// "kubewright bundle show --packages" lists what it has.
	Packages []string `json:"packages,omitempty"`
	// KernelModules are loaded in addition to those that clusters need.
	KernelModules []string `json:"kernelModules,omitempty"`
	// Sysctls are set in addition to those that clusters need, and instead of them where they have the same name. An empty value leaves one
	// as it is. fs.nr_open is openFiles at least.
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// OpenFiles is the limit of open files of services and sessions, 1024 to 1073741824; 1048576 by default. Services begin with 1024, and may raise it so far.
	OpenFiles int `json:"openFiles,omitempty"`
	// TimeZone of hosts, such as Europe/Berlin; left alone by default.
	TimeZone string `json:"timeZone,omitempty"`
	// JournalSize is the room that the journal may take, such as 1G (default).
	JournalSize string `json:"journalSize,omitempty"`
}

// TimeSync is how clocks are kept together. Certificates and leases need clocks that agree within two seconds.
type TimeSync struct {
	// Mode is chrony, or leave for hosts whose clocks are somebody else's business; a clock that is off is refused all the same. By default it is
	// chrony if servers or serverHosts are given, and leave otherwise: what keeps the clocks of hosts usually does it well. With chrony and
	// neither of them, control planes serve time to all and follow each other.
	Mode string `json:"mode,omitempty"`
	// Servers outside of the cluster, by address or DNS name.
	Servers []string `json:"servers,omitempty"`
	// ServerHosts are names of hosts that ask the servers and serve time to all other hosts; control planes by default, if there are no
	// servers outside. Ranges as in hosts.
	ServerHosts []string `json:"serverHosts,omitempty"`
}

// Runtime is the container runtime.
type Runtime struct {
	// Name is containerd.
	Name string `json:"name,omitempty"`
	// Root is the directory of images and containers, for them alone, such as /data/containerd where /data is mounted; /var/lib/containerd by default.
	Root string `json:"root,omitempty"`
	// MaxConcurrentDownloads of layers of one image; 3 by default.
	MaxConcurrentDownloads int `json:"maxConcurrentDownloads,omitempty"`
}

// Registry is what is to be known of an image registry.
type Registry struct {
	// Host as it stands in image names, with its port if it has one: docker.io, registry.example:5000.
	Host string `json:"host"`
	// Mirrors are asked first, in this order: https://mirror.example[/path], or http://.
	Mirrors []string `json:"mirrors,omitempty"`
	// CA is a file of certificates, relative to the cluster file, that are trusted for it and its mirrors.
	CA string `json:"ca,omitempty"`
	// Insecure says that its certificate is not verified; false by default.
	Insecure bool `json:"insecure,omitempty"`
	// Credentials to log in with.
	Credentials *Credentials `json:"credentials,omitempty"`
}

// Credentials are a name and where its password is found. The password itself never stands in the cluster file.
type Credentials struct {
	// Username to log in as.
	Username string `json:"username"`
	// PasswordFile holds the password, relative to the cluster file. One of it, passwordEnv and passwordCommand.
	PasswordFile string `json:"passwordFile,omitempty"`
	// PasswordEnv is the environment variable that holds the password when Kubewright runs.
	PasswordEnv string `json:"passwordEnv,omitempty"`
	// PasswordCommand prints the password: a program and its arguments.
	PasswordCommand []string `json:"passwordCommand,omitempty"`
}

// File is a file of yours that hosts shall have.
type File struct {
	// Source is the file here, relative to the cluster file.
	Source string `json:"source"`
	// Path is where hosts have it.
	Path string `json:"path"`
	// Mode is its permissions in octal; "0644" by default.
	Mode string `json:"mode,omitempty"`
	// Owner is its user and group, by name; root:root by default.
	Owner string `json:"owner,omitempty"`
	// Roles of hosts that have it; all hosts by default.
	Roles []Role `json:"roles,omitempty"`
}
