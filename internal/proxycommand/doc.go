// Package proxycommand reaches a server through a program whose standard input
// and output are the connection: ssh_config(5)'s ProxyCommand.
package proxycommand
