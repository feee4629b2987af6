package clusterobjects

import "encoding/base64"

// clusterInfo is a kubeconfig without users: where the API is, and by which authority it is known. kubeadm's has one cluster without a name, too.
func clusterInfo(in Input) string {
	return `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ` + base64.StdEncoding.EncodeToString([]byte(in.CA)) + `
    server: ` + in.Cluster.EndpointURL() + `
  name: ""
contexts: null
current-context: ""
kind: Config
users: null
`
}
