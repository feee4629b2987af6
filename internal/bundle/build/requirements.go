package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// checkRequirements returns one error that names all that is missing to build some components and to run some tools, and how to get it, before
// anything is built. Dir is for what it tries.
func checkRequirements(ctx context.Context, components []Component, tools []tool, dir string) error {
	var missing, packages []string
	lack := func(what, who string, from []string) {
		if what = "  " + what + ", for " + who; !slices.Contains(missing, what) {
			missing = append(missing, what)
		}
		for _, p := range from {
			if !slices.Contains(packages, p) {
				packages = append(packages, p)
			}
		}
	}
	for _, c := range components {
		compiler := true
		for _, p := range c.Requires.Programs {
			if _, err := exec.LookPath(p); err != nil {
				compiler = compiler && p != "gcc"
				lack("the program "+p, c.name, c.Requires.Packages)
			}
		}
		for _, l := range c.Requires.Libraries {
			if compiler && !canLink(ctx, dir, l) {
				lack("the static library "+l+" with its headers", c.name, c.Requires.Packages)
			}
		}
	}
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			lack("the program "+t.program, "packages of hosts", []string{t.debianPackage})
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(packages)
	return errors.New("this computer lacks what the build needs:\n" + strings.Join(missing, "\n") +
		"\nOn Debian: apt-get install --no-install-recommends " + strings.Join(packages, " "))
}

// canLink tries whether a program can be linked statically with a library.
func canLink(ctx context.Context, dir, library string) bool {
	const source = "int main(void) { return 0; }\n"
	file := filepath.Join(dir, "try.c")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return false
	}
	header := map[string]string{"c": "stdio.h"}[library]
	if header == "" {
		header = library + ".h"
	}
	cmd := exec.CommandContext(ctx, "gcc", "-static", "-include", header, "-o", filepath.Join(dir, "try"), file, fmt.Sprintf("-l%s", library))
	return cmd.Run() == nil
}
