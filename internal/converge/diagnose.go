package converge

import (
	"context"
	"time"

	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// Diagnosis is what is wrong with a cluster, and what it most likely comes from. As JSON its fields stay as they are; new ones may come.
type Diagnosis struct {
	// Cluster is its name.
	Cluster string    `json:"cluster"`
	Time    time.Time `json:"time"`
	// Well says that nothing is wrong; what may become so does not count.
	Well bool `json:"well"`
	// Causes, the most fundamental first: it may be what the others come from.
	Causes []Cause `json:"causes"`
	// Unexplained are findings that no cause explains.
	Unexplained []Finding `json:"unexplained"`
	// Status, Checks are all that was looked at.
	Status Status `json:"status"`
	Checks Checks `json:"checks"`
	// Drift is what differs from what the cluster file says, on hosts that are in place.
	Drift []Drift `json:"drift"`
	// Plan is what would be changed; nil if there could be none.
	Plan *plan.Plan `json:"-"`
	// Unknown is what could not be looked at.
	Unknown []Check `json:"unknown"`
	// Kernel is what the kernels of hosts complained of.
	Kernel map[string][]resource.KernelComplaint `json:"kernel,omitempty"`
}

// Cause is something that may be why a cluster is not well.
type Cause struct {
	// Name of it: "the disk is full".
	Name string `json:"name"`
	// Hosts that it is on; none if it is about the cluster.
	Hosts []string `json:"hosts,omitempty"`
	// Evidence for it, each piece with the host that it is from.
	Evidence []Evidence `json:"evidence"`
	// Remedy is what to do.
	Remedy string `json:"remedy"`
	// Explains are findings that may come from it.
	Explains []Finding `json:"explains,omitempty"`
}

// Evidence is something that was found.
type Evidence struct {
	Host string `json:"host,omitempty"`
	Text string `json:"text"`
}

// Drift is something that differs from what the cluster file says.
type Drift struct {
	Kind     plan.Kind `json:"kind,omitempty"`
	Host     string    `json:"host"`
	Step     string    `json:"step"`
	Resource string    `json:"resource"`
	// Change in words, with changed lines where there are some.
	Change string   `json:"change"`
	Lines  []string `json:"lines,omitempty"`
}

// kernelHours are how far back kernels are asked.
const kernelHours = 6

// Diagnose looks at everything that Status and Check look at, and at what kernels complained of, and says what it most likely comes from. It takes no locks and changes nothing.
// noPlan says why there can be no plan; empty if there can.
func (s *Session) Diagnose(ctx context.Context, noPlan string) (Diagnosis, error) {
	status, err := s.Status(ctx)
	if err != nil {
		return Diagnosis{}, err
	}
	v, err := s.survey(ctx, noPlan, kernelLog)
	if err != nil {
		return Diagnosis{}, err
	}
	return v.diagnosis(status), ctx.Err()
}
