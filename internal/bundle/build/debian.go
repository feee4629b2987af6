package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kubewright/kubewright/internal/bundle"
)

// debian collects packages of Debian, with Debian's own tools.
type debian struct{ *Distribution }

func (debian) tools() []tool {
	return []tool{{"apt-get", "apt"}, {"apt-ftparchive", "apt-utils"}, {"dpkg-deb", "dpkg"}}
}

// collect asks the package sources that this computer is configured with for packages and all that they depend on, as if nothing
// were installed; apt verifies their signatures. The packages for hosts become a repository of their own.
func (d debian) collect(ctx context.Context, store *bundle.Store, t toolchain, dir string, say func(string)) (collection, error) {
	got := collection{Collected: time.Now().UTC().Truncate(time.Second), Layers: map[string]osLayer{}}
	if err := d.checkHere(); err != nil {
		return got, err
	}
	a := apt{dir: dir, tools: t}
	say("asking the package sources")
	if err := a.prepare(ctx); err != nil {
		return got, err
	}
	say("fetching packages for hosts")
	files, err := a.fetch(ctx, d.Hosts)
	if err != nil {
		return got, err
	}
	repository := filepath.Join(dir, "repository")
	for i, f := range files {
		say(fmt.Sprintf("storing packages for hosts, %d of %d", i+1, len(files)))
		p, err := d.store(ctx, store, f, filepath.Join(repository, "pool"))
		if err != nil {
			return got, err
		}
		got.Packages = append(got.Packages, p)
	}
	say("describing the repository")
	if got.Repository, err = a.describe(ctx, store, d, repository); err != nil {
		return got, err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Layers)) {
		say("unpacking packages for images: " + name)
		if got.Layers[name], err = a.layer(ctx, store, d.Layers[name]); err != nil {
			return got, fmt.Errorf("layer %s: %w", name, err)
		}
	}
	return got, nil
}

// checkHere makes sure that this computer's packages are those of the distribution.
func (d debian) checkHere() error {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Split(string(b), "\n"), "VERSION_CODENAME="+d.Release) {
		return fmt.Errorf("packages of Debian %s are collected on a computer that runs it; this one does not. Build there, and bring the bundle here with \"kubewright bundle export\" and \"import\"", d.Release)
	}
	return nil
}

// apt runs Debian's package manager on a state of its own, in which nothing is installed.
type apt struct {
	dir   string
	tools toolchain
}

func (a apt) config() string { return filepath.Join(a.dir, "apt.conf") }

func (a apt) run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := a.tools.run(ctx, dir, false, &out, nil, "env", slices.Concat([]string{"APT_CONFIG=" + a.config(), "DEBIAN_FRONTEND=noninteractive", name}, args)...)
	return out.Bytes(), err
}

func (a apt) prepare(ctx context.Context) error {
	for _, d := range []string{"state/lists/partial", "cache", "log"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return err
		}
	}
	config := fmt.Sprintf(`Dir::State "%[1]s/state";
Dir::State::status "%[1]s/state/status";
Dir::Cache "%[1]s/cache";
Dir::Log "%[1]s/log";
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
`, a.dir, a.tools.goarch) // Go and Debian call amd64 and arm64 the same
	if err := errors.Join(os.WriteFile(a.config(), []byte(config), 0o600), os.WriteFile(filepath.Join(a.dir, "state/status"), nil, 0o600)); err != nil {
		return err
	}
	_, err := a.run(ctx, a.dir, "apt-get", "update", "--quiet=2", "--error-on=any")
	return err
}

// fetch downloads packages with all that they depend on, and returns the files.
func (a apt) fetch(ctx context.Context, packages []string) ([]string, error) {
	dir, err := os.MkdirTemp(a.dir, "fetch-")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "partial"), 0o755); err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, dir, "apt-get", slices.Concat([]string{"install", "--quiet=2", "--yes", "--no-install-recommends", "--download-only", "-o", "Dir::Cache::archives=" + dir}, packages)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}

// fetchAlone downloads packages without what they depend on.
func (a apt) fetchAlone(ctx context.Context, packages []string) ([]string, error) {
	if len(packages) == 0 {
		return nil, nil
	}
	dir, err := os.MkdirTemp(a.dir, "alone-")
	if err != nil {
		return nil, err
	}
	if _, err := a.run(ctx, dir, "apt-get", slices.Concat([]string{"download", "--quiet=2"}, packages)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}

// readPackage reads what a package says of itself.
func readPackage(ctx context.Context, file string) (hostPackage, error) {
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat=${Package}\n${Version}\n${Architecture}\n${source:Package} ${source:Version}\n", file).Output()
	if err != nil {
		return hostPackage{}, fmt.Errorf("reading %s: %w", file, err)
	}
	f := strings.Split(string(out), "\n")
	if len(f) < 4 {
		return hostPackage{}, fmt.Errorf("reading %s: dpkg-deb says %q", file, out)
	}
	_, upstream, epoch := strings.Cut(f[1], ":")
	if !epoch {
		upstream = f[1]
	}
	return hostPackage{name: f[0], File: f[0] + "_" + upstream + "_" + f[2] + ".deb", MediaType: bundle.DebianPackageLayer, Version: f[1], Source: "Debian source package " + f[3]}, nil
}

// store puts a package into the store, and links it into the pool of the repository.
func (d debian) store(ctx context.Context, store *bundle.Store, file, pool string) (hostPackage, error) {
	p, err := readPackage(ctx, file)
	if err != nil {
		return p, err
	}
	if p.Licences, err = licences(ctx, file, p.name); err != nil {
		return p, err
	}
	if err := os.MkdirAll(pool, 0o755); err != nil {
		return p, err
	}
	if err := os.Link(file, filepath.Join(pool, p.File)); err != nil {
		return p, err
	}
	r, err := os.Open(file)
	if err != nil {
		return p, err
	}
	defer r.Close()
	p.Digest, p.Size, err = store.Put(r)
	return p, err
}

// licences are the short names of licences in a package's copyright file, where it is of the form that tools can read (DEP-5).
func licences(ctx context.Context, file, name string) (string, error) {
	format, line := regexp.MustCompile(`(?m)^Format:.*copyright-format`), regexp.MustCompile(`(?m)^License:[ \t]*(\S.*)$`)
	var found []string
	want := "usr/share/doc/" + name + "/copyright"
	err := eachFile(ctx, file, func(h *tar.Header, content io.Reader) error {
		if path.Clean(h.Name) != want || h.Typeflag != tar.TypeReg {
			return nil
		}
		b, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		if !format.Match(b) {
			return nil
		}
		for _, m := range line.FindAllStringSubmatch(string(b), -1) {
			if l := strings.TrimSpace(m[1]); !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
		return nil
	})
	slices.Sort(found)
	if len(found) == 0 {
		return "see " + want + " in it", err
	}
	return strings.Join(found, ", "), err
}

// eachFile calls do for each file in a package. The name starts with "./".
func eachFile(ctx context.Context, deb string, do func(*tar.Header, io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r := bufio.NewReader(out)
	err = func() error {
		for t := tar.NewReader(r); ; {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := do(h, t); err != nil {
				return err
			}
		}
	}()
	_, _ = io.Copy(io.Discard, r) // or it would end by a broken pipe
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), err)
	}
	return nil
}

// hostConfig makes apt use the repository and nothing else, whatever the host has configured, and keeps packages from starting their services
// and from having them started at the next boot: the programs that do that for them are found first, and do nothing. It touches nothing that
// belongs to the host.
const hostConfig = `// Use: APT_CONFIG=%[1]s/apt.conf apt-get update && APT_CONFIG=%[1]s/apt.conf apt-get install PACKAGE…
Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "%[1]s/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Path "%[1]s/no-start:/usr/sbin:/usr/bin:/sbin:/bin";
DPkg::Options { "--force-confdef"; "--force-confold"; };
`

// noStart stands for a program that starts or enables services when packages are installed.
const noStart = `#!/bin/sh
# Services of packages are started and enabled by who wants them, not by their installation.
exit 0
`

// describe makes the lists of a repository, with Debian's own program, and stores them with what a host needs to use it. Who verifies the
// digests of the bundle has verified them, so they bear no signature of their own.
func (a apt) describe(ctx context.Context, store *bundle.Store, d debian, repository string) (Layer, error) {
	packages, err := a.run(ctx, repository, "apt-ftparchive", "packages", "pool")
	if err != nil {
		return Layer{}, err
	}
	if err := os.WriteFile(filepath.Join(repository, "Packages"), packages, 0o600); err != nil {
		return Layer{}, err
	}
	release, err := a.run(ctx, repository, "apt-ftparchive", "-o", "APT::FTPArchive::Release::Origin=Kubewright", "-o", "APT::FTPArchive::Release::Label="+d.name,
		"-o", "APT::FTPArchive::Release::Codename="+d.Release, "-o", "APT::FTPArchive::Release::Architectures="+a.tools.goarch, "release", ".")
	if err != nil {
		return Layer{}, err
	}
	// The time of the build has no place in it. Debian's tools want a date; it is the start of all of them.
	release = regexp.MustCompile(`(?m)^Date: .*$`).ReplaceAll(release, []byte("Date: Thu, 01 Jan 1970 00:00:00 UTC"))
	in := func(name string) string { return strings.TrimPrefix(path.Join(bundle.PackagesDir, name), "/") }
	return putLayer(store, map[string]entry{
		in("Packages"):                    {mode: 0o644, content: packages},
		in("Release"):                     {mode: 0o644, content: release},
		in("sources.list"):                {mode: 0o644, content: fmt.Appendf(nil, "deb [trusted=yes] file:%s ./\n", bundle.PackagesDir)},
		in("apt.conf"):                    {mode: 0o644, content: fmt.Appendf(nil, hostConfig, bundle.PackagesDir)},
		in("lists/partial"):               {dir: true, mode: 0o755},
		in("no-start/invoke-rc.d"):        {mode: 0o755, content: []byte(noStart)},
		in("no-start/deb-systemd-invoke"): {mode: 0o755, content: []byte(noStart)},
		in("no-start/deb-systemd-helper"): {mode: 0o755, content: []byte(noStart)},
		in("no-start/update-rc.d"):        {mode: 0o755, content: []byte(noStart)},
	})
}

// layer unpacks packages into a layer, without what only people read, and with what their scripts would have made.
func (a apt) layer(ctx context.Context, store *bundle.Store, r LayerRecipe) (osLayer, error) {
	files, err := a.fetchAlone(ctx, r.Alone)
	if err != nil {
		return osLayer{}, err
	}
	if len(r.Packages) > 0 {
		more, err := a.fetch(ctx, r.Packages)
		if err != nil {
			return osLayer{}, err
		}
		files = append(files, more...)
	}
	entries := map[string]entry{}
	var authorities, packages []string
	for _, f := range files {
		p, err := readPackage(ctx, f)
		if err != nil {
			return osLayer{}, err
		}
		packages = append(packages, p.name+" "+p.Version)
		err = eachFile(ctx, f, func(h *tar.Header, content io.Reader) error {
			name := merged(path.Clean(h.Name))
			if name == "." || unread(name, h.Typeflag) {
				return nil
			}
			switch h.Typeflag {
			case tar.TypeDir:
				if _, linked := mergedDirs[name]; !linked {
					entries[name] = entry{dir: true, mode: h.Mode & 0o7777}
				}
			case tar.TypeSymlink:
				entries[name] = entry{link: h.Linkname}
			case tar.TypeLink:
				entries[name] = entries[merged(path.Clean(h.Linkname))]
			case tar.TypeReg:
				b, err := io.ReadAll(content)
				if err != nil {
					return err
				}
				entries[name] = entry{mode: h.Mode & 0o7777, content: b}
				if strings.HasPrefix(name, "usr/share/ca-certificates/") && strings.HasSuffix(name, ".crt") {
					authorities = append(authorities, name)
				}
			}
			return nil
		})
		if err != nil {
			return osLayer{}, err
		}
	}
	addMade(entries, authorities)
	l, err := putLayer(store, entries)
	return osLayer{l, packages}, err
}

// mergedDirs are links in every Debian since 12, whose packages still name what they link to by the old names.
var mergedDirs = map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}

// merged is where a file lies that a package names by an old name.
func merged(name string) string {
	first, rest, below := strings.Cut(name, "/")
	if to, ok := mergedDirs[first]; ok && below {
		return to + "/" + rest
	}
	return name
}

// unread says what is left out of images: documentation, except for copyrights, and translations.
func unread(name string, kind byte) bool {
	for _, dir := range []string{"usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug", "var/log", "var/cache"} {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return !(strings.HasPrefix(name, "usr/share/doc/") && path.Base(name) == "copyright" && kind == tar.TypeReg)
		}
	}
	return false
}

// addMade adds what scripts of the packages make on a host.
func addMade(entries map[string]entry, authorities []string) {
	for dir, to := range mergedDirs {
		entries[dir] = entry{link: to}
		entries[to] = entry{dir: true, mode: 0o755}
	}
	if len(authorities) > 0 { // update-ca-certificates
		slices.Sort(authorities)
		var all []byte
		for _, name := range authorities {
			all = append(append(all, bytes.TrimSpace(entries[name].content)...), '\n')
		}
		entries["etc/ssl/certs/ca-certificates.crt"] = entry{mode: 0o644, content: all}
	}
	if _, ok := entries["etc/debian_version"]; ok { // base-files and base-passwd
		for _, f := range []struct{ name, content string }{
			{"etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"},
			{"etc/group", "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n"},
			{"etc/nsswitch.conf", "hosts: files dns\n"},
		} {
			entries[f.name] = entry{mode: 0o644, content: []byte(f.content)}
		}
		entries["tmp"] = entry{dir: true, mode: 0o1777}
	}
	// update-alternatives: the variants of iptables that write nftables, as on a host.
	const multi = "usr/sbin/xtables-nft-multi"
	if _, ok := entries[multi]; ok {
		for _, family := range []string{"iptables", "ip6tables"} {
			for _, command := range []string{"", "-save", "-restore"} {
				entries["usr/sbin/"+family+command] = entry{link: path.Base(multi)}
			}
		}
	}
}
