package resource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/dbus"
)

// logLines are how many lines of its log come with the failure of a unit.
const logLines = 5

// LocalSystemd is the systemd of this machine. It is connected to when it is first asked.
type LocalSystemd struct {
	exec Exec

	mu   sync.Mutex
	conn *dbus.Conn
}

// connect gives the connection. Systemd's own socket comes first: it needs no message bus, which may be missing or about to be restarted.
func (l *LocalSystemd) connect(ctx context.Context) (*dbus.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && l.conn.Connected() {
		return l.conn, nil
	}
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
	// The connection outlives the question that opened it.
	ctx = context.WithoutCancel(ctx)
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		var busErr error
		if conn, busErr = dbus.NewSystemConnectionContext(ctx); busErr != nil {
			return nil, fmt.Errorf("connecting to systemd: %w (and by the message bus: %w); does this machine run systemd, and is this root?", err, busErr)
		}
	}
	l.conn = conn
	return conn, nil
}

// Close ends the connection, if there is one.
func (l *LocalSystemd) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// Unit asks for the properties of a unit: all, in one question. To ask for those that are wanted is one question each, and each wakes systemd.
func (l *LocalSystemd) Unit(ctx context.Context, name string) (UnitState, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return UnitState{}, err
	}
	properties, err := conn.GetUnitPropertiesContext(ctx, name)
	if err != nil {
		return UnitState{}, fmt.Errorf("asking systemd for %s: %w", name, err)
	}
	text := func(property string) string {
		s, _ := properties[property].(string)
		return s
	}
	u := UnitState{Name: text("Id"), Load: text("LoadState"), Active: text("ActiveState"), File: text("UnitFileState")}
	u.Reload, _ = properties["NeedDaemonReload"].(bool)
	return u, nil
}

// Loaded asks for units by pattern.
func (l *LocalSystemd) Loaded(ctx context.Context, patterns ...string) ([]string, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	found, err := conn.ListUnitsByPatternsContext(ctx, nil, patterns)
	if err != nil {
		return nil, fmt.Errorf("asking systemd for units: %w", err)
	}
	var names []string
	for _, u := range found {
		names = append(names, u.Name)
	}
	slices.Sort(names)
	return names, nil
}

// Units asks for all units at once.
func (l *LocalSystemd) Units(ctx context.Context, names ...string) ([]UnitState, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	found, err := conn.ListUnitsByNamesContext(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("asking systemd for units: %w", err)
	}
	if len(found) != len(names) {
		return nil, fmt.Errorf("systemd was asked for %d units, and answers for %d", len(names), len(found))
	}
	var units []UnitState
	for _, u := range found {
		units = append(units, UnitState{Name: u.Name, Load: u.LoadState, Active: u.ActiveState})
	}
	return units, nil
}

// About asks systemd's manager; the names of its properties are in org.freedesktop.systemd1(5).
func (l *LocalSystemd) About(ctx context.Context) (SystemdInfo, error) {
	conn, err := l.connect(ctx)
	if err != nil {
		return SystemdInfo{}, err
	}
	var about SystemdInfo
	for name, value := range map[string]*string{"Version": &about.Version, "Virtualization": &about.Virtualization} {
		quoted, err := conn.GetManagerProperty(name)
		if err != nil {
			return about, fmt.Errorf("asking systemd for its property %s: %w", name, err)
		}
		if *value, err = strconv.Unquote(quoted); err != nil {
			return about, fmt.Errorf("systemd says that its property %s is %s: %w", name, quoted, err)
		}
	}
	return about, nil
}

// DaemonReload returns when systemd has read its units.
func (l *LocalSystemd) DaemonReload(ctx context.Context) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	if err := conn.ReloadContext(ctx); err != nil {
		return fmt.Errorf("having systemd read its units again: %w", err)
	}
	return nil
}

// Start starts a unit, even if it failed so often that systemd has given up on it.
func (l *LocalSystemd) Start(ctx context.Context, name string) error {
	return l.job(ctx, "starting", name, (*dbus.Conn).StartUnitContext)
}

// Stop stops a unit.
func (l *LocalSystemd) Stop(ctx context.Context, name string) error {
	return l.job(ctx, "stopping", name, (*dbus.Conn).StopUnitContext)
}

// Restart restarts a unit, or starts one that does not run.
func (l *LocalSystemd) Restart(ctx context.Context, name string) error {
	return l.job(ctx, "restarting", name, (*dbus.Conn).RestartUnitContext)
}

// Reload has a unit read its configuration again, by its ExecReload.
func (l *LocalSystemd) Reload(ctx context.Context, name string) error {
	return l.job(ctx, "reloading", name, (*dbus.Conn).ReloadUnitContext)
}

// beginJob is a method of a connection that gives systemd something to do with a unit.
type beginJob func(conn *dbus.Conn, ctx context.Context, name, mode string, done chan<- string) (int, error)

// job gives systemd something to do with a unit, and waits until that is done.
func (l *LocalSystemd) job(ctx context.Context, doing, name string, begin beginJob) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	// It forgets how often the unit failed. One that is not in its memory has nothing to forget, which is its only error.
	_ = conn.ResetFailedUnitContext(ctx, name)
	done := make(chan string, 1) // whoever tells does not wait for us
	if _, err := begin(conn, ctx, name, "replace", done); err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	select {
	case result := <-done:
		if result == "done" || result == "skipped" {
			return nil
		}
		return fmt.Errorf("%s %s: the job ended with %q%s", doing, name, result, l.said(ctx, name))
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w%s", doing, name, ctx.Err(), l.said(context.WithoutCancel(ctx), name))
	}
}

// said is the end of a unit's log, for an error.
func (l *LocalSystemd) said(ctx context.Context, name string) string {
	lines, err := l.Log(ctx, name, logLines)
	if err != nil || len(lines) == 0 {
		return "; journalctl -u " + name + " may say more"
	}
	return "; it logged:\n" + strings.Join(lines, "\n")
}

// Enable has a unit started at boot.
func (l *LocalSystemd) Enable(ctx context.Context, name string) error {
	return l.files(ctx, "enabling", name, func(conn *dbus.Conn) error {
		_, _, err := conn.EnableUnitFilesContext(ctx, []string{name}, false, true)
		return err
	})
}

// Disable is the reverse of Enable.
func (l *LocalSystemd) Disable(ctx context.Context, name string) error {
	return l.files(ctx, "disabling", name, func(conn *dbus.Conn) error {
		_, err := conn.DisableUnitFilesContext(ctx, []string{name}, false)
		return err
	})
}

// Mask has nothing start a unit. It fails where the unit's file is in /etc/systemd/system itself.
func (l *LocalSystemd) Mask(ctx context.Context, name string) error {
	return l.files(ctx, "masking", name, func(conn *dbus.Conn) error {
		_, err := conn.MaskUnitFilesContext(ctx, []string{name}, false, false)
		return err
	})
}

// Unmask is the reverse of Mask.
func (l *LocalSystemd) Unmask(ctx context.Context, name string) error {
	return l.files(ctx, "unmasking", name, func(conn *dbus.Conn) error {
		_, err := conn.UnmaskUnitFilesContext(ctx, []string{name}, false)
		return err
	})
}

// files changes the links that say what is started, and has systemd read them.
func (l *LocalSystemd) files(ctx context.Context, doing, name string, change func(*dbus.Conn) error) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return err
	}
	if err := change(conn); err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return l.DaemonReload(ctx)
}

// Log asks the journal.
func (l *LocalSystemd) Log(ctx context.Context, name string, lines int) ([]string, error) {
	args := []string{"--unit=" + name, "--lines=" + strconv.Itoa(lines), "--output=cat", "--no-pager", "--quiet"}
	o, err := l.exec.Run(ctx, Command{Name: "journalctl", Args: args})
	if err != nil {
		return nil, err
	}
	if o.Code != 0 {
		return nil, fmt.Errorf("reading the log of %s: %s", name, o.last())
	}
	return strings.FieldsFunc(o.Stdout, func(r rune) bool { return r == '\n' }), nil
}
