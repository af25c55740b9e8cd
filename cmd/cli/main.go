// Command agent-cli is Shell Agent's client alone, for laptops: what it reaches
// runs the binary agent.
//
// How many processors a container may use is of no interest to a client, and
// takes a tenth of a millisecond to find out.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"shellagent/internal/cli"
)

var program = cli.Program{
	Name:  "agent-cli",
	Short: "a shell on any host over plain HTTPS: the client",
}

func main() { os.Exit(run()) }

func run() int { return cli.Run(cli.Args(os.Args), program) }
