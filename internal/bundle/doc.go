// Package bundle is the store of node software: everything that runs on nodes, by digest.
//
// A store is an OCI image layout (OCI Image Format Specification 1.1), so other programs read it, too. Its index.json names
// bundles and, for those programs, the images within them. A bundle is all software for one version of Kubernetes and one platform: an
// index of parts. A part is an image, or an artifact: programs for hosts, or a repository of packages for a family of hosts. Equal
// content is one blob, whichever parts and bundles hold it.
//
// What is in a store never changes: blobs bear their digest as name and appear at once, complete. index.json is replaced as a whole, by
// one at a time, after all that it names is there. So whatever is interrupted, the store is as it was or as it shall be; what is left
// over is removed by Prune.
//
// The package knows how software is kept and described, not how it is made (package build does) nor what hosts do with it.
package bundle
