// Package agent is the short-lived process on a machine, and its client. The process lives for the length of one session, speaks over its standard input
// and output, listens nowhere and leaves nothing running. It observes and applies the resources that it is sent, and remembers on the machine
// what it put there. It knows nothing of other machines or of the order of steps. The client takes any io.ReadWriteCloser; Launch makes one of an SSH
// connection.
package agent
