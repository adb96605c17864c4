// Command authsync mirrors users and organizations of identity providers into the
// PostgreSQL databases of those who need them. Everything it does is in package cli.
package main

import (
	"os"

	"github.com/authsync/authsync/internal/cli"
)

func main() { os.Exit(cli.Execute()) }
