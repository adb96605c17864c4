package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/doctor"
	"github.com/authsync/authsync/internal/plural"
)

func (s *session) newDoctor() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the server and its databases for problems",
		Long: `Checks the server, the control database and the project databases, and suggests a
next step for each problem: no running worker, waiting messages or deliveries, failing
runs and jobs, a damaged or incomplete mirror. It changes nothing. The exit status is
0 only if nothing failed; warnings do not count.

It needs the control database and its key (those of the dev server, else
DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY), and the server's URL and a key
(AUTHSYNC_URL, AUTHSYNC_API_KEY).`,
		Example: "  authsync doctor\n" +
			`  authsync doctor --json | jq '.[] | select(.status != "ok")'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.settings()
			if err != nil {
				return err
			}
			var unlimited *bool
			if c.DatabaseURL != "" { // otherwise it is the dev server
				unlimited = new(c.DatabaseLimitBytes == 0)
			}
			var results []doctor.Result
			err = doctor.Run(cmd.Context(), doctor.Config{
				Now: s.Now, Server: s.knownServer, Database: s.database, Open: s.control, Unlimited: unlimited,
				Report: func(r doctor.Result) error {
					results = append(results, r)
					return s.printResult(r)
				},
			})
			if err != nil {
				return err
			}
			return s.finishDoctor(results)
		},
	}
}

// knownServer gives the server's URL also where no key for it is known.
func (s *session) knownServer() (string, config.Secret, error) {
	url, key, err := s.server()
	if err != nil {
		url, _ = s.serverURL()
	}
	return url, key, err
}

func (s *session) printResult(r doctor.Result) error {
	if s.json {
		return nil // all at once in the end
	}
	word := map[string]string{doctor.OK: "ok", doctor.Warning: "warning", doctor.Failed: "failed"}[r.Status]
	if err := s.printf("%s %s: %s\n", s.styled(styleOf(word), fmt.Sprintf("%-8s", word)), r.Check, printable(r.Found)); err != nil || r.Next == "" {
		return err
	}
	return s.printf("%-8s next: %s\n", "", printable(r.Next))
}

// finishDoctor prints the results for --json, and turns them into the command's success.
func (s *session) finishDoctor(results []doctor.Result) error {
	failed, warnings := 0, 0
	for _, r := range results {
		switch r.Status {
		case doctor.Failed:
			failed++
		case doctor.Warning:
			warnings++
		}
	}
	var err error
	if s.json {
		err = s.printJSON(results)
	} else {
		err = s.printf("%s: %d ok, %d failed, %s.\n", plural.Of(len(results), "check"), len(results)-failed-warnings, failed, plural.Of(warnings, "warning"))
	}
	if err == nil && failed > 0 {
		return errReported
	}
	return err
}
