package controlplane

import (
	"strconv"

	"github.com/kubewright/kubewright/internal/cluster"
	"github.com/kubewright/kubewright/internal/resource"
)

const auditDir = "/var/log/kubernetes/audit"

// AuditPolicyFile is where control planes have what says which requests are recorded.
const AuditPolicyFile = kubernetesDir + "/audit-policy.yaml"

// auditFlags has API servers keep a record, in files that are rotated.
func auditFlags(c *cluster.Cluster) map[string]string {
	return map[string]string{
		"audit-policy-file":   AuditPolicyFile,
		"audit-log-path":      auditDir + "/audit.log",
		"audit-log-maxage":    strconv.Itoa(c.Audit.MaxAge),
		"audit-log-maxbackup": strconv.Itoa(c.Audit.MaxBackup),
		"audit-log-maxsize":   strconv.Itoa(c.Audit.MaxSize),
	}
}

func auditFiles(c *cluster.Cluster) []resource.File {
	if c.Audit.Disabled {
		return nil
	}
	policy := defaultAuditPolicy
	if c.AuditPolicy != nil {
		policy = string(c.AuditPolicy)
	}
	return []resource.File{resource.NewFile(AuditPolicyFile, policy)}
}

// defaultAuditPolicy records who did what, without contents, which may be secret. Left out is what the cluster's own programs read and renew all the time; whoever reads
// a secret is recorded all the same.
const defaultAuditPolicy = `# Kubewright wrote this, and writes it again when it is changed here: name a file of yours in audit.policy of the cluster file.
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", /version, "/openapi/*", /apis, "/apis/*", /api, "/api/*"]
- level: Metadata
  resources:
  - {group: "", resources: [secrets, serviceaccounts/token]}
- level: None
  resources:
  - {group: "", resources: [events]}
  - {group: events.k8s.io, resources: [events]}
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"]
  resources:
  - {group: coordination.k8s.io, resources: [leases]}
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
  verbs: [get, list, watch]
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"]
  verbs: [get, list, watch]
- level: None
  userGroups: ["system:nodes"]
  verbs: [patch, update]
  resources:
  - {group: "", resources: [nodes/status, pods/status]}
- level: Metadata
`
