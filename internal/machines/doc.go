// Package machines makes local machines: systemd-nspawn containers on this computer that behave like fresh servers, with
// their own systemd, sshd, network, limits and disks, for trying Kubewright and for its end-to-end tests.
//
// Machines live in sets. A set has a name, an address range of its own out of 198.18.0.0/15 (RFC 2544, never routed on the
// internet) and a network namespace that holds its switch. Names, addresses and locks are per set, so that several users
// of one computer do not meet.
//
// What runs is never remembered, it is looked at: a machine is the processes in its control group, kubewright/SET/NAME;
// its mounts are in a mount namespace and its network devices in a network namespace that end with these processes. What
// stays on disk is what a server would keep: its disk, and what was ordered of it (CPUs, memory, size). So a program that
// is killed in the middle of anything leaves nothing that the next one does not find.
//
// The package knows nothing of Kubernetes, of clusters or of how machines are used.
package machines
