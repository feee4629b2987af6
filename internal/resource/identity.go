package resource

// Identity is whose the machine is. Who it is (a random name of its own) is made up when it is first written.
type Identity struct {
	// Cluster is the random name of the cluster.
	Cluster string `json:"cluster"`
	// ClusterName is what people call it.
	ClusterName string `json:"clusterName"`
	unfinished
}

func (Identity) ID() ID { return ID{"identity", "machine"} }
