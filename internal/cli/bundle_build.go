package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/bundle/build"
)

func newBundleBuild(f *bundleFlags) *cobra.Command {
	var o build.Options
	c := &cobra.Command{
		Use:   "build",
		Short: "Compile a bundle from upstream's source",
		Long: `Compiles everything that runs on nodes from upstream's own Go modules, pinned by digest, and collects the packages that hosts
need from this computer's own package sources. What is built, and why in that version, stands in the directory distro of
Kubewright's source.

It needs Go, gcc, libseccomp, and Debian 12 with apt-utils for the packages; it names what is missing before it begins. The first
build takes minutes and about 10 GB of caches. What has not changed is not built again, and an interrupted
build goes on where it was. The same source, compilers and packages give the same digests.

Packages are asked for once: --update-packages asks again, for what is newest then.`,
		Example: `  kubewright bundle build
  kubewright bundle build --kubernetes v1.36.4
  kubewright bundle build --update-packages`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			store, err := f.open(c)
			if err != nil {
				return err
			}
			o.Kubernetes = version(o.Kubernetes)
			line := newStatusLine(c.ErrOrStderr())
			o.Progress = buildProgress(line)
			start := time.Now()
			result, err := build.Build(c.Context(), store, o)
			line.end()
			if err != nil {
				return err
			}
			if f.output == "json" {
				return writeJSON(c.OutOrStdout(), result)
			}
			return showBuilt(c.OutOrStdout(), result, time.Since(start), f)
		},
	}
	p := c.Flags()
	p.StringVar(&o.Kubernetes, "kubernetes", "", "version of Kubernetes (default the newest that distro declares)")
	p.StringVar(&o.Platform, "platform", runtime.GOOS+"/"+runtime.GOARCH, "platform of the nodes")
	p.StringVar(&o.Distro, "distro", defaultDistro(), "the directory distro of Kubewright's source")
	p.BoolVar(&o.UpdatePackages, "update-packages", false, "ask the package sources for the newest packages again")
	return c
}

// defaultDistro is the directory distro of the clone that this is run in, or that the program was built in.
func defaultDistro() string {
	const name = "distro"
	if program, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(filepath.Dir(program)), name)
		if _, err := os.Stat(name); err != nil {
			if _, err := os.Stat(beside); err == nil {
				return beside
			}
		}
	}
	return name
}

// showBuilt says what was built, and where the time went.
func showBuilt(w io.Writer, r *build.Result, elapsed time.Duration, f *bundleFlags) error {
	built := slices.DeleteFunc(slices.Clone(r.Built), func(b build.Built) bool { return b.Unchanged })
	slices.SortFunc(built, func(a, b build.Built) int { return int(b.Elapsed - a.Elapsed) })
	if len(built) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "BUILT\tTIME")
		for _, b := range built {
			fmt.Fprintf(t, "%s\t%s\n", b.Name, round(b.Elapsed))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "Kubernetes %s: %d parts, %s, %d of %d components built, in %s\nkubewright bundle show %s%s tells what is in it\n", r.Bundle.Name(), len(r.Bundle.Parts),
		size(r.Bundle.Size), len(built), len(r.Built), round(elapsed), r.Bundle.Kubernetes, f.storeFlag())
	return err
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// buildProgress shows what a build is at.
func buildProgress(line *statusLine) func(build.Progress) {
	return func(p build.Progress) {
		where := fmt.Sprintf("[%*d/%d] %s: ", len(fmt.Sprint(p.Total)), p.Number, p.Total, p.Component)
		switch {
		case p.Unchanged:
			line.print(where + "unchanged")
		case p.Done:
			line.print(where + "built in " + round(p.Elapsed).String())
		default:
			start := time.Now().Add(-p.Elapsed)
			line.set(func() string { return fmt.Sprintf("%s%s, %s", where, p.Step, time.Since(start).Round(time.Second)) })
		}
	}
}
