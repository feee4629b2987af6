package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubewright/kubewright/internal/bundle"
)

// Distribution says what hosts and images need of a distribution: distro/NAME.yaml.
type Distribution struct {
	Collector string                 `json:"collector"` // the family: "debian"
	Release   string                 `json:"release"`   // "bookworm"
	Hosts     []string               `json:"hosts"`     // packages that hosts may need
	Layers    map[string]LayerRecipe `json:"layers"`    // for images

	name, file string
}

// LayerRecipe is packages unpacked, as a layer of images.
type LayerRecipe struct {
	Packages []string `json:"packages"` // with what they depend on
	Alone    []string `json:"alone"`    // without
}

// collector gets packages of a family of distributions.
type collector interface {
	// tools are the programs that it runs, and the packages of Debian that hold them.
	tools() []tool
	// collect gets what a distribution declares, and stores it. Dir is for what is not finished.
	collect(ctx context.Context, store *bundle.Store, t toolchain, dir string, say func(string)) (collection, error)
}

// tool is a program, and the package of Debian that holds it.
type tool struct{ program, debianPackage string }

// collectors are those that there are, by the names that distributions call them by.
var collectors = map[string]func(*Distribution) collector{
	"debian": func(d *Distribution) collector { return debian{d} },
}

func (d *Distribution) collector() collector { return collectors[d.Collector](d) }

// collection is what was collected of a distribution.
type collection struct {
	Collected  time.Time          `json:"collected"`
	Repository Layer              `json:"repository"` // what makes a repository of the packages
	Packages   []hostPackage      `json:"packages"`   // for hosts
	Layers     map[string]osLayer `json:"layers"`
}

// osLayer is a layer of unpacked packages.
type osLayer struct {
	Layer
	Packages []string `json:"packages"` // "nftables 1.0.6-2+deb12u2"
}

// hostPackage is a package for hosts, as the distribution made it.
type hostPackage struct {
	File      string          `json:"file"` // in the repository: "haproxy_2.6.12-1+deb12u2_amd64.deb"
	MediaType types.MediaType `json:"mediaType"`
	Version   string          `json:"version"`
	Source    string          `json:"source"`
	Licences  string          `json:"licences"` // as the distribution names them
	Digest    v1.Hash         `json:"digest"`
	Size      int64           `json:"size"` // bytes

	name string
}

func (c collection) blobs() map[v1.Hash]int64 {
	all := map[v1.Hash]int64{c.Repository.Digest: c.Repository.Size}
	for _, p := range c.Packages {
		all[p.Digest] = p.Size
	}
	for _, l := range c.Layers {
		all[l.Digest] = l.Size
	}
	return all
}

func readDistribution(distro, name string) (*Distribution, error) {
	d := &Distribution{name: name, file: filepath.Join(distro, name+".yaml")}
	if err := readYAML(d.file, d); err != nil {
		return nil, err
	}
	if collectors[d.Collector] == nil || d.Release == "" || len(d.Hosts) == 0 {
		return nil, invalid("%s: want collector: debian, release and hosts", d.file)
	}
	return d, nil
}

// key is a digest of what is asked for. What the package sources give for it is asked anew only when the user wants that.
func (d *Distribution) key(t toolchain) (string, error) {
	b, err := os.ReadFile(d.file)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, layoutVersion, compressor(), d.name, t.goarch)
	sum.Write(b)
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}
