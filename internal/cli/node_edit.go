package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/aymanbagabas/go-udiff"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/internal/ui"
)

// nodeEdit is a command that changes the hosts of a cluster file, and may go on with apply.
type nodeEdit struct {
	f                *clusterFlags
	file             *string
	apply, yes, full bool
}

func newNodeEdit(components Components, file *string) *nodeEdit {
	return &nodeEdit{f: &clusterFlags{components: components, lockFirst: true}, file: file}
}

func (e *nodeEdit) add(c *cobra.Command) {
	c.Flags().BoolVar(&e.apply, "apply", false, "go on with what \"kubewright apply\" does; the file stays changed if that is declined, or fails")
	c.Flags().BoolVarP(&e.yes, "yes", "y", false, "with --apply: do not ask")
	c.Flags().BoolVar(&e.full, "full", false, "with --apply: show all lines of files that change")
	e.f.add(c, "o")
	e.f.addLockTimeout(c)
}

// edited is what was done to a cluster file, for programs.
type edited struct {
	File    string `json:"file"`
	Changed bool   `json:"changed"`
	// Diff is what was changed, in the unified form.
	Diff string `json:"diff,omitempty"`
}

// run changes the file, says how, and applies it if that is wanted.
func (e *nodeEdit) run(c *cobra.Command, change func(file string, content []byte) ([]byte, error)) error {
	switch {
	case *e.file == "-":
		return usageError{errors.New("--file -: want a file that can be changed")}
	case e.f.output != "text" && e.f.output != "json":
		return usageError{fmt.Errorf("--output %q: want text or json", e.f.output)}
	case e.yes && !e.apply:
		return usageError{errors.New("--yes is for --apply: nothing else is asked")}
	}
	in, err := readInput(c, []string{*e.file}, false)
	if err != nil {
		return err
	}
	if e.apply && !e.yes {
		if err := mayAsk(c, e.f.output); err != nil {
			return err
		}
	}
	content, err := change(in.name, in.content)
	if err != nil {
		return usageError{err}
	}
	done := edited{File: in.name, Diff: udiff.Unified(in.name, in.name, string(in.content), string(content))}
	if done.Changed = done.Diff != ""; done.Changed {
		if err := replaceFile(in.name, content); err != nil {
			return fmt.Errorf("writing %s, which is as it was: %w", in.name, err)
		}
	}
	in.content = content
	switch {
	case e.f.output == "text":
		err = showEdited(c.OutOrStdout(), done, !e.apply)
	case !e.apply:
		err = writeJSON(c.OutOrStdout(), done)
	}
	if err != nil || !e.apply {
		return err
	}
	return apply(c, e.f, in, typedName{yes: e.yes}, e.full)
}

// showEdited shows what was changed, and what to do next.
func showEdited(out io.Writer, e edited, next bool) error {
	text := e.Diff
	if !e.Changed {
		text = e.File + " says so already.\n"
	}
	if next {
		file := ""
		if e.File != clusterFile {
			file = " " + e.File
		}
		text += fmt.Sprintf("Nothing was done on hosts. Now: kubewright plan%s, kubewright apply%s\n", file, file)
	}
	_, err := io.WriteString(out, ui.Printable(text))
	return err
}

// replaceFile replaces a file of the user's at once, with the permissions that it has: whatever happens, it is the old one or the new one. Where a link stands, what it leads to is replaced.
func replaceFile(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return renameio.WriteFile(path, content, 0o644, renameio.WithTempDir(filepath.Dir(path)), renameio.WithExistingPermissions())
}
