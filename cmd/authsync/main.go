// Command authsync mirrors the users of identity providers into the PostgreSQL
// databases of those who need them. Everything it does is in package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/authsync/authsync/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process at once
	os.Exit(cli.Main(ctx, cli.ThisProcess()))
}
