// Package ssh connects to hosts as a person's own ssh does: with the keys, the agent, the known hosts and the configuration that are there.
// What is wrong with a connection it says so that somebody can act on it.
//
// The package knows hosts as addresses. It knows neither clusters nor what is run on hosts.
package ssh
