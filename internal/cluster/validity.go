package cluster

import "time"

// CertificateValidity is for how long certificates are valid. The cluster file was checked to say it.
func (c *Cluster) CertificateValidity() time.Duration {
	d, _ := time.ParseDuration(c.Certificates.Validity)
	return d
}
