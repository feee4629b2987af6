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

const (
	// unwanted begins the names of values that say what there is of a package that came and that nothing asks for any more.
	unwanted = "not asked for: "
	// due begins the names of values that say in whose place another package was, of one that can come back.
	due = "to come back: "
	// unfinished is the value that says that packages are on their way out, or back.
	unfinished = "packages that go"
)

// observeLeftovers adds to an observation what goes since nothing asks for it any more, and what comes back for it.
func (p Packages) observeLeftovers(env *Env, there map[string]packageState, o Observed) error {
	r, err := readPackagesRecord(env)
	if err != nil || len(r.Brought)+len(r.Replaced) == 0 && !r.Unfinished {
		return err
	}
	goes, _, err := p.leftovers(env, r, there)
	if err != nil {
		return err
	}
	for _, name := range goes {
		o.Values[unwanted+name] = "installed"
		if there[name].status == "config-files" {
			o.Values[unwanted+name] = "configuration"
		}
	}
	for _, name := range p.due(r, there, goes) {
		if there[name].status != "installed" {
			o.Values[due+name] = cmp.Or(r.Replaced[name].By, "what took its place")
		}
	}
	if r.Unfinished {
		o.Values[unfinished] = "begun"
	}
	return nil
}

// leftoverChanges are the packages that go, and those that come back.
func leftoverChanges(o Observed) []Change {
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(o.Values)) {
		if name, ok := strings.CutPrefix(key, unwanted); ok {
			changes = append(changes, Change{What: name, Old: o.Value(key), New: "removed", Why: "nothing asks for it any more"})
		} else if name, ok := strings.CutPrefix(key, due); ok {
			changes = append(changes, Change{What: name, Old: "removed", New: "installed", Why: o.Value(key) + " made way"})
		}
	}
	return changes
}

// leftovers are the packages that came and that nothing needs any more, sorted; and all that something needs. What neither belongs to Names nor came
// with them is the administrator's, and what that needs stays.
func (p Packages) leftovers(env *Env, r broughtPackages, there map[string]packageState) (goes []string, needed map[string]bool, err error) {
	roots := slices.Clone(p.Names)
	for name, is := range there {
		// dpkg does not remove what is essential.
		if _, came := r.Brought[name]; is.isThere() && (!came || is.essential) {
			roots = append(roots, name)
		}
	}
	all := there
	if slices.ContainsFunc(p.Names, func(name string) bool { return !there[name].isThere() }) {
		// What these need does not go only to be fetched again.
		if all, err = p.withListed(env, there); err != nil {
			return nil, nil, err
		}
	}
	needed = closure(roots, all)
	for _, name := range slices.Sorted(maps.Keys(r.Brought)) {
		if !needed[name] && there[name].remains(r.Brought[name]) {
			goes = append(goes, name)
		}
	}
	return goes, needed, nil
}

// withListed adds packages that the repository lists, if it was unpacked, to those that are there.
func (p Packages) withListed(env *Env, there map[string]packageState) (map[string]packageState, error) {
	list, err := readAll(env, path.Join(p.Dir, "Packages"))
	if errors.Is(err, fs.ErrNotExist) {
		return there, nil
	}
	if err != nil {
		return nil, err
	}
	all := maps.Clone(there)
	for fields := range stanzas(list) {
		if name := fields["Package"]; !all[name].isThere() {
			all[name] = packageState{needs: fields["Pre-Depends"] + ", " + fields["Depends"], provides: fields["Provides"], status: "installed"}
		}
	}
	return all, nil
}

// isThere says whether something of a package is on the machine that needs others.
func (s packageState) isThere() bool {
	return s.status != "" && s.status != "not-installed" && s.status != "config-files"
}

// remains says whether there is more of a package than there was before it came.
func (s packageState) remains(hadConfig bool) bool {
	return s.isThere() || s.status == "config-files" && !hadConfig
}

// closure are packages and all that they need: of several that will do, all, since versions are not looked at.
func closure(roots []string, all map[string]packageState) map[string]bool {
	provided := map[string][]string{}
	for name, is := range all {
		for _, virtual := range dependencies(is.provides) {
			provided[virtual] = append(provided[virtual], name)
		}
	}
	found := map[string]bool{}
	for queue := roots; len(queue) > 0; {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if found[name] {
			continue
		}
		found[name] = true
		if !all[name].isThere() {
			continue
		}
		for _, need := range dependencies(all[name].needs) {
			queue = append(queue, need)
			queue = append(queue, provided[need]...)
		}
	}
	return found
}

// dependencies are the names in a field such as Depends (deb-control(5)): "libc6 (>= 2.34), python3:any | perl".
func dependencies(field string) []string {
	var names []string
	for one := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == ',' || r == '|' }) {
		one = strings.TrimSpace(one)
		if end := strings.IndexAny(one, " (:[<"); end >= 0 {
			one = one[:end]
		}
		if one != "" {
			names = append(names, one)
		}
	}
	return names
}

// due are packages that had to go, and whose place is free when some others go: nothing that is asked for takes it.
func (p Packages) due(r broughtPackages, there map[string]packageState, goes []string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.Replaced)) {
		by := r.Replaced[name].By
		taken := slices.ContainsFunc(p.Names, func(wanted string) bool { return wanted == by || slices.Contains(p.Replace[wanted], name) })
		stays := there[by].isThere() && !slices.Contains(goes, by) // others need it by now
		if !taken && !stays {
			names = append(names, name)
		}
	}
	return names
}

// shed purges the packages that nothing needs any more, with the accounts that came for them. It begins, and restore ends, what Observe finds again
// if it is cut off in between.
func (p Packages) shed(ctx context.Context, env *Env) error {
	r, err := readPackagesRecord(env)
	if err != nil {
		return err
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	goes, needed, err := p.leftovers(env, r, there)
	if err != nil {
		return err
	}
	if len(goes)+len(p.due(r, there, goes)) == 0 && !r.Unfinished {
		return nil
	}
	if err := r.settle(env); err != nil {
		return err
	}
	leaving, err := r.leavingAccounts(env, there, goes)
	if err != nil {
		return err
	}
	if !r.Unfinished {
		// Those that are there again are whoever's that installed them.
		maps.DeleteFunc(r.Replaced, func(name string, _ replacedPackage) bool {
			return there[name].status == "installed" && slices.Contains(p.due(r, there, goes), name)
		})
	}
	r.Unfinished, r.Leaving = true, &leaving
	if err := writePackagesRecord(env, r); err != nil {
		return err
	}
	if len(goes) > 0 {
		env.progress("removing " + strings.Join(goes, ", "))
		if err := disableUnits(ctx, env, there, goes); err != nil {
			return err
		}
		those := maps.Clone(r.Brought)
		maps.DeleteFunc(those, func(name string, _ bool) bool { return !slices.Contains(goes, name) })
		stay, err := p.purge(ctx, env, those)
		if err != nil {
			return err
		}
		if len(stay) > 0 {
			return fmt.Errorf("nothing asks for %s any more, but dpkg does not let go of it; dpkg --purge %[1]s says why", strings.Join(stay, " "))
		}
	}
	if err := removeAccounts(ctx, env, leaving); err != nil {
		return err
	}
	maps.DeleteFunc(r.Brought, func(name string, _ bool) bool { return !needed[name] })
	r.Users = slices.DeleteFunc(r.Users, func(name string) bool { return slices.Contains(leaving.Users, name) })
	r.Groups = slices.DeleteFunc(r.Groups, func(name string) bool { return slices.Contains(leaving.Groups, name) })
	r.Leaving = nil
	return writePackagesRecord(env, r)
}

// restore puts back what had to go for packages that have gone, and forgets it: one that another has the place of by now stays away for good.
func (p Packages) restore(ctx context.Context, env *Env) error {
	r, err := readPackagesRecord(env)
	if err != nil || !r.Unfinished {
		return err
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	back := map[string]replacedPackage{}
	for _, name := range p.due(r, there, nil) {
		back[name] = r.Replaced[name]
	}
	if err := putBack(ctx, env, back); err != nil {
		return err
	}
	for name := range back {
		delete(r.Replaced, name)
	}
	r.Unfinished = false
	if err := writePackagesRecord(env, r); err != nil {
		return err
	}
	for name := range back {
		if err := env.Files.Remove(replacedFile(name)); err != nil {
			return err
		}
	}
	return nil
}

// packageFile is what dpkg has of a package that is there: its scripts, and the list of its files.
func packageFile(env *Env, is packageState, kind string) (string, error) {
	b, err := readAll(env, "/var/lib/dpkg/info/"+is.name+"."+kind)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// leavingAccounts are accounts that came with packages that go: those that the scripts of these speak of, and the scripts of no other that came does.
func (r broughtPackages) leavingAccounts(env *Env, there map[string]packageState, goes []string) (accounts, error) {
	gone, stays := map[string]bool{}, map[string]bool{}
	others := 0
	for name := range r.Brought {
		words := gone
		if !slices.Contains(goes, name) {
			words = stays
			if there[name].isThere() {
				others++
			}
		}
		if err := spokenOf(env, there[name], words); err != nil {
			return accounts{}, err
		}
	}
	begun := accounts{}
	if r.Leaving != nil {
		begun = *r.Leaving
	}
	filter := func(came, begun []string) []string {
		return slices.DeleteFunc(slices.Clone(came), func(name string) bool {
			return others > 0 && (stays[name] || !gone[name] && !slices.Contains(begun, name))
		})
	}
	return accounts{filter(r.Users, begun.Users), filter(r.Groups, begun.Groups)}, nil
}

// spokenOf adds the words in what makes accounts of a package: scripts, and files for systemd-sysusers(8).
func spokenOf(env *Env, is packageState, words map[string]bool) error {
	var text strings.Builder
	for _, script := range []string{"preinst", "postinst"} {
		s, err := packageFile(env, is, script)
		if err != nil {
			return err
		}
		text.WriteString(s)
	}
	list, err := packageFile(env, is, "list")
	if err != nil {
		return err
	}
	for name := range strings.Lines(list) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "/usr/lib/sysusers.d/") {
			b, err := readAll(env, name)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			text.Write(b)
		}
	}
	for word := range strings.FieldsFuncSeq(text.String(), func(r rune) bool { return strings.ContainsRune(" \t\n\"'`=:;,(){}", r) }) {
		words[word] = true
	}
	return nil
}

// disableUnits removes the links by which units of packages start at boot. Packages remove only those that they made themselves, and theirs made none.
func disableUnits(ctx context.Context, env *Env, there map[string]packageState, goes []string) error {
	for _, name := range goes {
		if !there[name].isThere() {
			continue
		}
		list, err := packageFile(env, there[name], "list")
		if err != nil {
			return err
		}
		for file := range strings.Lines(list) {
			dir, unit := path.Split(strings.TrimSpace(file))
			kinds := []string{".service", ".socket", ".timer", ".path", ".target", ".mount"}
			if !strings.HasSuffix(dir, "/lib/systemd/system/") || !slices.Contains(kinds, path.Ext(unit)) || strings.Contains(unit, "@") {
				continue
			}
			s, err := env.Systemd.Unit(ctx, unit)
			if err != nil {
				return err
			}
			if strings.HasPrefix(s.File, "enabled") {
				if err := env.Systemd.Disable(ctx, unit); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
