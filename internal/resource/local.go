package resource

// Local is the machine that this process runs on.
type Local struct {
	Files   LocalFiles
	Kernel  LocalKernel
	Exec    LocalExec
	Systemd *LocalSystemd
	CRI     *LocalCRI
}

// NewLocal is the machine with its files, or with those below another root directory, which it does not leave. Only files have another root: the kernel
// and systemd are the machine's. Close it when it is done with.
func NewLocal(root string) (*Local, error) {
	files, err := newLocalFiles(root)
	if err != nil {
		return nil, err
	}
	run := LocalExec{}
	return &Local{Files: files, Kernel: LocalKernel{run}, Exec: run, Systemd: &LocalSystemd{exec: run}, CRI: &LocalCRI{}}, nil
}

// Env is the machine for resources, which want Blob and Kept besides.
func (l *Local) Env() *Env {
	return &Env{Files: l.Files, Systemd: l.Systemd, Kernel: l.Kernel, Exec: l.Exec, CRI: l.CRI, Containerd: LocalContainerd{l.CRI}, Measure: LocalMeasure{}}
}

// Close lets go of the connections to systemd and container runtimes, and of the root directory.
func (l *Local) Close() error {
	l.Systemd.Close()
	l.CRI.Close()
	return l.Files.tree.Close()
}
