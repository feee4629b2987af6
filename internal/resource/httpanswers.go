package resource

import (
	"context"
)

// HTTPAnswers asks whether a server on the machine says that it is well: whether GET has the status 200.
type HTTPAnswers struct {
	// Name is who answers: "etcd".
	Name string `json:"name"`
	// URL to get: "https://127.0.0.1:6443/readyz".
	URL string `json:"url"`
	// CA is the file of the authority that its certificate has to be of, for https.
	CA string `json:"ca,omitempty"`
	// ServerName that its certificate has to be for, if not the URL's.
	ServerName string `json:"serverName,omitempty"`
	// Certificate is the path of a certificate and key to show, without ending; none if empty.
	Certificate string `json:"certificate,omitempty"`
}

// ID names who answers.
func (p HTTPAnswers) ID() ID { return ID{"http-answers", p.Name} }

// Check is not there yet.
func (p HTTPAnswers) Check(context.Context, *Env) (string, error) { return "", errNotYet }
