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
// root in a machine may mount file systems and make device nodes of its own: writing kernel settings that are not the
// machine's own, and opening devices of the computer outside. It lasts as long as the group.
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

// deviceGuard allows making the nodes of all devices, and using those that belong to nobody or to the machine itself. All
// others, disks first of all, belong to the computer outside.
func deviceGuard() asm.Instructions {
	// struct bpf_cgroup_dev_ctx (linux/bpf.h): the access in the upper half of the first word, the kind in the lower.
	const (
		access       = 0
		major        = 4
		minor        = 8
		char         = 2 // BPF_DEVCG_DEV_CHAR
		readAndWrite = 6 // BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE
	)
	// Documentation/admin-guide/devices.txt of Linux
	const (
		memory, terminals, firstPty, lastPty, misc = 1, 5, 136, 143, 10
		mem, kmem, port                            = 1, 2, 4  // of memory: the computer's own
		tun, fuse                                  = 200, 229 // of misc
	)
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, access, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, major, asm.Word),
		asm.LoadMem(asm.R4, asm.R1, minor, asm.Word),
		asm.Mov.Reg(asm.R5, asm.R2),
		asm.RSh.Imm(asm.R5, 16),
		asm.And.Imm(asm.R5, readAndWrite),
		asm.JEq.Imm(asm.R5, 0, "allow"),
		asm.And.Imm(asm.R2, 0xffff),
		asm.JNE.Imm(asm.R2, char, "deny"),
		asm.JEq.Imm(asm.R3, terminals, "allow"),
		asm.JEq.Imm(asm.R3, memory, "memory"),
		asm.JEq.Imm(asm.R3, misc, "misc"),
		asm.JLT.Imm(asm.R3, firstPty, "deny"),
		asm.JLE.Imm(asm.R3, lastPty, "allow"),
		asm.Ja.Label("deny"),
		asm.JEq.Imm(asm.R4, mem, "deny").WithSymbol("memory"),
		asm.JEq.Imm(asm.R4, kmem, "deny"),
		asm.JNE.Imm(asm.R4, port, "allow"),
		asm.Ja.Label("deny"),
		asm.JEq.Imm(asm.R4, tun, "allow").WithSymbol("misc"),
		asm.JEq.Imm(asm.R4, fuse, "allow"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("deny"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("allow"),
		asm.Return(),
	}
}
