package resource

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/kube"
	"github.com/kubewright/kubewright/internal/pki"
)

// Dir is where a machine has what Kubewright has to remember there.
const Dir = "/var/lib/kubewright"

// Env is the machine that resources act on, and the few things that come to them late.
type Env struct {
	Files      Files
	Systemd    Systemd
	Kernel     Kernel
	Exec       Exec
	CRI        CRI
	Containerd Containerd
	Measure    Measure
	// Kube keeps connections to the Kubernetes API; nil makes one each time.
	Kube *kube.Pool
	// Blob is content by digest ("sha256:…"). What it returns is verified by then: a reader that ends without an error had the right content.
	Blob func(ctx context.Context, digest string) (io.ReadCloser, error)
	// Kept is the content of a file that a Keeper replaced, by digest.
	Kept func(digest string) (io.ReadCloser, error)
	// Sign has the certificate of a resource made: the authority and what the certificate says are those of the resource, as whoever asked for it knows it; the request
	// (PEM, PKCS #10) brings the public key alone. It returns PEM. Keys never leave the machine.
	Sign func(ctx context.Context, of ID, request []byte) ([]byte, error)
	// Secret is a value that control planes share, by name, for a resource that says that it uses it (SecretUser). It is never written anywhere but by
	// that resource.
	Secret func(ctx context.Context, of ID, name string) ([]byte, error)
	// Interrupted is closed when nothing further shall begin. What waits for others for minutes ends then, with context.Canceled; nil is never.
	Interrupted <-chan struct{}
	// Progress is told how far something is that takes longer than a second; may be nil.
	Progress func(message string)
}

// Attributes are what a file has beside its content.
type Attributes struct {
	Mode  fs.FileMode // permissions
	Owner string      // a user's name or number; root if empty
	Group string      // a group's name or number; root if empty
}

// Info is what a path leads to. Type is that of the path itself; links are not followed.
type Info struct {
	Type  fs.FileMode // fs.FileMode.Type: 0 is a regular file
	Mode  fs.FileMode // permissions
	Owner string      // name if it has one, or number
	Group string
	Size  int64
	Link  string // where a symbolic link points
	// ModTime and Changed are when content, and content or attributes were last written (st_mtime, st_ctime); Inode is the file's number on its
	// file system. A file of which all three and the size are as they were has the content it had.
	ModTime, Changed time.Time
	Inode            uint64
}

// Files are the machine's. Paths are absolute. What is not there is an error that is fs.ErrNotExist, but for removals, which it satisfies.
type Files interface {
	Stat(path string) (Info, error)
	Open(path string) (io.ReadCloser, error)
	// Write replaces a file as a whole, or leaves it as it was; it is on the disk when Write returns. Missing directories above it are made.
	Write(path string, a Attributes, content io.Reader) error
	SetAttributes(path string, a Attributes) error
	// Mkdir makes a directory and those above it that are missing.
	Mkdir(path string, a Attributes) error
	// Link makes a symbolic link, or replaces one or a file.
	Link(target, path string) error
	// Remove removes a file, a link or an empty directory.
	Remove(path string) error
	RemoveAll(path string) error
	// Move gives what is at a path another one on the same file system, where nothing may be; it is on the disk when Move returns.
	Move(from, to string) error
	// Clear removes all that a directory holds but "lost+found", and not the directory; a link to one is followed. It refuses if something is mounted below.
	Clear(path string) error
	// List names what a directory holds, sorted.
	List(path string) ([]string, error)
	// Free is the room in bytes for others than root below a path that need not be there yet.
	Free(path string) (uint64, error)
}

// UnitState is what systemd says of a unit.
type UnitState struct {
	Name   string // its own, where the one that was asked for is an alias
	Load   string // "loaded", "not-found", "masked"
	Active string // "active", "inactive", "failed", "activating"
	Sub    string // "running", "dead", "exited"
	File   string // "enabled", "disabled", "static", "masked", empty
	Result string // of the last run: "success", "exit-code"
	Reload bool   // its file changed since systemd read it
}

// SystemdInfo is what systemd says of itself.
type SystemdInfo struct {
	Version        string // "252.38-1~deb12u1"
	Virtualization string // as systemd-detect-virt(1) names it; empty on bare metal
}

// Systemd is the machine's. Names are full: "containerd.service".
type Systemd interface {
	// Unit that is not there has Load "not-found", and is no error.
	Unit(ctx context.Context, name string) (UnitState, error)
	// Loaded names the units in systemd's memory that match one of some patterns ("*.swap"), sorted.
	Loaded(ctx context.Context, patterns ...string) ([]string, error)
	// Units are Name, Load and Active of some units, in their order: one question, whose answer has a few words a unit. Unit's has a hundred.
	Units(ctx context.Context, names ...string) ([]UnitState, error)
	// About says what systemd is, and where it runs.
	About(ctx context.Context) (SystemdInfo, error)
	// DaemonReload makes systemd read its units again.
	DaemonReload(ctx context.Context) error
	// Start, Stop, Restart and Reload return when it is so; their errors carry the last lines that the unit logged.
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	// Reload has a unit that runs read its configuration again.
	Reload(ctx context.Context, name string) error
	Enable(ctx context.Context, name string) error
	Disable(ctx context.Context, name string) error
	Mask(ctx context.Context, name string) error
	Unmask(ctx context.Context, name string) error
	// Log is the last lines that a unit logged.
	Log(ctx context.Context, name string, lines int) ([]string, error)
}

// ModuleState is what the kernel knows of a module.
type ModuleState string

// States of a module.
const (
	ModuleLoaded    ModuleState = "loaded" // or built in
	ModuleAvailable ModuleState = "available"
	ModuleMissing   ModuleState = "missing"
)

// SwapArea is a file or a device that the kernel swaps to.
type SwapArea struct {
	Path string // file or device
	Size uint64 // bytes
	// Priority by which the kernel prefers one to others: 0 to 32767 as somebody chose, or negative as the kernel did, lower for each.
	Priority int
}

// Kernel is the machine's, or the part of a shared one that the machine may touch.
type Kernel interface {
	// Sysctl reads a value by its name with dots; fs.ErrNotExist if this kernel has none of that name.
	Sysctl(name string) (string, error)
	// SysctlSettable tells whether the machine may set a value, as far as that can be told without trying, and why not.
	SysctlSettable(name string) (settable bool, why string)
	// SetSysctl fails with fs.ErrPermission where the machine may not.
	SetSysctl(name, value string) error
	// Module takes one that is there but may not be loaded here for missing.
	Module(name string) (ModuleState, error)
	LoadModule(ctx context.Context, name string) error
	// UnloadModule leaves one that is in use or built in, without an error.
	UnloadModule(ctx context.Context, name string) error
	// Shared says that the kernel serves others, too: the machine is a container, and sees their swap areas.
	Shared() bool
	Swaps() ([]SwapArea, error)
	SwapOff(path string) error
	// SwapOn turns an area on with its priority, or one that the kernel chooses if that is negative.
	SwapOn(a SwapArea) error
	Hostname() (string, error)
	SetHostname(name string) error
	// Mounts are the paths at which something is mounted, in the order in which that was done.
	Mounts() ([]string, error)
	// Unmount takes what is mounted last at a path out of sight, and lets go of it when nobody uses it any more.
	Unmount(path string) error
	// Links names the network interfaces.
	Links() ([]string, error)
	// RemoveLink removes a network interface that is none of hardware, or does nothing if there is none of that name.
	RemoveLink(name string) error
	// RemoveRoutes removes routes to addresses of a range and to parts of it.
	RemoveRoutes(to netip.Prefix) error
	// RemoveCgroup removes a control group below the root and those in it, in all hierarchies. It fails if there are processes in any.
	RemoveCgroup(name string) error
	// Now is the machine's clock.
	Now() time.Time
}

// Command is a program to run. What is secret goes to its standard input, never into arguments or environment.
type Command struct {
	Name  string   // looked up in the usual directories
	Args  []string //
	Env   []string // "NAME=value", in addition to the agent's
	Stdin io.Reader
}

// Output is what a program said and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int
}

// Exec runs programs on the machine. A program that fails is no error, its code tells; one that is not there is fs.ErrNotExist.
type Exec interface {
	Run(ctx context.Context, c Command) (Output, error)
}

// output is what a program printed that has to succeed.
func (e *Env) output(ctx context.Context, name string, args ...string) (string, error) {
	o, err := e.Exec.Run(ctx, Command{Name: name, Args: args})
	if err != nil {
		return "", fmt.Errorf("running %s: %w", name, err)
	}
	if o.Code != 0 {
		return "", fmt.Errorf("%s %s failed with code %d: %s", name, strings.Join(args, " "), o.Code, o.last())
	}
	return o.Stdout, nil
}

// last is the last line that a program said, errors first.
func (o Output) last() string {
	said := cmp.Or(strings.TrimSpace(o.Stderr), strings.TrimSpace(o.Stdout), "it said nothing")
	return strings.TrimSpace(said[strings.LastIndex(said, "\n")+1:])
}

// Certified is a resource that has a certificate made by Env.Sign.
type Certified interface {
	// Requested is what it says, and by which authority.
	Requested() pki.Request
}

// SecretUser is a resource that uses Env.Secret.
type SecretUser interface {
	// Secrets are the names that it may ask for.
	Secrets() []string
}

func (e *Env) progress(message string) {
	if e.Progress != nil {
		e.Progress(message)
	}
}
