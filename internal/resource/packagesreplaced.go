package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// replacedPackage is what is remembered of a package that had to go. The package itself is kept, too: the machine's package sources may be out of
// reach when it is to come back, or have another version by then, which other packages may not go with.
type replacedPackage struct {
	Version string `json:"version"`
	// Auto says that it was installed because others needed it (apt-mark(8)).
	Auto bool `json:"auto,omitempty"`
	// By is the package that took its place; empty in records of versions that did not note it.
	By string `json:"by,omitempty"`
}

// replacedDir has files of packages that had to go.
const replacedDir = Dir + "/replaced"

func replacedFile(name string) string { return path.Join(replacedDir, name+".deb") }

// inPlace begins the names of values that say which version of a package is installed that one of Names is to take the place of.
const inPlace = "in place of "

// replacements are the packages that go. Whether one is really in the way, apt says when the repository is there; it stays if it is not.
func (p Packages) replacements(o Observed) []Change {
	var changes []Change
	for _, wanted := range slices.Sorted(maps.Keys(p.Replace)) {
		for _, name := range slices.Sorted(slices.Values(p.Replace[wanted])) {
			if o.Value(inPlace+name) != "" && o.Value(wanted) == "" {
				changes = append(changes, Change{What: name, Old: "installed", New: "removed", Why: wanted + " takes its place"})
			}
		}
	}
	return changes
}

// parseRemovals reads what apt-get --simulate says: "Remv NAME [VERSION]". Names are without architecture.
func parseRemovals(out string) []string {
	var goes []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Remv" {
			name, _, _ := strings.Cut(f[1], ":")
			goes = append(goes, name)
		}
	}
	return goes
}

// mayReplace refuses if packages would have to go that nobody said may.
func (p Packages) mayReplace(o Observed, goes []string) error {
	var missing, others []string
	may := map[string]bool{}
	for _, wanted := range slices.Sorted(slices.Values(p.Names)) {
		if o.Value(wanted) == "" {
			missing = append(missing, wanted)
			for _, name := range p.Replace[wanted] {
				may[name] = true
			}
		}
	}
	for _, name := range goes {
		if !may[name] {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return BlockedError{fmt.Sprintf("installing %s would remove %s from this machine; remove it yourself if nobody needs it, "+
		"or have the cluster file not ask for what it is in the way of",
		strings.Join(missing, ", "), strings.Join(others, ", "))}
}

// replace keeps packages and removes them. Their services stop by the machine's own programs.
func (p Packages) replace(ctx context.Context, env *Env, goes []string) error {
	if len(goes) == 0 {
		return nil
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	r, err := readPackagesRecord(env)
	if err != nil {
		return err
	}
	if r.Replaced == nil {
		r.Replaced = map[string]replacedPackage{}
	}
	for _, name := range goes {
		auto, err := isAuto(ctx, env, name)
		if err != nil {
			return err
		}
		if err := keepPackage(ctx, env, name, replacedFile(name)); err != nil {
			return fmt.Errorf("keeping the package %s, to put it back one day: %w", name, err)
		}
		r.Replaced[name] = replacedPackage{there[name].version, auto, p.taker(name, there)}
	}
	if err := writePackagesRecord(env, r); err != nil {
		return err
	}
	env.progress("removing " + strings.Join(goes, ", "))
	return removeReplaced(ctx, env, goes)
}

// taker is the one of Names, not installed yet, that takes the place of a package.
func (p Packages) taker(name string, there map[string]packageState) string {
	for _, wanted := range slices.Sorted(slices.Values(p.Names)) {
		if there[wanted].status != "installed" && slices.Contains(p.Replace[wanted], name) {
			return wanted
		}
	}
	return ""
}

// removeReplaced removes packages although others need what they do: what takes their place does that, too, or apt would have had these go as well.
func removeReplaced(ctx context.Context, env *Env, names []string) error {
	_, err := runPackageProgram(ctx, env, dpkgRemoval("--remove", names, "--force-depends"))
	return err
}

// finishRemoval removes those whose removal was cut off; apt does nothing before.
func (p Packages) finishRemoval(ctx context.Context, env *Env) error {
	r, err := readPackagesRecord(env)
	if err != nil || len(r.Replaced) == 0 {
		return err
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	var halfway []string
	for _, name := range slices.Sorted(maps.Keys(r.Replaced)) {
		if is := there[name].status; is == "half-installed" || is == "half-configured" || is == "unpacked" {
			halfway = append(halfway, name)
		}
	}
	if len(halfway) == 0 {
		return nil
	}
	return removeReplaced(ctx, env, halfway)
}

// isAuto says whether a package was installed because others needed it.
func isAuto(ctx context.Context, env *Env, name string) (bool, error) {
	out, err := runPackageProgram(ctx, env, aptMark("showauto", name))
	return strings.TrimSpace(out) != "", err
}

func aptMark(args ...string) Command {
	return Command{Name: "apt-mark", Args: args, Env: slices.Concat(packageEnv, []string{"PATH=" + systemPath})}
}

// putBack installs packages that had to go, as they were; their own scripts enable and start their services as these were enabled. One whose place
// another package has by now stays away: this is what the machine's people want. One that cannot come back for any other reason is an error, since
// nothing does its work.
func putBack(ctx context.Context, env *Env, replaced map[string]replacedPackage) error {
	if len(replaced) == 0 {
		return nil
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(replaced)) {
		if there[name].status != "installed" {
			env.progress("putting back " + name)
			if back, err := install(ctx, env, name); !back {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := markAuto(ctx, env, name, replaced[name]); err != nil {
			return err
		}
	}
	return nil
}

// install installs a package that was kept. It is not back, without an error, where another package has its place.
func install(ctx context.Context, env *Env, name string) (back bool, err error) {
	file := replacedFile(name)
	failed := func(why error) error {
		return fmt.Errorf("the package %s, which had to go, cannot be put back (from %s): %w. Install it by hand, and run this again; "+
			"or remove %s, and it stays away", name, file, why, packagesRecord)
	}
	if _, err := env.Files.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return false, failed(err)
	}
	c := Command{Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--install", file}, Env: slices.Concat(packageEnv, []string{"PATH=" + systemPath})}
	out, err := env.Exec.Run(ctx, c)
	if err != nil {
		return false, fmt.Errorf("running dpkg: %w", err)
	}
	if strings.Contains(out.Stderr, "conflicting packages - not installing") {
		env.progress(fmt.Sprintf("the package %s, which was there before, stays away, since another has its place by now: %s",
			name, conflict(out.Stderr)))
		return false, nil
	}
	_, err = judge(env, c, out)
	if _, transient := errors.AsType[TransientError](err); err != nil && !transient {
		return false, failed(err)
	}
	return err == nil, err
}

// conflict is the line in which dpkg says who is there already: "chrony provides time-daemon and is present and installed."
func conflict(stderr string) string {
	for line := range strings.Lines(stderr) {
		if strings.Contains(line, " is present and ") || strings.Contains(line, " is to be installed") {
			return strings.TrimSpace(line)
		}
	}
	return cmp.Or(packageErrors(stderr), "dpkg does not say which")
}

// markAuto remembers again that a package came because others needed it.
func markAuto(ctx context.Context, env *Env, name string, was replacedPackage) error {
	if !was.Auto {
		return nil
	}
	if is, err := isAuto(ctx, env, name); is || err != nil {
		return err
	}
	_, err := runPackageProgram(ctx, env, aptMark("auto", name))
	return err
}
