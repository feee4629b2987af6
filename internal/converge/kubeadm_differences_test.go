package converge

// deliberate is the table of what differs from what kubeadm makes, with the reason of each. The page docs/kubeadm-differences.md is made of it, in this order.
func deliberate() []difference {
	const (
		etcd, apiServer, manager = "/etc/kubernetes/manifests/etcd.yaml", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/manifests/kube-controller-manager.yaml"
		kubelet, kubeletObject   = "/var/lib/kubelet/config.yaml", "ConfigMap kube-system/kubelet-config"
		kubeadmConfig, proxy     = "ConfigMap kube-system/kubeadm-config", "ConfigMap kube-system/kube-proxy"
		coredns, token           = "Deployment kube-system/coredns", "Secret kube-system/bootstrap-token-abcdef"
		hash                     = "metadata.annotations[kubeadm.kubernetes.io/component-config.hash]"

		audit      = "kubeadm keeps no record of requests"
		encryption = "kubeadm encrypts nothing that etcd holds"
		anonymous  = "kubeadm's API servers take anonymous requests for all paths"
		serving    = "kubeadm has kubelets serve by certificates of their own making, which nobody can verify"
		pods       = "the default, said since the cluster file says it"
		upgrade    = "an upgrade by kubeadm writes the manifest anew, with this"
		users      = "by it kubeadm knows what it wrote itself, and may write anew; this is for it as if you had written it"
		ready      = "kubeadm's is asked every ten seconds whether it is ready, and looks up no names until then"
		approver   = "approves the certificates that kubelets serve with"
		flannel    = "the network of Pods, which kubeadm leaves to you"
		metrics    = "what nodes and Pods use, for \"kubectl top\" and autoscalers, which kubeadm leaves to you"
		budget     = "drained nodes take away one Pod at a time"
	)
	return []difference{
		{"/etc/kubernetes/audit-policy.yaml", "", "", whole, audit},
		{"/etc/kubernetes/authentication.yaml", "", "", whole, anonymous},
		{"/etc/kubernetes/encryption.yaml", "", "", whole, encryption},

		{"/etc/kubernetes/manifests/*.yaml", "metadata.annotations[kubewright.dev/manifest]", "", something, "says which manifest a Pod is of"},

		{etcd, "--initial-cluster", "cp1=https://10.0.0.11:2380", "cp1=https://10.0.0.11:2380,cp2=https://10.0.0.12:2380,cp3=https://10.0.0.13:2380",
			"kubeadm's first member is alone and others join it; these start at once"},
		{etcd, "--quota-backend-bytes", "", "8589934592", "etcd's own 2 GiB are soon full, and a member that is full refuses all writes"},
		{etcd, "--auto-compaction-mode", "", "periodic", "goes with the retention"},
		{etcd, "--auto-compaction-retention", "", "8h", "old revisions go even if no API server is there to see to it"},

		{apiServer, "--audit-policy-file", "", "/etc/kubernetes/audit-policy.yaml", audit},
		{apiServer, "--audit-log-path", "", "/var/log/kubernetes/audit/audit.log", audit},
		{apiServer, "--audit-log-maxage", "", "30", audit},
		{apiServer, "--audit-log-maxbackup", "", "10", audit},
		{apiServer, "--audit-log-maxsize", "", "100", audit},
		{apiServer, "--authentication-config", "", "/etc/kubernetes/authentication.yaml", anonymous},
		{apiServer, "--encryption-provider-config", "", "/etc/kubernetes/encryption.yaml", encryption},
		{apiServer, "--kubelet-certificate-authority", "", "/etc/kubernetes/pki/ca.crt", serving},
		{apiServer, "spec.volumes[audit-logs]", "", `{"hostPath":{"path":"/var/log/kubernetes/audit","type":"DirectoryOrCreate"},"name":"audit-logs"}`, audit},
		{apiServer, "spec.volumes[audit-policy]", "", `{"hostPath":{"path":"/etc/kubernetes/audit-policy.yaml","type":"File"},"name":"audit-policy"}`, audit},
		{apiServer, "spec.volumes[authentication]", "", `{"hostPath":{"path":"/etc/kubernetes/authentication.yaml","type":"File"},"name":"authentication"}`, anonymous},
		{apiServer, "spec.volumes[encryption]", "", `{"hostPath":{"path":"/etc/kubernetes/encryption.yaml","type":"File"},"name":"encryption"}`, encryption},
		{apiServer, "spec.containers[kube-apiserver].volumeMounts[audit-logs]", "", `{"mountPath":"/var/log/kubernetes/audit","name":"audit-logs"}`, audit},
		{apiServer, "spec.containers[kube-apiserver].volumeMounts[audit-policy]", "", `{"mountPath":"/etc/kubernetes/audit-policy.yaml","name":"audit-policy","readOnly":true}`, audit},
		{apiServer, "spec.containers[kube-apiserver].volumeMounts[authentication]", "", `{"mountPath":"/etc/kubernetes/authentication.yaml","name":"authentication","readOnly":true}`, anonymous},
		{apiServer, "spec.containers[kube-apiserver].volumeMounts[encryption]", "", `{"mountPath":"/etc/kubernetes/encryption.yaml","name":"encryption","readOnly":true}`, encryption},

		{manager, "--node-cidr-mask-size", "", "24", pods},

		{"/etc/kubernetes/pki/sa.pub", "permissions", "-rw-------", "-rw-r--r--", "it is public, as certificates are"},

		{kubelet, "maxPods", "", "110", pods},
		{kubelet, "serverTLSBootstrap", "", "true", serving},
		{"/var/lib/kubelet/kubeadm-flags.env", "--register-with-taints", "", "node-role.kubernetes.io/control-plane:NoSchedule",
			"no Pod can come before the taint does; kubeadm's first control plane has it set by the API afterwards, and those that join have the flag, too"},

		{everyObject, "metadata.labels[app.kubernetes.io/managed-by]", "", "kubewright", "by it and the next, what nothing asks for any more is found"},
		{everyObject, "metadata.labels[kubewright.dev/component]", "", something, "says which part of the cluster it belongs to"},

		{kubeadmConfig, "data.ClusterConfiguration.apiServer.extraArgs", "", something, upgrade},
		{kubeadmConfig, "data.ClusterConfiguration.apiServer.extraVolumes", "", something, upgrade},
		{kubeadmConfig, "data.ClusterConfiguration.controllerManager.extraArgs", "", something, upgrade},
		{kubeadmConfig, "data.ClusterConfiguration.etcd.local.extraArgs", "", something, upgrade},

		{kubeletObject, "data.kubelet.maxPods", "", "110", pods},
		{kubeletObject, "data.kubelet.serverTLSBootstrap", "", "true", serving},
		{kubeletObject, hash, something, "", users},

		{token, "stringData.expiration", "in 24h", "in 1h", "it is made for a run, and another for the next"},
		{token, "stringData.description", "", "The token that kubelets join with while Kubewright applies", "says whose it is"},

		{"Node cp1", "metadata.annotations[kubewright.dev/labels]", "", "node-role.kubernetes.io/control-plane,node.kubernetes.io/exclude-from-external-load-balancers",
			"what Kubewright set goes when the file no longer says it, and what others set stays"},
		{"Node cp1", "metadata.annotations[kubewright.dev/taints]", "", "node-role.kubernetes.io/control-plane:NoSchedule", "as with labels"},

		{proxy, "data[config.conf].mode", "iptables", "nftables", "Kubernetes recommends it for newer kernels, and means kubeadm to have it later; kubeProxy.mode says another"},
		{proxy, hash, something, "", users},
		{"DaemonSet kube-system/kube-proxy", "spec.template.metadata.annotations[kubewright.dev/configuration]", "", something,
			"Pods start anew when their configuration changes, which they do not see by themselves"},

		{coredns, "spec.template.spec.containers[coredns].readinessProbe.periodSeconds", "", "2", ready},
		{coredns, "spec.template.spec.containers[coredns].readinessProbe.failureThreshold", "", "5", "it is asked five times as often, and may miss more of that"},
		{coredns, "spec.template.spec.topologySpreadConstraints", "", something,
			"what is only preferred puts all Pods of a new cluster on the node that is ready first, and nothing moves them from there"},
		{"PodDisruptionBudget kube-system/coredns", "", "", whole, budget},

		{"ConfigMap kube-system/kubewright-inventory", "", "", whole, "the nodes that there shall be; by it kubelets are given certificates to serve with"},
		{"Deployment kube-system/kubewright-approver", "", "", whole, approver},
		{"ServiceAccount kube-system/kubewright-approver", "", "", whole, approver},
		{"ClusterRole kubewright:approver", "", "", whole, approver},
		{"ClusterRoleBinding kubewright:approver", "", "", whole, approver},
		{"Role kube-system/kubewright:approver", "", "", whole, approver},
		{"RoleBinding kube-system/kubewright:approver", "", "", whole, approver},

		{"Namespace kube-flannel", "", "", whole, flannel},
		{"DaemonSet kube-flannel/kube-flannel-ds", "", "", whole, flannel},
		{"ConfigMap kube-flannel/kube-flannel-cfg", "", "", whole, flannel},
		{"ServiceAccount kube-flannel/flannel", "", "", whole, flannel},
		{"ClusterRole flannel", "", "", whole, flannel},
		{"ClusterRoleBinding flannel", "", "", whole, flannel},

		{"Deployment kube-system/metrics-server", "", "", whole, metrics},
		{"Service kube-system/metrics-server", "", "", whole, metrics},
		{"APIService v1beta1.metrics.k8s.io", "", "", whole, metrics},
		{"ServiceAccount kube-system/metrics-server", "", "", whole, metrics},
		{"ClusterRole system:metrics-server", "", "", whole, metrics},
		{"ClusterRole system:aggregated-metrics-reader", "", "", whole, metrics},
		{"ClusterRoleBinding system:metrics-server", "", "", whole, metrics},
		{"ClusterRoleBinding metrics-server:system:auth-delegator", "", "", whole, metrics},
		{"RoleBinding kube-system/metrics-server-auth-reader", "", "", whole, metrics},
		{"PodDisruptionBudget kube-system/metrics-server", "", "", whole, budget},
	}
}
