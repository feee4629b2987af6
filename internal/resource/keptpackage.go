package resource

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/md5" // by which dpkg knows configuration files
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxKeptPackage is far more than a package has that another replaces; it is held in memory.
const maxKeptPackage = 64 << 20

// keepPackage writes a package that is installed into a file (deb(5)) that dpkg can install again, from what dpkg knows of it and its files as they
// are.
//
// Configuration files that the administrator changed are not in it. They stay on the machine when the package is removed, and dpkg remembers what they
// were like when they came, which it would not if the package brought the changed ones: then the next version would overwrite them without a question.
// Until then dpkg calls them obsolete. What it calls so already is not in it either.
//
// File capabilities and other extended attributes are not kept; packages have none but by their scripts, which run again.
func keepPackage(ctx context.Context, env *Env, name, file string) error {
	query := func(args ...string) (string, error) {
		return runPackageProgram(ctx, env, Command{Name: "dpkg-query", Args: append(args, name), Env: packageEnv})
	}
	status, err := query("--status")
	if err != nil {
		return err
	}
	control, conffiles, obsolete := parseStatus(status)
	scripts, err := query("--control-path")
	if err != nil {
		return err
	}
	list, err := query("--listfiles")
	if err != nil {
		return err
	}
	paths := strings.Split(strings.TrimSpace(list), "\n")
	if i := slices.IndexFunc(paths, func(p string) bool { return !strings.HasPrefix(p, "/") }); i >= 0 {
		return fmt.Errorf("some of its files are elsewhere than it says (%s), which is more than this program can keep; "+
			"end that with dpkg-divert, or remove the package yourself", paths[i])
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return slices.Contains(obsolete, p) })
	for name, sum := range conffiles {
		is, err := isTouched(env, name, sum)
		if err != nil {
			return err
		}
		if is {
			delete(conffiles, name)
			paths = slices.DeleteFunc(paths, func(p string) bool { return p == name })
		}
	}
	special, err := specialModes(ctx, env, paths)
	if err != nil {
		return err
	}
	about, err := controlArchive(env, control, conffiles, strings.Fields(scripts))
	if err != nil {
		return err
	}
	data, err := dataArchive(env, paths, special)
	if err != nil {
		return err
	}
	var deb bytes.Buffer
	deb.WriteString("!<arch>\n")
	for _, member := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", about}, {"data.tar", data}} {
		// All members have an even number of bytes, as ar(5) wants it: archives are made of blocks.
		fmt.Fprintf(&deb, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", member.name, 0, 0, 0, "100644", len(member.content))
		deb.Write(member.content)
	}
	return env.Files.Write(file, Attributes{Mode: 0o600}, &deb)
}

// parseStatus divides what dpkg knows of a package into what the package says of itself, the MD5 of its configuration files as they came with it, and
// those that are there and that its present version does not have.
func parseStatus(status string) (control string, conffiles map[string]string, obsolete []string) {
	conffiles = map[string]string{}
	var kept strings.Builder
	field := ""
	for line := range strings.Lines(strings.TrimRight(status, "\n") + "\n") {
		if !strings.HasPrefix(line, " ") {
			field, _, _ = strings.Cut(line, ":")
		}
		switch field {
		case "Conffiles":
			// "newconffile" is a file that was never there; "obsolete" and "remove-on-upgrade" follow files that the package has no more.
			f := strings.Fields(line)
			if len(f) == 2 && strings.HasPrefix(f[0], "/") && f[1] != "newconffile" {
				conffiles[f[0]] = f[1]
			} else if len(f) == 3 {
				obsolete = append(obsolete, f[0])
			}
		case "Status", "Config-Version", "Triggers-Pending", "Triggers-Awaited":
		default:
			kept.WriteString(line)
		}
	}
	return kept.String(), conffiles, obsolete
}

// specialModes are the modes of files that have more than permissions: that run as their owner, as programs do with set-user-ID.
func specialModes(ctx context.Context, env *Env, paths []string) (map[string]int64, error) {
	args := slices.Concat(paths, []string{"-maxdepth", "0", "-perm", "/7000", "-printf", `%m %p\n`})
	out, err := env.Exec.Run(ctx, Command{Name: "find", Args: args, Env: packageEnv})
	if err != nil {
		return nil, fmt.Errorf("running find: %w", err)
	}
	special := map[string]int64{}
	for line := range strings.Lines(out.Stdout) { // a file that is not there fails it, and harms nothing
		mode, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if m, err := strconv.ParseInt(mode, 8, 64); err == nil {
			special[name] = m
		}
	}
	return special, nil
}

// archiveWriter makes a tar archive in the format that dpkg reads.
type archiveWriter struct {
	content bytes.Buffer
	tar     *tar.Writer
}

func newArchive() *archiveWriter {
	a := &archiveWriter{}
	a.tar = tar.NewWriter(&a.content)
	return a
}

func (a *archiveWriter) add(h tar.Header, content []byte) error {
	h.Format, h.Size = tar.FormatGNU, int64(len(content))
	if a.content.Len()+len(content) > maxKeptPackage {
		return fmt.Errorf("it has more than %d MiB", maxKeptPackage>>20)
	}
	if err := a.tar.WriteHeader(&h); err != nil {
		return err
	}
	_, err := a.tar.Write(content)
	return err
}

func (a *archiveWriter) end() ([]byte, error) {
	err := a.tar.Close()
	return a.content.Bytes(), err
}

// controlArchive is what a package says of itself, and its scripts.
func controlArchive(env *Env, control string, conffiles map[string]string, scripts []string) ([]byte, error) {
	a := newArchive()
	var list strings.Builder
	for _, name := range slices.Sorted(maps.Keys(conffiles)) {
		list.WriteString(name + "\n")
	}
	root := tar.Header{Uname: "root", Gname: "root", ModTime: time.Unix(0, 0)}
	dir, text := root, root
	dir.Name, dir.Typeflag, dir.Mode = "./", tar.TypeDir, 0o755
	text.Name, text.Typeflag, text.Mode = "./control", tar.TypeReg, 0o644
	err := errors.Join(a.add(dir, nil), a.add(text, []byte(control)))
	if list.Len() > 0 {
		text.Name = "./conffiles"
		err = errors.Join(err, a.add(text, []byte(list.String())))
	}
	if err != nil {
		return nil, err
	}
	for _, file := range scripts {
		i, err := env.Files.Stat(file)
		if err != nil {
			return nil, err
		}
		content, err := readAll(env, file)
		if err != nil {
			return nil, err
		}
		h := root
		h.Name, h.Typeflag, h.Mode = "./"+strings.TrimPrefix(path.Ext(file), "."), tar.TypeReg, int64(i.Mode.Perm())
		if err := a.add(h, content); err != nil {
			return nil, err
		}
	}
	return a.end()
}

// dataArchive are the files of a package.
func dataArchive(env *Env, paths []string, special map[string]int64) ([]byte, error) {
	holds := map[string]bool{} // directories that hold others
	for _, p := range paths {
		holds[path.Dir(p)] = true
	}
	a := newArchive()
	for _, p := range paths {
		i, err := env.Files.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the machine may be told not to have documentation
		}
		if err != nil {
			return nil, err
		}
		h := tar.Header{Name: "." + p, Mode: int64(i.Mode.Perm()), Uname: i.Owner, Gname: i.Group, ModTime: i.ModTime}
		if h.Uid, err = strconv.Atoi(i.Owner); err != nil {
			h.Uid = 0 // the name tells
		}
		if h.Gid, err = strconv.Atoi(i.Group); err != nil {
			h.Gid = 0
		}
		if m, ok := special[p]; ok {
			h.Mode = m
		}
		var content []byte
		switch {
		case i.Type == fs.ModeDir || holds[p]:
			// Where a link is and the package has files below it, the package had a directory: all of /lib, since Debian 12.
			h.Name = "." + strings.TrimSuffix(path.Clean(p), "/") + "/"
			h.Typeflag = tar.TypeDir
			if i.Type != fs.ModeDir {
				h.Mode = 0o755
			}
		case i.Type == fs.ModeSymlink:
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, i.Link, 0o777
		case i.Type == 0:
			h.Typeflag = tar.TypeReg
			if content, err = readAll(env, p); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%s is a %s, and no file of a package", p, typeName(i.Type))
		}
		if err := a.add(h, content); err != nil {
			return nil, err
		}
	}
	return a.end()
}

// isTouched says whether a configuration file is not as it came with its package.
func isTouched(env *Env, name, sum string) (bool, error) {
	content, err := readAll(env, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	is := md5.Sum(content)
	return hex.EncodeToString(is[:]) != sum, err
}

func readAll(env *Env, file string) ([]byte, error) {
	r, err := env.Files.Open(file)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxKeptPackage+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return b, nil
}
