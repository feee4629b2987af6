// Package measure finds out by trying what a machine and its network can do: how long its disk takes, which ports are taken, which name servers answer, which packets
// reach others, who else has its address. It leaves nothing behind, and knows nothing of clusters and of what is good enough.
package measure
