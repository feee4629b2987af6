package e2e

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubewright/kubewright/internal/agent"
	"github.com/kubewright/kubewright/internal/bundle"
	"github.com/kubewright/kubewright/internal/component/timesync"
	"github.com/kubewright/kubewright/internal/plan"
	"github.com/kubewright/kubewright/internal/resource"
)

// keeper makes and installs a package that keeps the clock as systemd-timesyncd does, whose configuration the administrator changes then.
const keeper = `set -e
d=/root/keeper; mkdir -p $d/DEBIAN $d/etc/systemd/timesyncd.conf.d $d/lib/systemd/system $d/lib/systemd
cat >$d/DEBIAN/control <<.
Package: systemd-timesyncd
Version: 252.1-1
Architecture: all
Maintainer: Nobody <nobody@example.com>
Provides: time-daemon
Conflicts: time-daemon
Replaces: time-daemon
Description: something that keeps the clock
 It does not.
.
cat >$d/lib/systemd/system/systemd-timesyncd.service <<.
[Service]
ExecStart=sleep infinity
[Install]
WantedBy=multi-user.target
.
echo NTP=a >$d/etc/systemd/timesyncd.conf
echo NTP=a >$d/etc/systemd/timesyncd.conf.d/same.conf
printf '%s\n' /etc/systemd/timesyncd.conf /etc/systemd/timesyncd.conf.d/same.conf >$d/DEBIAN/conffiles
printf '#!/bin/sh\nsystemctl daemon-reload\ndeb-systemd-helper enable systemd-timesyncd.service\ndeb-systemd-invoke start systemd-timesyncd.service\n' >$d/DEBIAN/postinst
printf '#!/bin/sh\n[ "$1" != remove ] || deb-systemd-invoke stop systemd-timesyncd.service\n' >$d/DEBIAN/prerm
printf '#!/bin/sh\nsystemctl daemon-reload\n' >$d/DEBIAN/postrm
chmod 755 $d/DEBIAN/p*
dpkg-deb --build $d /root/keeper.deb
dpkg --install /root/keeper.deb
apt-mark auto systemd-timesyncd
echo NTP=mine >>/etc/systemd/timesyncd.conf`

// withFile has the content of a file beside those of a bundle.
type withFile struct {
	blobsOf
	file resource.File
}

func (w withFile) Open(digest string) (io.ReadCloser, error) {
	if digest == w.file.Digest {
		return io.NopCloser(bytes.NewReader(w.file.Content)), nil
	}
	return w.blobsOf.Open(digest)
}

// TestPackagesReplace has chrony take the place of systemd-timesyncd, from the bundle alone, and puts it back: when nothing asks for chrony any more, and
// by a reset.
func TestPackagesReplace(t *testing.T) {
	f := newFixture(t, "replace")
	f.machines(t, "up", "--count", "1")
	f.on(t, "m1", keeper)
	data := os.Getenv("XDG_DATA_HOME")
	if home, err := os.UserHomeDir(); data == "" && err == nil {
		data = filepath.Join(home, ".local", "share") // where make has the bundles
	}
	store, err := bundle.Open(filepath.Join(data, "kubewright", "bundles"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.List(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatal(err, "there is no bundle: make bundles")
	}
	packages := resource.Packages{Names: []string{"chrony"}, Dir: bundle.PackagesDir, Replace: timesync.Replaces()}
	for _, p := range all[0].Parts {
		for _, b := range p.Blobs {
			if b.MediaType == bundle.RepositoryLayer {
				packages.Repository = b.Digest.String()
			}
		}
	}
	r := newLauncher(t, f).launch("root", "")
	if r.err != nil {
		t.Fatal(r.err)
	}
	config := resource.NewFile("/etc/chrony/chrony.conf", "server 198.51.100.1\n")
	client, err := agent.Connect(t.Context(), "m1", r.stream, withFile{blobsOf{store}, config}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if busy, err := client.Lock(t.Context(), agent.Holder{Run: "test", Who: "somebody", From: "here", Since: time.Now(), Doing: "apply"}); busy != nil || err != nil {
		t.Fatal(busy, err)
	}
	// What dpkg, apt, systemd and the administrator know; and what is on the disk, but for what programs write by themselves.
	const look = `dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Abbrev}\n'; apt-mark showauto; dpkg --verify --verify-format rpm | grep -v /var/log/apt || true
systemctl is-enabled systemd-timesyncd.service; systemctl is-active systemd-timesyncd.service; cat /etc/systemd/timesyncd.conf
dpkg-query --show --showformat '${Conffiles}\n' systemd-timesyncd | grep same; dpkg --listfiles systemd-timesyncd | sort
find /etc /usr /var/lib/systemd /var/lib/chrony -not -name '*-' -not -path '*/ld.so.cache' -not -path '*/random-seed' -not -path '/var/lib/systemd/timers*' -printf '%p %m %u %g\n' | sort; cat /etc/passwd /etc/group`
	before := f.on(t, "m1", look+" || true")
	step := plan.Step{StepID: plan.StepID{Host: "m1", Name: "packages"}, Resources: []resource.Resource{packages}}
	// What lies on a package, as timesync has it.
	later := plan.Step{StepID: plan.StepID{Host: "m1", Name: "clock"}, Resources: []resource.Resource{config, resource.Unit{Name: "chrony.service", Enabled: true}}}
	progress := func(p agent.Progress) { t.Logf("%+v", p) }
	apply := func(steps ...plan.Step) {
		t.Helper()
		for _, s := range steps {
			if err := client.Apply(t.Context(), s, progress); err != nil {
				t.Fatal(err)
			}
		}
	}
	o, err := client.Observe(t.Context(), []plan.Step{step})
	if err != nil {
		t.Fatal(err)
	}
	if got := packages.Diff(o.Resources[packages.ID().String()]); len(got) != 2 || got[1].String() != "systemd-timesyncd: installed → removed (chrony takes its place)" {
		t.Errorf("the plan is %v", got)
	}
	apply(step, later)
	if got := f.on(t, "m1", "dpkg-query --show --showformat '${db:Status-Status} ' chrony systemd-timesyncd; systemctl is-active systemd-timesyncd || true; cat /etc/systemd/timesyncd.conf"); got != "installed config-files inactive\nNTP=a\nNTP=mine" {
		t.Errorf("there is %q", got)
	}
	// An ordinary update of the machine finds nothing broken.
	f.on(t, "m1", "apt-get check && dpkg --audit")
	apply(step, later)
	// Nothing asks for chrony any more. It goes before what lies on it, as a plan has it, or after.
	fewer := step
	less := resource.Packages{Names: []string{"tar"}, Dir: packages.Dir, Repository: packages.Repository}
	fewer.Resources = []resource.Resource{less}
	for _, first := range []bool{true, false} {
		o, err := client.Observe(t.Context(), []plan.Step{fewer})
		if err != nil {
			t.Fatal(err)
		}
		var changes []string
		for _, c := range less.Diff(o.Resources[less.ID().String()]) {
			changes = append(changes, c.String())
		}
		for _, want := range []string{"chrony: installed → removed (nothing asks for it any more)", "systemd-timesyncd: removed → installed (chrony made way)"} {
			if !slices.Contains(changes, want) {
				t.Errorf("the plan is %q", changes)
			}
		}
		if first {
			apply(fewer)
		}
		if err := client.Remove(t.Context(), o.Removals, progress); err != nil {
			t.Fatal(err)
		}
		if !first {
			apply(fewer)
		}
		if after := f.on(t, "m1", look+" || true"); after != before {
			t.Errorf("without chrony (%t) it is not as it was:\n%s", first, strings.Join(resource.DiffLines(before, after), "\n"))
		}
		if o, err = client.Observe(t.Context(), []plan.Step{fewer}); err != nil || len(o.Resources)+len(o.Removals) > 0 {
			t.Errorf("there is still %+v, %v", o, err)
		}
		f.on(t, "m1", "apt-get check && dpkg --audit")
		apply(step, later)
	}
	if err := client.Reset(t.Context(), progress); err != nil {
		t.Fatal(err)
	}
	if after := f.on(t, "m1", look+" || true"); after != before {
		t.Errorf("it is not as it was:\n%s", strings.Join(resource.DiffLines(before, after), "\n"))
	}
	// The next version asks nothing, and keeps what the administrator changed.
	f.on(t, "m1", "apt-get check && dpkg --audit && sed -i s/252.1-1/252.1-2/ /root/keeper/DEBIAN/control && dpkg-deb --build /root/keeper /root/keeper.deb && dpkg --install /root/keeper.deb </dev/null")
	if got := f.on(t, "m1", "cat /etc/systemd/timesyncd.conf; ls /etc/systemd/timesyncd.*; dpkg-query --show --showformat '${Version}${Conffiles}' systemd-timesyncd"); strings.Contains(got, "dpkg-") ||
		strings.Contains(got, "obsolete") || !strings.HasPrefix(got, "NTP=a\nNTP=mine\n") || !strings.Contains(got, "252.1-2") {
		t.Errorf("after an update there is %s", got)
	}
}
