package hostprep

import (
	"fmt"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/internal/facts"
	"github.com/kubewright/kubewright/internal/resource"
)

// processes is how many processes and threads a user may have: the value of guide B. A kernel's own limit goes by memory and may be less.
const processes = 655_350

// softFiles is how many files services may open that ask for no more.
const softFiles = 1024

// limits are those of sessions, at the next login, and of services, when systemd reads its settings again or the host boots; Kubewright's own units name
// theirs. Guides B and C set the same three, for sessions only, and memory that may be locked for all users: with it, any user could take all memory for good.
//
// Services start with 1024, as systemd has it (systemd.exec(5), LimitNOFILE=): those that still use select(2) break with more, others raise it themselves.
//
// Where limits cannot be raised, sessions get none: each login would fail to set them and log so, and that they are lower harms nothing.
func limits(p v1alpha1.HostPreparation, f facts.Host) []resource.Resource {
	services := resource.NewFile("/etc/systemd/system.conf.d/90-kubewright.conf", header("hostPreparation.openFiles")+
		fmt.Sprintf("[Manager]\nDefaultLimitNOFILE=%d:%d\n", min(softFiles, p.OpenFiles), p.OpenFiles))
	if !f.RaisePriority {
		return []resource.Resource{services}
	}
	text := header("hostPreparation.openFiles")
	for _, who := range []string{"*", "root"} { // * is everyone but root
		text += fmt.Sprintf("%-4s - nofile  %d\n", who, p.OpenFiles)
		text += fmt.Sprintf("%-4s - nproc   %d\n", who, processes)
	}
	text += "root - memlock unlimited\n"
	return []resource.Resource{resource.NewFile("/etc/security/limits.d/90-kubewright.conf", text), services}
}
