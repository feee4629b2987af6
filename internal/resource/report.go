package resource

import (
	"context"
	"encoding/json"
	"fmt"
)

// Report is something to look at that people want to know of: what is there, not whether it is as it shall be. Like a resource it travels to the agent as JSON, and so does what
// it finds.
type Report interface {
	// ID names what is looked at: {"certificates", "machine"}.
	ID() ID
	// Look finds it out. An error means that it could not be found out, which does not say that it is not there.
	Look(ctx context.Context, env *Env) (any, error)
}

// EncodeReport makes a report ready to travel.
func EncodeReport(r Report) (Encoded, error) { return encode(r.ID().Kind, r) }

// DecodeReport is the reverse of EncodeReport. All kinds of reports stand here.
func DecodeReport(e Encoded) (Report, error) {
	switch e.Kind {
	case "certificates":
		return decode[CertificatesReport](e)
	case "etcd-member":
		return decode[EtcdReport](e)
	case "external-etcd":
		return decode[ExternalEtcdReport](e)
	case "static-pods":
		return decode[StaticPodsReport](e)
	case "nodes":
		return decode[NodesReport](e)
	case "certificate-requests":
		return decode[RequestsReport](e)
	case "logs":
		return decode[LogsReport](e)
	case "log":
		return decode[LogReport](e)
	case "kernel-log":
		return decode[KernelLogReport](e)
	case "sync":
		return decode[SyncReport](e)
	case "room":
		return decode[RoomReport](e)
	case "listeners":
		return decode[ListenersReport](e)
	case "name-servers":
		return decode[NameServersReport](e)
	case "paths":
		return decode[PathsReport](e)
	case "cluster-file":
		return decode[ClusterFileReport](e)
	case "conflicts":
		return decode[ConflictsReport](e)
	}
	return nil, fmt.Errorf("report of kind %q: this agent knows none", e.Kind)
}

// Found is what reports found, by ID.String, and why some could not find it.
type Found struct {
	Values map[string]json.RawMessage `json:"values,omitempty"`
	Failed map[string]string          `json:"failed,omitempty"`
}

// Add puts in what a report found.
func (f *Found) Add(id ID, value any, err error) {
	if err == nil {
		var b []byte
		if b, err = json.Marshal(value); err == nil {
			if f.Values == nil {
				f.Values = map[string]json.RawMessage{}
			}
			f.Values[id.String()] = b
			return
		}
	}
	if f.Failed == nil {
		f.Failed = map[string]string{}
	}
	f.Failed[id.String()] = err.Error()
}

// Get reads what a report found; why says why it is not known.
func (f Found) Get(id ID, into any) (why string) {
	b, there := f.Values[id.String()]
	switch why, failed := f.Failed[id.String()]; {
	case failed:
		return why
	case !there:
		return "nobody looked"
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Sprintf("%s says what cannot be read: %v", id, err)
	}
	return ""
}
