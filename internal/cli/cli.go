// Package cli is the command authsync: it parses, calls, prints. One file a
// command. It looks at the road of a webhook from beside: dev and serve start
// it (package app), the others ask the running server through its API, or the
// databases where the API must not tell.
//
// Output: people get aligned tables, --json gives the same data to scripts.
// Errors are one line, "authsync: what went wrong: what to do", or with --json a problem
// document. The exit status is 0 only on success, 2 for a command that was spelled wrong and for a plan that differs, otherwise 1.
//
// A command that is interrupted or dies leaves the server's work as it is: the same command attaches
// to a run that goes on, or does again what was not done.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/buildinfo"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pgdb"
)

// Process is all that a command knows of the process it runs in, so that tests
// can run one without a process.
type Process struct {
	Program string   // as it was called
	Args    []string // without the program's name
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Lookup  config.Lookup
	Now     func() time.Time
	// Screen tells whether a stream is a person's terminal, and how wide; nil: looks at the stream.
	Screen func(stream any) (columns int, ok bool)
}

// Execute is the whole program: it runs the command of this process, ends it in
// an orderly way on SIGINT or SIGTERM, and returns the exit status. A second
// signal ends the process at once.
func Execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Main(ctx, Process{
		Program: os.Args[0], Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Lookup: config.Environment(), Now: time.Now,
	})
}

// Main runs the command that the arguments name and returns the exit status.
// Once ctx ends, commands finish in an orderly way.
func Main(ctx context.Context, p Process) int {
	root := newRoot(p) //nolint:contextcheck // cobra hands the context to the command that runs
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	cmd, err := root.ExecuteContextC(ctx)
	return report(p.Err, err, projectOf(cmd), asksForJSON(p.Args))
}

// projectOf is the project that a command names; empty if it names none.
func projectOf(cmd *cobra.Command) string {
	if use := strings.Fields(cmd.Use); len(use) > 1 && use[1] == "PROJECT" {
		return cmd.Flags().Arg(0)
	}
	return ""
}

// describe returns what went wrong and, for a connection, what to do.
func describe(err error) string {
	if pgdb.Connecting(err) {
		return "cannot connect to the database: " + pgdb.Describe(err)
	}
	if refused, ok := errors.AsType[*client.RefusedError](err); ok {
		return strings.Replace(err.Error(), refused.Error(), refusal(refused), 1)
	}
	return err.Error()
}

// session is what the commands of one run share.
type session struct {
	Process

	json bool
}

// Root returns the command with all that it holds, for what documents it.
func Root() *cobra.Command { return newRoot(Process{Program: "authsync"}) }

func newRoot(p Process) *cobra.Command {
	s := &session{Process: p}
	root := &cobra.Command{
		Use:   "authsync",
		Short: "Mirror users of Auth0, Clerk, Better Auth and others into PostgreSQL",
		Long: `authsync receives webhooks from identity providers (Auth0, Clerk, Better Auth, others)
and keeps the tables capydb_auth.users, organizations and memberships in your own
PostgreSQL database up to date, so that this data is one JOIN away.

Start with: authsync dev

Tables are cut to the width of the terminal. In a pipe or a file, rows are printed
whole unless COLUMNS sets a width. Use --json in scripts.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           buildinfo.Read().String(),
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // ours is in completion.go
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().BoolVar(&s.json, "json", false, "print JSON instead of text")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w: see %s --help", err, cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "configure", Title: "Configure:"},
		&cobra.Group{ID: "sync", Title: "Sync:"},
		&cobra.Group{ID: "inspect", Title: "Inspect:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add("run", s.newDev(), s.newServe(), s.newListen(), s.newMigrate(), s.newConfig())
	add("configure", s.newProjects(), s.newIntegrations(), s.newDestinations(), s.newGrant(), s.newKeys(),
		s.newExport(), s.newPlan(), s.newApply(), s.newGenerate())
	add("sync", s.newBackfill(), s.newReconcile(), s.newRefresh(), s.newRedeliver(), s.newErase())
	add("inspect", s.newEvents(), s.newUsers(), s.newRecords(), s.newDeliveries(), s.newErasures(), s.newAudit(), s.newExplain(), s.newDoctor(), s.newReady(),
		s.newProblems(),
		s.newSend(), s.newSelfTest(), s.newDemoProvider())
	help := newHelp()
	root.SetHelpCommand(help)
	root.AddCommand(s.newVersion(), s.newCompletion(), help)
	asGroup(root)
	withExamples(root)
	root.Example = "  authsync dev\n  authsync help projects create"
	s.withCompletion(root)
	fitHelp(root, s.width())
	return root
}

// asGroup makes a command that only holds others show its help when called
// alone, and refuse what is none of them.
func asGroup(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		cmd.SetOut(cmd.ErrOrStderr())
		return errors.Join(usageError{errors.New("a command is missing")}, cmd.Help())
	}
	return cmd
}

// takes checks the number of arguments; names are as in the usage line.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef("too few arguments: usage is %s", cmd.UseLine())
		}
		if most >= 0 && len(args) > most {
			return usagef("%q is one argument too many: usage is %s", args[most], cmd.UseLine())
		}
		return nil
	}
}
