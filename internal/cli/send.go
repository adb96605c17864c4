package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

// waitForOutcome bounds send --wait and each step of verify.
const waitForOutcome = 30 * time.Second

// sendFlags are the flags of send.
type sendFlags struct {
	user, organization, id, at string
	set                        []string
	secret                     source
	wait                       bool
	anyType                    bool
}

func (s *session) newSend() *cobra.Command {
	f := sendFlags{secret: source{flag: "secret"}}
	cmd := &cobra.Command{
		Use:   "send PROJECT PROVIDER TYPE",
		Short: "Send a signed sample event to the receiver",
		Long: `Builds an event of the given type in the provider's format, signs it with the
integration's signing secret, and posts it to the webhook receiver. --set email=…
works for every provider; all other keys are the provider's own.

The API never returns a signing secret: it is read from the control database (that
of the dev server, otherwise DATABASE_URL and AUTHSYNC_ENCRYPTION_KEY), or from
--secret-file or --secret-env.`,
		Example: "  authsync send demo clerk user.created --set first_name=Ada --set email=ada@example.com --wait\n" +
			"  authsync send demo auth0 user.updated --user 'auth0|1' --set nickname=null\n" +
			"  authsync send demo better-auth user.deleted --user u1 --at 2026-01-31T12:00:00Z\n" +
			"  authsync send demo auth0 log.sdu --user 'auth0|1'   # an entry of a log stream: log. and the code of its type",
		Args: takes(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.send(cmd.Context(), args[0], args[1], args[2], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.user, "user", "", "the user's id; default: a new one")
	flags.StringVar(&f.organization, "organization", "", "the organization's id; default: a new one")
	flags.StringArrayVar(&f.set, "set", nil, "set a key of the event's object, as key=value: JSON or text, null is an explicit null; may be repeated")
	flags.StringVar(&f.id, "id", "", "the event's id; default: a new one. Reusing an id makes a duplicate")
	flags.StringVar(&f.at, "at", "", "the time of the change: RFC 3339, or how long ago, such as 1h; default: now")
	flags.StringVar(&f.secret.file, "secret-file", "", "file with the signing secret; - is standard input")
	flags.StringVar(&f.secret.env, "secret-env", "", "environment variable with the signing secret")
	flags.BoolVar(&f.anyType, "any-type", false, "also send types that the provider is not known to send")
	flags.BoolVar(&f.wait, "wait", false, "wait for the event's outcome")
	return cmd
}

func (s *session) send(ctx context.Context, projectName, providerName, eventType string, f sendFlags) (err error) {
	if !f.anyType {
		if err := checkType(providerName, eventType); err != nil {
			return err
		}
	}
	now := s.Now()
	sample := provider.Sample{Type: eventType, ID: f.id, UserID: f.user, OrganizationID: f.organization}
	if sample.At, err = moment(f.at, now); err != nil {
		return err
	}
	if sample.Set, err = parseSet("--set", f.set); err != nil {
		return err
	}
	var g *signer
	if f.secret.given() {
		g, err = s.newSignerWith(ctx, f.secret, projectName, providerName)
	} else {
		g, err = s.storedSigner(ctx, projectName, providerName)
	}
	if err != nil {
		return err
	}
	event, err := g.send(ctx, sample, now)
	if err != nil {
		return sendError(err, projectName, g.kind.Name())
	}
	if f.wait {
		return s.awaitAndShow(ctx, g.projectID, event, now)
	}
	if s.json {
		return s.printJSON(event)
	}
	return s.printf("204: the server has event %s about %s %s.\nSee its outcome: authsync events list %s --event %s\n",
		event.EventID, event.RecordType, orDash(event.RecordID), projectName, event.EventID)
}

// storedSigner needs the control database only for as long as it takes to read the secret.
func (s *session) storedSigner(ctx context.Context, projectName, providerName string) (g *signer, err error) {
	control, err := s.control(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = closeControl(ctx, control, err) }()
	return s.newSigner(ctx, control, projectName, providerName)
}

// moment reads --at.
func moment(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return now, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usagef("%q is no time: give RFC 3339, such as 2026-01-31T12:00:00Z, or how long ago, such as 90m", text)
	}
	return at, nil
}

func sendError(err error, projectName, providerName string) error {
	if errors.Is(err, provider.ErrNoSecret) {
		return fmt.Errorf("%s of project %s has no signing secret yet: authsync integrations set %s %s --webhook-signing-secret-file FILE",
			providerName, projectName, projectName, providerName)
	}
	if status := client.Status(err); status != 0 {
		return fmt.Errorf("the receiver refused the event: %w", err)
	}
	return err
}

// awaitAndShow waits for the event's outcome through the API and prints it.
func (s *session) awaitAndShow(ctx context.Context, projectID string, e sent, since time.Time) error {
	api, err := s.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, waitForOutcome,
		fmt.Errorf("event %s had no outcome within %s: authsync doctor may tell why", e.EventID, waitForOutcome))
	defer cancel()
	event, err := poll(ctx, func() (client.Event, bool, error) {
		found, err := api.Events(ctx, projectID, client.EventFilter{EventID: e.EventID, Since: since.Add(-time.Minute)}, 1)
		if err != nil || len(found) == 0 {
			return client.Event{}, false, err
		}
		return found[0], found[0].Outcome != "pending", nil
	})
	if err != nil {
		return err
	}
	if s.json {
		err = s.printJSON(event)
	} else {
		err = s.printEvents(event)
	}
	if err == nil && event.Outcome == "failed" {
		return errReported
	}
	return err
}

// poll asks until the answer is there; when ctx ends first, its cause is the error.
func poll[T any](ctx context.Context, ask func() (T, bool, error)) (T, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, done, err := ask()
		if err == nil && done {
			return answer, nil
		}
		if ctx.Err() != nil {
			return answer, context.Cause(ctx)
		}
		if err != nil {
			return answer, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answer, context.Cause(ctx)
		}
	}
}
