// Package build makes bundles: it compiles node software from upstream's own modules, collects the packages that hosts need from
// the distribution that this computer runs, and puts both into a store.
//
// What is made is data, in the directory distro: a file for each minor of Kubernetes (Release), a directory for each component (Component),
// a file for each distribution (Distribution). The package knows how to compile, not what.
//
// Each component is built by itself and noted in the store under a key: a digest of all that goes into it. A component whose key is
// noted is not built again. Images and the index of the bundle are made anew from that every time, which takes no time and gives the
// same digests.
package build
