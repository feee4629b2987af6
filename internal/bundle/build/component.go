package build

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// Component says how a component is built, whatever its version: distro/NAME/component.yaml. Strings may contain ${version} ("v3.7.3"),
// ${number} ("3.7.3"), ${major} ("3"), ${minor} ("7"), ${commit} and ${date} (RFC 3339).
type Component struct {
	Module   string        `json:"module"`   // upstream's Go module: its version is the component's; or that of go.mod itself, of what is Kubewright's own
	Within   string        `json:"within"`   // the component whose go.mod is used; its own if empty
	Licence  string        `json:"licence"`  // SPDX expression
	Test     bool          `json:"test"`     // only tests use it
	Declared *Declared     `json:"declared"` // where upstream says the version, if it is not the module's
	Build    Flags         `json:"build"`
	Requires Requirements  `json:"requires"`
	Programs []Program     `json:"programs"`
	Images   []ImageRecipe `json:"images"`

	name, dir string
	version   Version
	pin       pin
}

// Declared is a file of upstream's module that must contain a text.
type Declared struct {
	File string `json:"file"`
	Text string `json:"text"`
}

// Flags of the Go compiler, beyond those that all components have.
type Flags struct {
	Cgo     bool     `json:"cgo"`
	Tags    []string `json:"tags"`
	Ldflags []string `json:"ldflags"`
}

// Requirements are what must be installed to build, besides Go.
type Requirements struct {
	Programs  []string `json:"programs"`
	Libraries []string `json:"libraries"` // as the linker calls them, to be linked statically: "seccomp"
	Packages  []string `json:"packages"`  // of Debian, that hold them
}

// Program is one file: an upstream main, several of them under one roof, or a file of C.
type Program struct {
	Name       string    `json:"name"`
	Path       string    `json:"path"`       // below the root directory of an image or host
	Package    string    `json:"package"`    // a Go main
	Commands   []Command `json:"commands"`   // or several, called by their names
	C          string    `json:"c"`          // or a file of C in upstream's module
	CFlags     []string  `json:"cflags"`     // for C
	Version    []string  `json:"version"`    // arguments that make it say its version
	Capability string    `json:"capability"` // a capability of the file: "net_bind_service"
	Host       bool      `json:"host"`       // hosts run it, not only images
}

// Command is an upstream main within a program.
type Command struct {
	Name    string   `json:"name"`
	Package string   `json:"package"`
	Without []string `json:"without"` // blank imports that are left out
	Version []string `json:"version"`
}

// ImageRecipe says what an image consists of.
type ImageRecipe struct {
	Name       string            `json:"name"`
	Tag        string            `json:"tag"`
	Layers     []string          `json:"layers"`   // of the distribution, and programs of the image that have their place among them
	Programs   []string          `json:"programs"` // of the component
	Links      map[string]string `json:"links"`    // symbolic links to programs of it, by path
	Entrypoint []string          `json:"entrypoint"`
	Command    []string          `json:"command"`
	User       string            `json:"user"` // root if empty
}

// readComponent reads a component and what pins it: the go.mod whose required version of the module is the one of the release. That is
// go.mod or, where several versions are built, VERSION.mod beside it.
func readComponent(distro, name string, r Release) (Component, error) {
	c := Component{name: name, dir: filepath.Join(distro, name), version: r.Components[name]}
	file := filepath.Join(c.dir, "component.yaml")
	if err := readYAML(file, &c); err != nil {
		return c, err
	}
	if err := c.check(); err != nil {
		return c, invalid("%s: %w", file, err)
	}
	var err error
	c.pin, err = findPin(distro, c, r)
	return c, err
}

var placeName = regexp.MustCompile(`^[a-zA-Z0-9._-]+(/[a-zA-Z0-9._-]+)*$`)

func (c Component) check() error {
	var wrong []error
	say := func(format string, a ...any) { wrong = append(wrong, fmt.Errorf(format, a...)) }
	if c.Module == "" || c.Licence == "" || len(c.Programs) == 0 {
		say("want module, licence and programs")
	}
	if c.Declared == nil && !strings.HasPrefix(c.version.Version, "v") {
		say("version %q is not one of a module, so want declared", c.version.Version)
	}
	names := map[string]bool{}
	for _, p := range c.Programs {
		kinds := 0
		for _, set := range []bool{p.Package != "", len(p.Commands) > 0, p.C != ""} {
			if set {
				kinds++
			}
		}
		if kinds != 1 {
			say("program %s: want one of package, commands and c", p.Name)
		}
		if !placeName.MatchString(p.Path) || slices.Contains(strings.Split(p.Path, "/"), "..") {
			say("program %s: path %q: want one below the root directory, such as usr/local/bin/etcd", p.Name, p.Path)
		}
		if _, known := capabilities[p.Capability]; p.Capability != "" && !known {
			say("program %s: capability %q is not known", p.Name, p.Capability)
		}
		if p.Name == "" || names[p.Name] {
			say("program %q: want a name that no other has", p.Name)
		}
		names[p.Name] = true
	}
	for _, i := range c.Images {
		if i.Name == "" || i.Tag == "" {
			say("image %q: want name and tag", i.Name)
		}
		for _, p := range i.Programs {
			if !names[p] {
				say("image %s: there is no program %s", i.Name, p)
			}
		}
		for link, to := range i.Links {
			if !placeName.MatchString(link) || !slices.Contains(i.Programs, to) {
				say("image %s: link %s: want a path below the root directory, and a program of the image", i.Name, link)
			}
		}
	}
	return errors.Join(wrong...)
}

// checkLayers makes sure that the distributions have the layers that images are to have.
func (c Component) checkLayers(layers map[string]bool) error {
	for _, i := range c.Images {
		for _, l := range i.Layers {
			if !layers[l] && !slices.Contains(i.Programs, l) {
				return invalid("component %s: image %s: no distribution has a layer %s", c.name, i.Name, l)
			}
		}
	}
	return nil
}

// expand fills in what is known of the version.
func (c Component) expand(s string) string {
	number := strings.TrimPrefix(c.version.Version, "v")
	parts := append(strings.SplitN(number, ".", 3), "", "")
	return strings.NewReplacer("${version}", c.version.Version, "${number}", number, "${major}", parts[0], "${minor}", parts[1],
		"${commit}", c.version.commit(), "${date}", c.version.Date.UTC().Format("2006-01-02T15:04:05Z")).Replace(s)
}

// commands are the names that a program is called by, where it goes by more than its own.
func (p Program) commands() []string {
	var names []string
	for _, c := range p.Commands {
		if c.Name != p.Name {
			names = append(names, c.Name)
		}
	}
	return names
}

// pin is the go.mod that a component is built with.
type pin struct {
	dir     string // in which the go command runs
	mod     string // path of the file; its sums are beside it
	version string // of upstream's module
	own     bool   // the module is the go.mod's own: there is no upstream
}

func (p pin) sum() string { return strings.TrimSuffix(p.mod, ".mod") + ".sum" }

// findPin finds the go.mod of a component for its version.
func findPin(distro string, c Component, r Release) (pin, error) {
	owner, want := c.name, c.version.Version
	if c.Within != "" {
		owner = c.Within
		v, ok := r.Components[owner]
		if !ok {
			return pin{}, invalid("component %s is built within %s, which the release %s does not have", c.name, owner, r.Kubernetes)
		}
		want = v.Version
	}
	dir := filepath.Join(distro, owner)
	for _, name := range []string{want + ".mod", "go.mod"} {
		file := filepath.Join(dir, name)
		b, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return pin{}, err
		}
		m, err := modfile.ParseLax(file, b, nil)
		if err != nil {
			return pin{}, invalid("%w", err)
		}
		if m.Module != nil && m.Module.Mod.Path == c.Module {
			return pin{dir: dir, mod: file, version: want, own: true}, nil
		}
		for _, req := range m.Require {
			if req.Mod.Path == c.Module && req.Mod.Version == want {
				return pin{dir: dir, mod: file, version: want}, nil
			}
		}
	}
	return pin{}, invalid("neither go.mod nor %s.mod in %s requires %s %s, which the release %s declares", want, dir, c.Module, want, r.Kubernetes)
}

// executable is the name that the go command gives the program of a package.
func executable(pkg string) string {
	base := path.Base(pkg)
	if n, ok := strings.CutPrefix(base, "v"); ok && path.Dir(pkg) != "." {
		if _, err := strconv.Atoi(n); err == nil {
			return path.Base(path.Dir(pkg))
		}
	}
	return base
}
