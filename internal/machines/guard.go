package machines

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/kubewright/kubewright/internal/machines/inside"
)

// attachGuard forbids everything in a control group (cgroup v2 directory) two things that no mount can forbid, because
// root in a machine may mount file systems of its own: writing kernel settings that are not the machine's own, and opening
// block devices, which are the disks of the machine outside. It lasts as long as the group.
func attachGuard(dir string) error {
	group, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer group.Close()
	for _, guard := range []struct {
		spec   *ebpf.ProgramSpec
		attach ebpf.AttachType
	}{
		{&ebpf.ProgramSpec{Name: "kw_sysctl", Type: ebpf.CGroupSysctl, License: "Apache-2.0", Instructions: sysctlGuard(inside.NamespacedSysctls)}, ebpf.AttachCGroupSysctl},
		{&ebpf.ProgramSpec{Name: "kw_device", Type: ebpf.CGroupDevice, License: "Apache-2.0", Instructions: deviceGuard()}, ebpf.AttachCGroupDevice},
	} {
		program, err := ebpf.NewProgram(guard.spec)
		if err != nil {
			return fmt.Errorf("loading the BPF program that guards the shared kernel: %w", err)
		}
		err = link.RawAttachProgram(link.RawAttachProgramOptions{
			Target: int(group.Fd()), Program: program, Attach: guard.attach,
			Flags: unix.BPF_F_ALLOW_MULTI, // container runtimes inside attach their own below
		})
		program.Close()
		if err != nil {
			return fmt.Errorf("attaching the BPF program that guards the shared kernel to %s: %w", dir, err)
		}
	}
	return nil
}

// sysctlGuard allows every reading, and writing where the name begins with one of the given prefixes.
func sysctlGuard(prefixes []string) asm.Instructions {
	const nameLen = 64 // bytes on the stack for the name, such as net/ipv4/ip_forward; the kernel cuts longer ones
	const writes = 0   // offset of bpf_sysctl.write (linux/bpf.h)
	ins := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, writes, asm.Word),
		asm.JEq.Imm(asm.R2, 0, "allow"),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -nameLen),
		asm.Mov.Imm(asm.R3, nameLen),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnSysctlGetName.Call(),
	}
	for i, prefix := range prefixes {
		next := fmt.Sprintf("not_%d", i)
		for at, char := range []byte(prefix) {
			ins = append(ins, asm.LoadMem(asm.R1, asm.RFP, int16(at-nameLen), asm.Byte), asm.JNE.Imm(asm.R1, int32(char), next))
		}
		ins = append(ins, asm.Ja.Label("allow"), asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	return append(ins,
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("allow"),
		asm.Return(),
	)
}

// deviceGuard allows everything with character devices, and with block devices only to make their nodes.
func deviceGuard() asm.Instructions {
	const (
		accessType   = 0 // offset of bpf_cgroup_dev_ctx.access_type: the access in the upper half, the kind in the lower
		block        = 1 // BPF_DEVCG_DEV_BLOCK
		readAndWrite = 6 // BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE
	) // all of linux/bpf.h
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, accessType, asm.Word),
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.And.Imm(asm.R3, 0xffff),
		asm.JNE.Imm(asm.R3, block, "allow"),
		asm.RSh.Imm(asm.R2, 16),
		asm.And.Imm(asm.R2, readAndWrite),
		asm.JEq.Imm(asm.R2, 0, "allow"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("allow"),
		asm.Return(),
	}
}
