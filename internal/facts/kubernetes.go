package facts

// Kubernetes is what a machine has of a cluster: what shall be there once, what must never be made twice, and what answers.
type Kubernetes struct {
	// Authorities that lie below /etc/kubernetes/pki, by name: "ca", "etcd/ca", "front-proxy-ca".
	Authorities map[string]Authority `json:"authorities,omitempty"`
	// Shared are digests ("sha256:…") of files that control planes share, by path: "/etc/kubernetes/pki/sa.key".
	Shared map[string]string `json:"shared,omitempty"`
	// Etcd is what it has of etcd, and Events what it has of the one for events.
	Etcd   Etcd `json:"etcd"`
	Events Etcd `json:"events,omitzero"`
	// EventsFormed is Formed of that one (EventsFormedFile).
	EventsFormed bool `json:"eventsFormed,omitempty"`
	// Formed says that it remembers the etcd cluster to have been whole once (FormedFile): no member may be made of nothing any more. Or see External.
	Formed bool `json:"formed,omitempty"`
	// External is the cluster of etcd of the user's, by its ID in hexadecimal form, that it remembers the cluster to use (ExternalFile); Formed is true then, too. Empty if there is none.
	External string `json:"external,omitempty"`
	// Manifests are the static Pods that it shall run, by file name, with their images: {"etcd.yaml": "registry.k8s.io/etcd:3.7.3"}.
	Manifests map[string]string `json:"manifests,omitempty"`
	// Settings are what its programs were started with that a cluster is born with, by the names below; those that have none are left out.
	Settings map[string]string `json:"settings,omitempty"`
	// Joined says that its kubelet has credentials of its own that have not run out.
	Joined bool `json:"joined,omitempty"`
	// Kubelet says that its kubelet says that it is well; asked only where there are static Pods.
	Kubelet bool `json:"kubelet,omitempty"`
	// API says that an API server on it says that it is ready.
	API bool `json:"api,omitempty"`
}

// Names of the clusters of etcd, which are those of their Pods without the nodes'.
const (
	MainEtcd   = "etcd"
	EventsEtcd = "etcd-events"
)

// FormedFile and EventsFormedFile are where a machine remembers that a cluster of etcd was whole once, and ExternalFile is where it does which one of the user's the API used when it answered: in a line that
// begins with ExternalCluster.
const (
	ExternalFile     = "/var/lib/kubewright/etcd-external"
	ExternalCluster  = "cluster: "
	FormedFile       = "/var/lib/kubewright/etcd-formed"
	EventsFormedFile = "/var/lib/kubewright/etcd-events-formed"
)

// EtcdOf is what a machine has of a cluster of etcd, by its name.
func (k Kubernetes) EtcdOf(name string) Etcd {
	if name == EventsEtcd {
		return k.Events
	}
	return k.Etcd
}

// FormedOf says that it remembers one to have been whole.
func (k Kubernetes) FormedOf(name string) bool {
	if name == EventsEtcd {
		return k.EventsFormed
	}
	return k.Formed
}

// Authority is one that lies on a machine.
type Authority struct {
	// Certificate in PEM form.
	Certificate string `json:"certificate"`
	// Key says that its key lies there, too.
	Key bool `json:"key,omitempty"`
}

// Etcd is what a machine has of etcd.
type Etcd struct {
	// Data says that the directory that its manifest names, or /var/lib/etcd if there is none, holds a member's data.
	Data bool `json:"data,omitempty"`
	// Log says that what it holds is a member's: it has a write-ahead log. A member that could not begin leaves data without one.
	Log bool `json:"log,omitempty"`
	// DataDir, ClientURL and PeerURL are where its manifest says that a member has its data, and that others find it; empty if there is none.
	DataDir   string `json:"dataDir,omitempty"`
	ClientURL string `json:"clientURL,omitempty"`
	PeerURL   string `json:"peerURL,omitempty"`
	// InitialCluster and InitialClusterState are those flags in its manifest; empty if there is none.
	InitialCluster      string `json:"initialCluster,omitempty"`
	InitialClusterState string `json:"initialClusterState,omitempty"`
	// ID is that of its member, in hexadecimal form; what it says is below. Empty if it does not answer, or if there is no manifest.
	ID string `json:"id,omitempty"`
	// Leader is the ID of the member that leads, as it knows; empty if none does.
	Leader string `json:"leader,omitempty"`
	// Learner says that it does not vote yet.
	Learner bool `json:"learner,omitempty"`
	// Members are all, as it knows them: without a quorum, that may be old. None of a learner, which refuses to say.
	Members []EtcdMember `json:"members,omitempty"`
	// Quorum says that it answers what only a member can that has a quorum with it. It is not said of a learner, whatever the others have.
	Quorum bool `json:"quorum,omitempty"`
	// Unwell is why it does not answer that, or nothing at all; empty if it does, if it is a learner that answers, or if there is no manifest.
	Unwell string `json:"unwell,omitempty"`
}

// EtcdMember is one as another knows it.
type EtcdMember struct {
	ID string `json:"id"`
	// Name is empty until it was started once.
	Name    string `json:"name,omitempty"`
	Learner bool   `json:"learner,omitempty"`
	// PeerURLs are where others reach it.
	PeerURLs []string `json:"peerURLs,omitempty"`
}

// Names of settings.
const (
	ServiceRanges = "service ranges" // of the API server, with commas between
	PodRanges     = "pod ranges"     // of the controller manager, likewise
	TokenIssuer   = "token issuer"   // of the API server
	Encryption    = "encryption"     // the file that says how the API server encrypts what it stores
	EtcdServers   = "etcd servers"   // of the API server, with commas between
	EtcdPrefix    = "etcd prefix"    // of the API server: what the names of all begin with that it stores
	EtcdOverrides = "etcd overrides" // of the API server: what it stores in another etcd
	Endpoint      = "endpoint"       // the address that kubeconfigs of administrators have: "https://api.prod.internal:6443"
)
