// Package v1alpha1 is the cluster file as a person writes it: its fields, their defaults, and what makes sense.
//
// Parse reads a file and says all that is wrong with it at once, each with line and column. What it returns is complete: defaults are
// filled in, ranges of hosts are written out. The package knows the file, not machines: what can only be found out on a host is
// not its business.
package v1alpha1
