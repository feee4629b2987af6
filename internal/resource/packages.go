package resource

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/klauspost/compress/zstd"
)

// Packages are packages of Debian that are installed, from a repository of a bundle and nothing else. A machine has one such resource. What came for
// names that are not among Names any more goes again, unless something else on the machine came to need it.
type Packages struct {
	Names []string `json:"names"`
	// Repository is the digest of a tar archive compressed by zstd: what makes a package repository of packages, below Dir. It lists the
	// packages with their SHA-256, by which they travel as blobs.
	Repository string `json:"repository"`
	// Dir is where the repository is on the machine: what it holds names it.
	Dir string `json:"dir"`
	// Replace are packages that may have to go, by the one of Names that takes their place: another program that does its work. Those that are
	// installed and in its way are removed, their configuration stays, and they come back when it goes. No other package that did not come with
	// this is ever removed.
	Replace map[string][]string `json:"replace,omitempty"`
}

// packagesRecord is what Undo needs to know: it is written before anything is installed.
const packagesRecord = Dir + "/packages.json"

// broughtPackages are packages (names as dpkg prints them) that were not there before apt installed them for Packages, and whether their
// configuration was ("config-files", what dpkg calls a package that was removed but not purged).
type broughtPackages struct {
	Brought map[string]bool `json:"brought"`
	// Users and Groups are accounts that came with them. Debian's packages mostly leave these behind.
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Before is set while packages are being installed.
	Before *accounts `json:"before,omitempty"`
	// Replaced are packages that had to go, by name without architecture.
	Replaced map[string]replacedPackage `json:"replaced,omitempty"`
	// Unfinished says that packages are being removed that nothing asks for any more, or others put back that had to go for them.
	Unfinished bool `json:"unfinished,omitempty"`
	// Leaving are the accounts of those that are being removed.
	Leaving *accounts `json:"leaving,omitempty"`
}

// accounts are names of users and groups of the system.
type accounts struct{ Users, Groups []string }

// ID is the same everywhere.
func (Packages) ID() ID { return ID{"packages", "apt"} }

// fetched is the value that says that files of packages are there, which is so only until they are installed. It is no package's name.
const fetched = "fetched files"

// Observe finds the version of each package, by name, where it is installed; what came and is not asked for any more; and whether an earlier Apply
// was cut off.
func (p Packages) Observe(ctx context.Context, env *Env) (Observed, error) {
	installed, err := listPackages(ctx, env)
	if errors.Is(err, fs.ErrNotExist) {
		return Observed{State: Absent, Blocked: p.noApt("dpkg-query")}, nil
	}
	if err != nil {
		return Observed{}, err
	}
	o := Observed{State: Absent, Values: map[string]string{}}
	for _, name := range p.Names {
		if is, ok := installed[name]; ok && is.status == "installed" {
			o.State = Present
			o.Values[name] = is.version
		}
	}
	complete := len(o.Values) == len(p.Names)
	for wanted, others := range p.Replace {
		for _, name := range others {
			if is := installed[name]; is.status == "installed" && o.Values[wanted] == "" {
				o.Values[inPlace+name] = is.version
			}
		}
	}
	if err := p.observeLeftovers(env, installed, o); err != nil {
		return Observed{}, err
	}
	if _, err := env.Files.Stat(p.pool()); err == nil {
		o.Values[fetched] = string(Present)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Observed{}, err
	}
	if complete {
		return o, nil
	}
	if _, err := env.Files.Stat("/usr/bin/apt-get"); errors.Is(err, fs.ErrNotExist) {
		o.Blocked = p.noApt("apt-get")
	}
	return o, nil
}

// pool is where the repository has files of packages.
func (p Packages) pool() string { return path.Join(p.Dir, "pool") }

func (p Packages) noApt(lacks string) string {
	return fmt.Sprintf("this machine has no %s, and packages come for Debian only; install what these are for (%s) by its own means, "+
		"and say in the cluster file that packages are not to be installed", lacks, strings.Join(p.Names, ", "))
}

// packageState is what dpkg knows of a package.
type packageState struct {
	name    string // as dpkg prints it: "libc6:amd64" where there may be several
	version string
	status  string // "installed", "config-files", "half-installed", "unpacked", "half-configured", "not-installed"
	// needs and provides are its fields Depends, with Pre-Depends, and Provides (deb-control(5)).
	needs, provides string
	// essential says that dpkg does not remove it.
	essential bool
}

// listPackages are all packages that dpkg knows, by name without architecture; of several that are installed, the first.
func listPackages(ctx context.Context, env *Env) (map[string]packageState, error) {
	list, ok := readDpkgStatus(env)
	if !ok {
		var err error
		if list, err = askDpkg(ctx, env); err != nil {
			return nil, err
		}
	}
	all := map[string]packageState{}
	for _, s := range list {
		name, _, _ := strings.Cut(s.name, ":")
		old, ok := all[name]
		if ok && old.isThere() && s.isThere() { // of several architectures: each needs something
			s.needs, s.provides, s.essential = s.needs+", "+old.needs, s.provides+", "+old.provides, s.essential || old.essential
			old.needs, old.provides, old.essential = s.needs, s.provides, s.essential
		}
		if ok && old.status == "installed" {
			s = old
		}
		all[name] = s
	}
	return all, nil
}

// askDpkg has dpkg-query say what it knows.
func askDpkg(ctx context.Context, env *Env) ([]packageState, error) {
	format := `${binary:Package} ${db:Status-Status} ${Version}\t${Pre-Depends}, ${Depends}\t${Provides}\t${Essential}${Protected}\n`
	out, err := env.Exec.Run(ctx, Command{Name: "dpkg-query", Env: packageEnv, Args: []string{"--show", "--showformat", format}})
	if err != nil {
		return nil, fmt.Errorf("running dpkg-query: %w", err)
	}
	if out.Code != 0 {
		return nil, fmt.Errorf("dpkg-query: %s", out.last())
	}
	var all []packageState
	for line := range strings.Lines(out.Stdout) {
		fields := strings.Split(line, "\t")
		f := strings.Fields(fields[0])
		if len(f) < 2 || len(fields) != 4 {
			continue
		}
		s := packageState{name: f[0], status: f[1], needs: fields[1], provides: fields[2], essential: strings.Contains(fields[3], "yes")}
		if len(f) > 2 {
			s.version = f[2]
		}
		all = append(all, s)
	}
	return all, nil
}

// Diff names the packages that are not installed; what these depend on comes along. It names all that go, and those that come back.
func (p Packages) Diff(o Observed) []Change {
	var changes []Change
	for _, name := range slices.Sorted(slices.Values(p.Names)) {
		if o.Value(name) == "" {
			changes = append(changes, Change{What: name, Old: "absent", New: "installed"})
		}
	}
	changes = append(changes, p.replacements(o)...)
	changes = append(changes, leftoverChanges(o)...)
	if len(changes) == 0 && o.Value(fetched) != "" {
		changes = append(changes, Change{What: fetched, Old: string(Present), New: string(Absent), Why: "installing them was cut off"})
	}
	if len(changes) == 0 && o.Value(unfinished) != "" {
		changes = append(changes, Change{What: unfinished, Old: o.Value(unfinished), New: "finished", Why: "removing them was cut off"})
	}
	return changes
}

// packageEnv is the environment of apt and dpkg: no questions, and nothing translated.
var packageEnv = []string{
	"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NOWARNINGS=yes", "LC_ALL=C", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l",
}

const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Apply installs them with apt, from the repository alone. Their services are neither started nor enabled. Before, it purges what is not asked for any
// more, which may be in their way; after, it puts back what had to go for that.
func (p Packages) Apply(ctx context.Context, env *Env) error {
	if p.Dir == "" || path.Clean(p.Dir) == "/" {
		return fmt.Errorf("packages: %q is no directory for a repository", p.Dir)
	}
	o, err := p.Observe(ctx, env)
	if err != nil {
		return err
	}
	if o.Blocked != "" {
		return BlockedError{o.Blocked}
	}
	var index map[string]upload
	missing := slices.ContainsFunc(p.Names, func(name string) bool { return o.Value(name) == "" })
	if missing {
		if index, err = p.unpackRepository(ctx, env); err != nil {
			return err
		}
	}
	if err := p.shed(ctx, env); err != nil {
		return err
	}
	if missing {
		if err := p.bring(ctx, env, o, index); err != nil {
			return err
		}
	}
	if err := p.finish(env); err != nil {
		return err
	}
	return p.restore(ctx, env)
}

// bring installs packages that were observed to be missing.
func (p Packages) bring(ctx context.Context, env *Env, o Observed, index map[string]upload) error {
	if err := p.finishRemoval(ctx, env); err != nil {
		return err
	}
	// A run that was cut off leaves packages that are unpacked and not configured; apt refuses to do anything then.
	if _, err := p.run(ctx, env, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a"); err != nil {
		return err
	}
	if _, err := p.run(ctx, env, "apt-get", "--quiet", "update"); err != nil {
		return err
	}
	out, err := p.run(ctx, env, "apt-get", p.install("--simulate")...)
	if err != nil {
		return err
	}
	comes, goes := parseInstalls(out), parseRemovals(out)
	if err := p.mayReplace(o, goes); err != nil {
		return err
	}
	if err := p.record(ctx, env, comes); err != nil {
		return err
	}
	if err := p.fetch(ctx, env, comes, index); err != nil {
		return err
	}
	if err := p.replace(ctx, env, goes); err != nil {
		return err
	}
	env.progress(fmt.Sprintf("installing %d packages", len(comes)))
	_, err = p.run(ctx, env, "apt-get", p.install("--no-remove")...)
	return err
}

// install are the arguments by which apt-get installs the packages, or says what it would do. What depends on what is recorded beside the
// repository, so the machine's own records of it stay as they are. What is there already is not upgraded: nobody asked for that, and no plan shows it.
func (p Packages) install(more ...string) []string {
	args := []string{"--quiet", "--yes", "--no-upgrade", "-o", "Dir::State::extended_states=" + path.Join(p.Dir, "extended_states")}
	return slices.Concat(args, more, []string{"install"}, p.Names)
}

// run runs apt or dpkg with the configuration of the repository, and such that programs in it stand for those that start services.
func (p Packages) run(ctx context.Context, env *Env, name string, args ...string) (string, error) {
	own := []string{"APT_CONFIG=" + path.Join(p.Dir, "apt.conf"), "PATH=" + path.Join(p.Dir, "no-start") + ":" + systemPath}
	return runPackageProgram(ctx, env, Command{Name: name, Args: args, Env: slices.Concat(packageEnv, own)})
}

func runPackageProgram(ctx context.Context, env *Env, c Command) (string, error) {
	out, err := env.Exec.Run(ctx, c)
	if err != nil {
		return "", fmt.Errorf("running %s: %w", c.Name, err)
	}
	return judge(env, c, out)
}

// judge returns what apt or dpkg said, or why it failed.
func judge(env *Env, c Command, out Output) (string, error) {
	if out.Code == 0 {
		return out.Stdout, nil
	}
	why := cmp.Or(packageErrors(out.Stderr), out.last())
	if isLocked(out.Stderr) {
		return "", TransientError{fmt.Errorf("another program%s installs packages: %s", lockHolder(env, out.Stderr), why)}
	}
	return "", fmt.Errorf("%s: %s", c.Name, why)
}

// packageErrors are the lines in which apt and dpkg say what is wrong.
func packageErrors(stderr string) string {
	var said []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "E: "); ok {
			said = append(said, rest)
		} else if strings.HasPrefix(line, "dpkg: error") {
			said = append(said, line)
		}
	}
	return strings.Join(said[:min(len(said), 5)], "; ")
}

// isLocked recognises what apt ("Could not get lock …. It is held by process 7 (unattended-upgr)") and dpkg ("dpkg frontend lock was locked by
// another process with pid 7") say of locks that others hold.
func isLocked(stderr string) bool {
	return strings.Contains(stderr, "Could not get lock") || strings.Contains(stderr, "locked by another process") ||
		strings.Contains(stderr, "Unable to acquire the dpkg frontend lock")
}

// lockHolder is the name of the process that dpkg names by its number, in brackets; nothing if it is gone. Apt gives the name itself.
func lockHolder(env *Env, stderr string) string {
	_, after, _ := strings.Cut(stderr, "locked by another process with pid ")
	pid := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
	if pid == "" {
		return ""
	}
	r, err := env.Files.Open(path.Join("/proc", pid, "comm"))
	if err != nil {
		return ""
	}
	defer func() { _ = r.Close() }()
	name, err := io.ReadAll(io.LimitReader(r, 64))
	if err != nil {
		return ""
	}
	return " (" + strings.TrimSpace(string(name)) + ")"
}

// upload is what a repository's list says of a package.
type upload struct {
	file      string // relative to the repository
	size      int64  // bytes
	installed int64  // bytes that it takes on disk
	sha256    string // hexadecimal
}

// unpackRepository puts the repository in place and returns what it lists, by "name version".
func (p Packages) unpackRepository(ctx context.Context, env *Env) (map[string]upload, error) {
	blob, err := env.Blob(ctx, p.Repository)
	if err != nil {
		return nil, fmt.Errorf("getting the package repository: %w", err)
	}
	defer func() { _ = blob.Close() }()
	z, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	// All of it is read before any of it is written: then it is the right one.
	type file struct {
		name    string
		dir     bool
		mode    fs.FileMode
		content []byte
	}
	var files []file
	for t := tar.NewReader(io.LimitReader(z, maxRepository)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the package repository: %w", err)
		}
		f := file{name: path.Join("/", h.Name), dir: h.Typeflag == tar.TypeDir, mode: fs.FileMode(h.Mode & 0o777)}
		if !f.dir && h.Typeflag != tar.TypeReg || !f.dir && !strings.HasPrefix(f.name, path.Clean(p.Dir)+"/") {
			return nil, fmt.Errorf("the package repository holds %s, which is no file below %s", f.name, p.Dir)
		}
		if f.content, err = io.ReadAll(t); err != nil {
			return nil, fmt.Errorf("reading the package repository: %w", err)
		}
		files = append(files, f)
	}
	if _, err := io.Copy(io.Discard, blob); err != nil {
		return nil, fmt.Errorf("reading the package repository: %w", err)
	}
	var index map[string]upload
	for _, f := range files {
		if f.dir {
			if strings.HasPrefix(f.name+"/", path.Clean(p.Dir)+"/") {
				err = env.Files.Mkdir(f.name, Attributes{Mode: f.mode})
			}
		} else {
			err = env.Files.Write(f.name, Attributes{Mode: f.mode}, bytes.NewReader(f.content))
		}
		if err != nil {
			return nil, err
		}
		if f.name == path.Join(p.Dir, "Packages") {
			index = parsePackageList(f.content)
		}
	}
	if index == nil {
		return nil, fmt.Errorf("the package repository %s lists no packages", p.Repository)
	}
	return index, nil
}

// maxRepository is far more than a repository's lists take: Debian's own have 50 MB for 60,000 packages.
const maxRepository = 64 << 20

// parsePackageList reads a repository's list of packages (deb822(5)).
func parsePackageList(b []byte) map[string]upload {
	index := map[string]upload{}
	for fields := range stanzas(b) {
		u := upload{file: fields["Filename"], sha256: fields["SHA256"]}
		u.size, _ = strconv.ParseInt(fields["Size"], 10, 64)
		u.installed, _ = strconv.ParseInt(fields["Installed-Size"], 10, 64)
		u.installed *= 1024
		if u.file != "" && u.sha256 != "" {
			index[fields["Package"]+" "+fields["Version"]] = u
		}
	}
	return index
}

// stanzas are the fields of each package in a list (deb822(5)), but for what continues them in further lines.
func stanzas(list []byte) iter.Seq[map[string]string] {
	return func(yield func(map[string]string) bool) {
		for stanza := range strings.SplitSeq(string(list), "\n\n") {
			fields := map[string]string{}
			for line := range strings.Lines(stanza) {
				if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
					fields[name] = strings.TrimSpace(value)
				}
			}
			if !yield(fields) {
				return
			}
		}
	}
}

// comingPackage is a package that apt would install.
type comingPackage struct {
	name    string // without architecture
	version string
	update  bool // another version is there
}

// parseInstalls reads what apt-get --simulate says: "Inst NAME [OLD] (VERSION ORIGIN [ARCHITECTURE])".
func parseInstalls(out string) []comingPackage {
	var comes []comingPackage
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, "Inst ")
		if !ok {
			continue
		}
		before, after, ok := strings.Cut(rest, " (")
		if f, v := strings.Fields(before), strings.Fields(after); ok && len(f) > 0 && len(v) > 0 {
			name, _, _ := strings.Cut(f[0], ":")
			comes = append(comes, comingPackage{name, v[0], len(f) > 1})
		}
	}
	return comes
}

// record remembers packages that are about to come and were not there.
func (p Packages) record(ctx context.Context, env *Env, comes []comingPackage) error {
	r, err := readPackagesRecord(env)
	if err != nil {
		return err
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return err
	}
	if r.Brought == nil {
		r.Brought = map[string]bool{}
	}
	for _, c := range comes {
		if _, known := r.Brought[c.name]; known || c.update {
			continue
		}
		r.Brought[c.name] = there[c.name].status == "config-files"
	}
	if r.Before == nil {
		before, err := readAccounts(env)
		if err != nil {
			return err
		}
		r.Before = &before
	}
	return writePackagesRecord(env, r)
}

// settle notes the accounts that came since packages began to be installed.
func (r *broughtPackages) settle(env *Env) error {
	if r.Before == nil {
		return nil
	}
	now, err := readAccounts(env)
	if err != nil {
		return err
	}
	came := func(list *[]string, now, before []string) {
		for _, name := range now {
			if !slices.Contains(before, name) && !slices.Contains(*list, name) {
				*list = append(*list, name)
			}
		}
	}
	came(&r.Users, now.Users, r.Before.Users)
	came(&r.Groups, now.Groups, r.Before.Groups)
	r.Before = nil
	return writePackagesRecord(env, *r)
}

// maxSystemAccount is the highest number that Debian gives to what packages make (policy 9.2.2; 1000 and above are people).
const maxSystemAccount = 999

func readAccounts(env *Env) (accounts, error) {
	users, err := systemNames(env, "/etc/passwd")
	if err != nil {
		return accounts{}, err
	}
	groups, err := systemNames(env, "/etc/group")
	return accounts{users, groups}, err
}

// systemNames are the names in passwd(5) or group(5) with numbers of the system's.
func systemNames(env *Env, file string) ([]string, error) {
	f, err := readText(env, file)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(f.text) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 {
			if n, err := strconv.Atoi(f[2]); err == nil && n <= maxSystemAccount {
				names = append(names, f[0])
			}
		}
	}
	return names, nil
}

func writePackagesRecord(env *Env, r broughtPackages) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return env.Files.Write(packagesRecord, Attributes{Mode: 0o644}, bytes.NewReader(b))
}

func readPackagesRecord(env *Env) (broughtPackages, error) {
	var r broughtPackages
	f, err := env.Files.Open(packagesRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }()
	if err := json.NewDecoder(bufio.NewReader(f)).Decode(&r); err != nil {
		return r, fmt.Errorf("reading %s: %w; remove it, and packages will be left alone when Kubewright goes", packagesRecord, err)
	}
	return r, nil
}

// fetch gets the packages that come and are not in the pool yet.
func (p Packages) fetch(ctx context.Context, env *Env, comes []comingPackage, index map[string]upload) error {
	var lacking []upload
	var size, installed int64
	for _, c := range comes {
		u, ok := index[c.name+" "+c.version]
		if !ok {
			return fmt.Errorf("apt wants %s %s, which the package repository does not list", c.name, c.version)
		}
		installed += u.installed
		if i, err := env.Files.Stat(path.Join(p.Dir, u.file)); err == nil && i.Size == u.size {
			continue
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		lacking = append(lacking, u)
		size += u.size
	}
	if err := needRoom(env, "/usr", size+installed, "installing packages"); err != nil {
		return err
	}
	if err := needRoom(env, p.Dir, size, "fetching packages"); err != nil {
		return err
	}
	var done int64
	for _, u := range lacking {
		env.progress(fmt.Sprintf("package %s: %s of %s", path.Base(u.file), units.BytesSize(float64(done)), units.BytesSize(float64(size))))
		if err := p.fetchOne(ctx, env, u); err != nil {
			return fmt.Errorf("getting the package %s: %w", path.Base(u.file), err)
		}
		done += u.size
	}
	return nil
}

func (p Packages) fetchOne(ctx context.Context, env *Env, u upload) error {
	r, err := env.Blob(ctx, "sha256:"+u.sha256)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	return env.Files.Write(path.Join(p.Dir, u.file), Attributes{Mode: 0o644}, contextReader{ctx, r})
}

// finish removes the files of packages that are installed now, and notes what came with them.
func (p Packages) finish(env *Env) error {
	r, err := readPackagesRecord(env)
	if err != nil {
		return err
	}
	if err := r.settle(env); err != nil {
		return err
	}
	return env.Files.RemoveAll(p.pool())
}

// Undo purges the packages that came by Apply, but for those that others came to need, and those that are not there any more. Where only the
// configuration of one was there before, only that stays. What had to go for them is put back.
func (p Packages) Undo(ctx context.Context, env *Env, _ Observed) error {
	if p.Dir == "" || path.Clean(p.Dir) == "/" {
		return fmt.Errorf("packages: %q is no directory for a repository", p.Dir)
	}
	r, err := readPackagesRecord(env)
	if err != nil {
		return err
	}
	if len(r.Brought)+len(r.Users)+len(r.Groups) > 0 {
		if err := r.settle(env); err != nil {
			return err
		}
		stay, err := p.purge(ctx, env, r.Brought)
		if err != nil {
			return err
		}
		if len(stay) > 0 { // whose accounts the others are is not known
			env.progress("packages that others need by now stay: " + strings.Join(stay, ", "))
		} else if err := removeAccounts(ctx, env, accounts{r.Users, r.Groups}); err != nil {
			return err
		}
	}
	if err := putBack(ctx, env, r.Replaced); err != nil {
		return err
	}
	for _, dir := range []string{p.Dir, replacedDir} {
		if err := env.Files.RemoveAll(dir); err != nil {
			return err
		}
	}
	return env.Files.Remove(packagesRecord)
}

// purge removes packages with dpkg, which knows what depends on them and needs no repository. Those stay that others need. Of those whose configuration
// was there before, it stays.
func (p Packages) purge(ctx context.Context, env *Env, brought map[string]bool) (stay []string, err error) {
	// dpkg refuses to remove anything while it is to configure something else.
	if _, err := p.run(ctx, env, "dpkg", "--force-confdef", "--force-confold", "--configure", "-a"); err != nil {
		return nil, err
	}
	there, err := listPackages(ctx, env)
	if err != nil {
		return nil, err
	}
	var names []string
	hadConfig := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(brought)) {
		if is := there[name]; is.remains(brought[name]) {
			names = append(names, is.name)
			hadConfig[is.name] = brought[name]
		}
	}
	names, stay, err = p.unneeded(ctx, env, names)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		if _, err := runPackageProgram(ctx, env, dpkgRemoval("--remove", names)); err != nil {
			return nil, err
		}
	}
	if purge := slices.DeleteFunc(names, func(name string) bool { return hadConfig[name] }); len(purge) > 0 {
		if _, err := runPackageProgram(ctx, env, dpkgRemoval("--purge", purge)); err != nil {
			return nil, err
		}
	}
	return stay, nil
}

// removeAccounts removes users and groups that packages left behind.
func removeAccounts(ctx context.Context, env *Env, came accounts) error {
	for _, kind := range []struct {
		file, program string
		came          []string
	}{{"/etc/passwd", "userdel", came.Users}, {"/etc/group", "groupdel", came.Groups}} {
		there, err := systemNames(env, kind.file)
		if err != nil {
			return err
		}
		for _, name := range kind.came {
			if slices.Contains(there, name) {
				if _, err := env.output(ctx, kind.program, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dpkgRemoval removes packages, even those whose unpacking was cut off. Services of what goes are to stop, so the programs that do it are the
// machine's own.
func dpkgRemoval(how string, names []string, more ...string) Command {
	args := slices.Concat(more, []string{"--force-remove-reinstreq", how}, names)
	return Command{Name: "dpkg", Args: args, Env: slices.Concat(packageEnv, []string{"PATH=" + systemPath})}
}

// unneeded divides packages into those that can go together, and those that others need.
func (p Packages) unneeded(ctx context.Context, env *Env, names []string) (free, needed []string, err error) {
	for len(names) > 0 {
		c := dpkgRemoval("--remove", names, "--no-act")
		out, err := env.Exec.Run(ctx, c)
		if err != nil {
			return nil, nil, fmt.Errorf("running dpkg: %w", err)
		}
		if out.Code == 0 {
			break
		}
		refused := refusedPackages(out.Stderr)
		if !slices.ContainsFunc(refused, func(name string) bool { return slices.Contains(names, name) }) {
			_, err := judge(env, c, out)
			return nil, nil, err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(refused, name) })
		needed = append(needed, refused...)
	}
	return names, needed, nil
}

// refusedPackages are those that dpkg lists at its end, one a line.
func refusedPackages(stderr string) []string {
	_, list, _ := strings.Cut(stderr, "Errors were encountered while processing:\n")
	return strings.Fields(list)
}
