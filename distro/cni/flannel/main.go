// Flannel is the CNI plugin "flannel": it makes the configuration of another plugin, bridge unless told otherwise, from what flanneld says
// of this host's subnet, and has that plugin do the work. Upstream's (flannel-io/cni-plugin) cannot be had as a module; this one reads and
// writes the same files and takes the same configuration. Besides, it answers STATUS, so that a runtime knows that it cannot yet give
// addresses, and CHECK. It has nothing to do for GC: the runtime calls DEL for what it knows, and nobody else has more.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/containernetworking/plugins/pkg/utils/buildversion"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	with := func(do func(context.Context, *skel.CmdArgs) error) func(*skel.CmdArgs) error {
		return func(args *skel.CmdArgs) error { return do(ctx, args) }
	}
	skel.PluginMainFuncs(skel.CNIFuncs{Add: with(add), Del: with(del), Check: with(check), Status: with(status)},
		version.All, buildversion.BuildString("flannel")+", Kubewright's own")
}

// add has the delegate attach a container, and keeps its configuration for DEL, when flanneld may say something else.
func add(ctx context.Context, args *skel.CmdArgs) error {
	n, err := readNetwork(args.StdinData)
	if err != nil {
		return err
	}
	d, err := n.awaited(ctx, patience)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.DataDir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(n.kept(args), d.config, 0o600); err != nil {
		return err
	}
	result, err := invoke.DelegateAdd(ctx, d.plugin, d.config, nil)
	if err != nil {
		return delegateError(d, "attach the container", err)
	}
	return result.Print()
}

// del has the delegate detach a container. One that is not known is detached (CNI specification 1.1.0, "DEL").
func del(ctx context.Context, args *skel.CmdArgs) error {
	n, err := readNetwork(args.StdinData)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(n.kept(args))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := readDelegate(b)
	if err != nil { // a power cut may leave an empty file
		if d, err = n.current(); err != nil {
			return err
		}
	}
	if err := invoke.DelegateDel(ctx, d.plugin, d.config, nil); err != nil {
		return delegateError(d, "detach the container", err)
	}
	return os.Remove(n.kept(args))
}

// check has the delegate check a container.
func check(ctx context.Context, args *skel.CmdArgs) error {
	n, err := readNetwork(args.StdinData)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(n.kept(args))
	if errors.Is(err, fs.ErrNotExist) {
		return types.NewError(types.ErrUnknownContainer, "this plugin did not attach the container", err.Error())
	}
	if err != nil {
		return err
	}
	d, err := readDelegate(b)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w", n.kept(args), err)
	}
	if d, err = d.withResult(n.PrevResult); err != nil {
		return err
	}
	if err := invoke.DelegateCheck(ctx, d.plugin, d.config, nil); err != nil {
		return delegateError(d, "check the container", err)
	}
	return nil
}

// status says whether containers can be attached.
func status(ctx context.Context, args *skel.CmdArgs) error {
	n, err := readNetwork(args.StdinData)
	if err != nil {
		return err
	}
	d, err := n.current()
	if err != nil {
		return types.NewError(notAvailable, err.Error(), "")
	}
	if err := invoke.DelegateStatus(ctx, d.plugin, d.config, nil); err != nil {
		return delegateError(d, "say that it is ready", err)
	}
	return nil
}

// notAvailable is the error "the plugin is not available" of STATUS (CNI specification 1.1.0).
const notAvailable = 50

// current is the delegate by what flanneld says now.
func (n network) current() (delegate, error) {
	b, err := os.ReadFile(n.SubnetFile)
	if errors.Is(err, fs.ErrNotExist) {
		return delegate{}, fmt.Errorf("flanneld has not got a subnet yet (%w): look at its Pod on this host", err)
	}
	if err != nil {
		return delegate{}, err
	}
	s, err := readSubnet(string(b))
	if err != nil {
		return delegate{}, fmt.Errorf("%s: %w", n.SubnetFile, err)
	}
	return n.delegate(s)
}

// patience is how long a container waits for flanneld. Where a host has just started, or joined, it is a matter of seconds; a kubelet that is refused tries
// again after ten of them, then ever later (pod_workers.go of Kubernetes v1.37), and it waits minutes for an answer.
const patience = 20 * time.Second

// awaited is current, where flanneld may be starting.
func (n network) awaited(ctx context.Context, within time.Duration) (delegate, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		d, err := n.current()
		if !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return delegate{}, err
		case <-again.C:
		}
	}
}

// kept is where the delegate's configuration is kept as long as a container is attached. The ID has been checked to be a mere name.
func (n network) kept(args *skel.CmdArgs) string { return filepath.Join(n.DataDir, args.ContainerID) }

// delegateError adds who failed, and keeps the code, by which runtimes tell errors apart.
func delegateError(d delegate, what string, err error) error {
	if e := (*types.Error)(nil); errors.As(err, &e) {
		return types.NewError(e.Code, fmt.Sprintf("the plugin %s could not %s: %s", d.plugin, what, e.Msg), e.Details)
	}
	return fmt.Errorf("the plugin %s could not %s: %w", d.plugin, what, err)
}
