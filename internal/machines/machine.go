package machines

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
)

// Hardware is what a machine is given.
type Hardware struct {
	CPUs   float64 `json:"cpus"`   // how many CPUs' time it may use; 0 is no limit
	Memory int64   `json:"memory"` // bytes; 0 is no limit
	Disk   int64   `json:"disk"`   // bytes; the file behind it takes up only what is written
}

// DefaultHardware is that of a small control plane (kubeadm wants 2 CPUs and 1,700 MB of it).
func DefaultHardware() Hardware { return Hardware{CPUs: 2, Memory: 4 << 30, Disk: 20 << 30} }

// machine is what was ordered of a machine: the content of its machine.json.
type machine struct {
	Name  string `json:"name"`
	Index int    `json:"index"` // place in the address range, from 0
	Hardware
	RootFS   string `json:"rootfs"`             // the root file system it was installed from
	LinkRate int64  `json:"linkRate,omitempty"` // bits per second in each direction; 0 is no limit
}

// State says what a machine is doing.
type State string

// States of a machine.
const (
	Running State = "running"
	Stopped State = "stopped"
)

// Status is what a machine is now.
type Status struct {
	Name    string     `json:"name"`
	State   State      `json:"state"`
	Address netip.Addr `json:"address"`
	Hardware
	DiskUsed int64    `json:"diskUsed"`           // bytes that its disk takes up outside
	LinkRate int64    `json:"linkRate,omitempty"` // bits per second in each direction; 0 is no limit
	CutFrom  []string `json:"cutFrom,omitempty"`  // machines it cannot reach; "*" is everybody
}

// InvalidError is what was asked for and cannot be meant; nothing was touched.
type InvalidError struct{ message string }

func (e InvalidError) Error() string { return e.message }

func invalid(format string, args ...any) error { return InvalidError{fmt.Sprintf(format, args...)} }

// names become host names, control groups, files and network devices.
var nameForm = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$`)

func checkName(kind, name string) error {
	if !nameForm.MatchString(name) {
		return invalid("%s name %q: want lower-case letters, digits and hyphens, a letter first, at most 32 characters", kind, name)
	}
	return nil
}

// port is the name of the machine's plug in the set's switch.
func (m machine) port() string { return fmt.Sprintf("m%d", m.Index) }

func (s *Set) machineDir(name string) string     { return filepath.Join(s.dir(), "machines", name) }
func (s *Set) machineFile(name, f string) string { return filepath.Join(s.machineDir(name), f) }
func (s *Set) diskFile(name string) string       { return s.machineFile(name, "disk.img") }
func (s *Set) consoleFile(name string) string    { return s.machineFile(name, "console.log") }
func (s *Set) cgroup(name string) (cgroup, error) {
	trees, err := cgroupHierarchies()
	return cgroup{trees, filepath.Join("kubewright", s.config.Name, name)}, err
}
