package v1alpha1

// EndpointKind is how machines of the cluster find an API server that answers.
type EndpointKind string

// The kinds of endpoints.
const (
	// LocalEndpoint is a balancer on loopback of each worker, and its own API server on each control plane.
	LocalEndpoint EndpointKind = "local"
	// ExternalEndpoint is a balancer of the user's, at an address of its own.
	ExternalEndpoint EndpointKind = "external"
	// KeepalivedEndpoint is an address that wanders between hosts with balancers.
	KeepalivedEndpoint EndpointKind = "keepalived"
)

// Endpoint is where the API is found: a DNS name that stays for the life of the cluster, with the port of the API servers.
type Endpoint struct {
	// Kind is local (default): each worker has a balancer of its own on loopback. Or external: a balancer of yours is in front of all API servers, and "kubewright endpoint config" prints a
	// configuration for it. Or keepalived: one of several hosts with balancers holds an address that wanders. Each control plane asks its own API server, whatever the kind.
	Kind EndpointKind `json:"kind,omitempty"`
	// Name that hosts know the API by, a DNS name that they resolve in /etc/hosts; api.NAME.internal by default, NAME being the cluster's, or the address if that is a DNS name to which nodes are led. It
	// is in certificates and cannot be changed later.
	Name string `json:"name,omitempty"`
	// Address of an external balancer, an IP address or a DNS name; with keepalived the IP address that wanders, in the network of the hosts that hold it. People's kubeconfigs lead there, and workers'
	// too unless local is true. It is in certificates, and can be changed later.
	Address string `json:"address,omitempty"`
	// Port of an external balancer; that of API servers by default. With another one local has to be true: nodes know the API by one name and one port.
	Port int `json:"port,omitempty"`
	// Local has each worker have a balancer of its own besides: then only people are led to the address. Without effect for the kind local, which is that already; false by default.
	Local bool `json:"local,omitempty"`
	// Keepalived are the options of the kind keepalived.
	Keepalived Keepalived `json:"keepalived,omitempty"`
}

// HealthPort is where balancers of the kind keepalived say on loopback whether an API server answers through them.
const HealthPort = 16444

// Keepalived are the options of an address that wanders between hosts with balancers.
type Keepalived struct {
	// Role of the hosts that hold the address and have the balancers: loadbalancer or control-plane; loadbalancer by default if some host has that role, control-plane otherwise.
	Role Role `json:"role,omitempty"`
	// RouterID is the number of the address among others of VRRP in its network, 1 to 255; its last byte by default.
	RouterID int `json:"routerID,omitempty"`
	// Interval at which the holder says that it lives, 100ms to 990ms; 300ms by default. Another takes over after four of them at most.
	Interval string `json:"interval,omitempty"`
	// Priorities of hosts by name, 1 to 254: of those that are well, the one with the highest takes an address that nobody holds. By default 100 for the first one in the file, and one less for each after it.
	Priorities map[string]int `json:"priorities,omitempty"`
	// Preempt says whether a host with a higher priority takes the address away from another when it comes back, for which connections break; false by default.
	Preempt bool `json:"preempt,omitempty"`
	// BalancerPort is the one that balancers have on control planes, where API servers have theirs; 16443 by default. What comes to the address at the API's port is led there.
	BalancerPort int `json:"balancerPort,omitempty"`
	// Statistics is a page of each balancer's; none by default.
	Statistics Statistics `json:"statistics,omitempty"`
}

// Statistics is a page of a balancer's that says of each API server how it is and how many connections it has, over plain HTTP.
type Statistics struct {
	// Port of the page, at the address of each balancer's host; 9000 by default.
	Port int `json:"port,omitempty"`
	// Credentials that the page wants to be shown.
	Credentials Credentials `json:"credentials,omitempty"`
}

// Wanted says whether there is to be one: there is none without credentials.
func (s Statistics) Wanted() bool { return s.Credentials.Username != "" }

// Plugin is a network plugin.
type Plugin string

// The network plugins.
const (
	Flannel   Plugin = "flannel"
	Routed    Plugin = "routed"
	NoPlugin  Plugin = "none"
	VXLAN            = "vxlan"
	HostGW           = "host-gw"
	NFTables         = "nftables"
	IPTables         = "iptables"
	IPVS             = "ipvs"
	External         = "external"
	Secretbox        = "secretbox"
	AESGCM           = "aesgcm"
	AESCBC           = "aescbc"
	ECDSAP256        = "ECDSA-P256"
	ECDSAP384        = "ECDSA-P384"
	RSA2048          = "RSA-2048"
	RSA3072          = "RSA-3072"
	RSA4096          = "RSA-4096"
)

// Network is the network of Pods and Services.
type Network struct {
	// PodRanges are the addresses of Pods, one range for each address family, the first family being the one that Services have by default; 10.244.0.0/16 by default.
	PodRanges []string `json:"podRanges,omitempty"`
	// ServiceRanges are the addresses of Services, of the same families in the same order, at most 2^20 addresses each; 10.96.0.0/16 by default.
	ServiceRanges []string `json:"serviceRanges,omitempty"`
	// NodeMask is the length of the prefix of the IPv4 range that each node gets of the Pods' range; 24 by default: room for 253 Pods.
	NodeMask int `json:"nodeMask,omitempty"`
	// NodeMaskIPv6 is the same for IPv6; 64 by default.
	NodeMaskIPv6 int `json:"nodeMaskIPv6,omitempty"`
	// DNSDomain is the domain of the cluster's names; cluster.local by default.
	DNSDomain string `json:"dnsDomain,omitempty"`
	// Plugin is flannel (default); routed: your routers know the way to the range of each node, and nothing lies over your network ("kubewright network routes" prints what they have to hold); or none:
	// then one of yours has to be installed before nodes become ready.
	Plugin Plugin `json:"plugin,omitempty"`
	// Flannel are its options.
	Flannel FlannelOptions `json:"flannel,omitempty"`
	// Routed are the options of routed.
	Routed RoutedOptions `json:"routed,omitempty"`
	// MTU of Pods' interfaces, 576 to 65535, and 1280 at least with IPv6; by default what the hosts' interfaces leave.
	MTU int `json:"mtu,omitempty"`
	// Masquerade says whether what Pods send out of the cluster bears their node's address; true by default, and false with routed. False is for networks that know the way to Pods.
	Masquerade *bool `json:"masquerade,omitempty"`
}

// FlannelOptions are the options of flannel.
type FlannelOptions struct {
	// Backend is vxlan (default), or host-gw: routes and no overlay, for hosts in one network.
	Backend string `json:"backend,omitempty"`
	// Port of VXLAN; 8472 by default, as Linux has it.
	Port int `json:"port,omitempty"`
	// DirectRouting has VXLAN use routes between hosts in one network; false by default.
	DirectRouting bool `json:"directRouting,omitempty"`
}

// RoutedOptions are the options of routed.
type RoutedOptions struct {
	// Unmasqueraded are ranges that Pods send to with their own addresses although network.masquerade is true: networks whose routers know the way to Pods, such as 10.0.0.0/8. Those of Pods always are.
	Unmasqueraded []string `json:"unmasqueraded,omitempty"`
}

// EtcdOptions are those of etcd.
type EtcdOptions struct {
	// Quota is how large the database may become before it refuses writes, 128Mi to 16Gi; 8Gi by default, the largest that etcd recommends.
	Quota string `json:"quota,omitempty"`
	// CompactionRetention is for how long old revisions are kept, such as 5m or 8h, or how many are with compactionMode revision; 8h by default. The API server
	// compacts every 5 minutes besides.
	CompactionRetention string `json:"compactionRetention,omitempty"`
	// CompactionMode is periodic (default) or revision.
	CompactionMode string `json:"compactionMode,omitempty"`
	// DataDir is the directory of the data; /var/lib/etcd by default. A disk of its own for it is well spent.
	DataDir string `json:"dataDir,omitempty"`
	// ClientPort is the one that API servers reach members at; 2379 by default. It cannot be changed later.
	ClientPort int `json:"clientPort,omitempty"`
	// PeerPort is the one that members reach each other at; 2380 by default. It cannot be changed later.
	PeerPort int `json:"peerPort,omitempty"`
	// ExtraArgs are flags of etcd, without dashes. They take the place of Kubewright's own of the same name, but for those that other parts of the cluster rely on.
	ExtraArgs map[string]string `json:"extraArgs,omitempty"`
	// Events is a second cluster of etcd, for events alone, which are most of what large clusters write; none by default. What else is said of etcd holds for it, too.
	Events EtcdEvents `json:"events,omitempty"`
	// External is an etcd of your own, which the API uses and Kubewright leaves as it is; by default hosts of this file carry the members. It can be neither asked for nor taken back later.
	External ExternalEtcd `json:"external,omitempty"`
}

// ExternalEtcd is an etcd of the user's own.
type ExternalEtcd struct {
	// Endpoints are where its members answer clients, as control planes reach them: https://etcd1.example.com:2379. They may change later, if they lead to the same cluster of etcd.
	Endpoints []string `json:"endpoints,omitempty"`
	// CA is the file with the certificates of the authority of its servers, in PEM form; relative to the directory of the cluster file, like the others.
	CA string `json:"ca,omitempty"`
	// Certificate is the file with the certificate that API servers show to it, in PEM form.
	Certificate string `json:"certificate,omitempty"`
	// Key is the file with the key of that certificate, in PEM form. It is put on control planes, and nowhere else.
	Key string `json:"key,omitempty"`
	// Prefix is what the names of all that the API stores begin with; /registry by default. Another cluster that uses the same etcd has another one. It cannot be changed later.
	Prefix string `json:"prefix,omitempty"`
}

// Wanted says whether there is to be one.
func (e ExternalEtcd) Wanted() bool { return len(e.Endpoints) > 0 }

// ControlPlaneOptions are those of control planes.
type ControlPlaneOptions struct {
	// Standalone says that control planes are no nodes of the cluster: their kubelets run etcd and the control plane, and ask no API; false by default. API servers reach no Pods and Services then but
	// those Pods that have the network of their host, which webhooks and aggregated APIs need. It can be taken back later, but not be asked for.
	Standalone bool `json:"standalone,omitempty"`
}

// MetricsPort is where metrics-server answers API servers on its host, if control planes are no nodes.
const MetricsPort = 4443

// EtcdEvents is a cluster of etcd for events.
type EtcdEvents struct {
	// Hosts that carry its members, by name or as ranges such as cp[1-3]: 1, 3, 5 or 7 of those with the role control-plane or etcd. They may carry members of the other cluster, too. Those that have
	// the role etcd alone carry only events, if others that have it are not named here.
	Hosts []string `json:"hosts,omitempty"`
	// ClientPort is the one that API servers reach its members at; 2382 by default. It cannot be changed later.
	ClientPort int `json:"clientPort,omitempty"`
	// PeerPort is the one that its members reach each other at; 2383 by default. It cannot be changed later.
	PeerPort int `json:"peerPort,omitempty"`
	// DataDir is the directory of its data; /var/lib/etcd-events by default. It cannot be changed later.
	DataDir string `json:"dataDir,omitempty"`
}

// Wanted says whether there is to be one.
func (e EtcdEvents) Wanted() bool { return len(e.Hosts) > 0 }

// EventsMetricsPort is where members of the cluster for events say on loopback how they are.
const EventsMetricsPort = 2384

// EtcdMetricsPort is where members of etcd say on loopback how they are, as kubeadm has it.
const EtcdMetricsPort = 2381

// APIServer are the options of API servers.
type APIServer struct {
	// Port that API servers and the endpoint have; 6443 by default. It cannot be changed later.
	Port int `json:"port,omitempty"`
	// ExtraSANs are further DNS names and IP addresses in their certificates: those by which people reach them.
	ExtraSANs []string `json:"extraSANs,omitempty"`
	// ExtraArgs are flags, without dashes. They take the place of Kubewright's own of the same name, but for those that other parts of the cluster rely on.
	ExtraArgs map[string]string `json:"extraArgs,omitempty"`
}

// Program are the options of a program of the control plane.
type Program struct {
	// ExtraArgs are flags, without dashes. They take the place of Kubewright's own of the same name, but for those that other parts of the cluster rely on.
	ExtraArgs map[string]string `json:"extraArgs,omitempty"`
}

// KubeProxy are the options of kube-proxy.
type KubeProxy struct {
	// Disabled says that there is none, because a network plugin does its work; false by default.
	Disabled bool `json:"disabled,omitempty"`
	// Mode is nftables (default), iptables or ipvs.
	Mode string `json:"mode,omitempty"`
	// Config are fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1). They take the place of Kubewright's own, field by field.
	Config map[string]any `json:"config,omitempty"`
}

// Kubelet are the options of kubelets.
type Kubelet struct {
	// MaxPods of a node; 110 by default. A node's part of the Pods' range must have room for them.
	MaxPods int `json:"maxPods,omitempty"`
	// ClusterDNS are the addresses that Pods ask for names; the tenth of each range of Services by default.
	ClusterDNS []string `json:"clusterDNS,omitempty"`
	// SystemReserved is what a node keeps for the system, by resource: {cpu: 500m, memory: 1Gi, ephemeral-storage: 1Gi}; nothing by default.
	SystemReserved map[string]string `json:"systemReserved,omitempty"`
	// KubeReserved is what it keeps for Kubernetes itself; nothing by default.
	KubeReserved map[string]string `json:"kubeReserved,omitempty"`
	// EvictionHard are thresholds at which Pods are evicted, by signal: {memory.available: 500Mi, nodefs.available: 10%}; the kubelet's own by default.
	EvictionHard map[string]string `json:"evictionHard,omitempty"`
	// Config are fields of KubeletConfiguration (kubelet.config.k8s.io/v1beta1). They take the place of Kubewright's own, field by field: what fields hold fields
	// keep the others of theirs.
	Config map[string]any `json:"config,omitempty"`
}

// Certificates are how keys and certificates are made. What is there already stays until it is renewed.
type Certificates struct {
	// Algorithm of keys: ECDSA-P256 (default), ECDSA-P384, RSA-2048, RSA-3072 or RSA-4096.
	Algorithm string `json:"algorithm,omitempty"`
	// Validity of certificates, such as 8760h (default), one year.
	Validity string `json:"validity,omitempty"`
	// AuthorityValidity is that of authorities, such as 87600h (default), ten years.
	AuthorityValidity string `json:"authorityValidity,omitempty"`
}

// Encryption is what etcd holds encrypted.
type Encryption struct {
	// Provider is secretbox (default), aesgcm, aescbc, or none.
	Provider string `json:"provider,omitempty"`
	// Resources that are encrypted; [secrets] by default.
	Resources []string `json:"resources,omitempty"`
}

// Audit is the record of requests that API servers keep, in /var/log/kubernetes/audit on control planes.
type Audit struct {
	// Disabled says that none is kept; false by default.
	Disabled bool `json:"disabled,omitempty"`
	// Policy is a file that says what is recorded (audit.k8s.io/v1 Policy), relative to the cluster file; by default who did what, without contents.
	Policy string `json:"policy,omitempty"`
	// MaxAge is for how many days files are kept, 1 to 3650; 30 by default.
	MaxAge int `json:"maxAge,omitempty"`
	// MaxBackup is how many old files are kept, 1 to 1000; 10 by default.
	MaxBackup int `json:"maxBackup,omitempty"`
	// MaxSize of a file in megabytes, 1 to 10000; 100 by default.
	MaxSize int `json:"maxSize,omitempty"`
}

// Addons are what runs in every cluster.
type Addons struct {
	// CoreDNS are the options of the cluster's name service.
	CoreDNS CoreDNS `json:"coreDNS,omitempty"`
	// MetricsServer are the options of what "kubectl top" and autoscalers ask.
	MetricsServer MetricsServer `json:"metricsServer,omitempty"`
}

// CoreDNS are the options of the cluster's name service.
type CoreDNS struct {
	// Disabled says that there is none; false by default.
	Disabled bool `json:"disabled,omitempty"`
	// Replicas are 1 to 100; 2 by default, or 1 where there is one node.
	Replicas int `json:"replicas,omitempty"`
	// Corefile takes the place of Kubewright's own: a file, relative to the cluster file.
	Corefile string `json:"corefile,omitempty"`
	// Upstream are name servers that are asked for names outside of the cluster, by address; those of the node's /etc/resolv.conf by default.
	Upstream []string `json:"upstream,omitempty"`
}

// MetricsServer are the options of metrics-server.
type MetricsServer struct {
	// Disabled says that there is none; false by default.
	Disabled bool `json:"disabled,omitempty"`
	// Replicas are 1 to 100; 1 by default.
	Replicas int `json:"replicas,omitempty"`
}
