package refresh

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// oneTimeout limits a refresh that someone waits for.
const oneTimeout = 40 * time.Second

// One refreshes single users on request and waits for the result.
type One struct {
	Pool     *pgxpool.Pool // the control database
	Accounts source.Accounts
	Mirror   Mirror
	// Providers returns the names of a project's providers.
	Providers func(ctx context.Context, projectID uuid.UUID) ([]string, error)
}

// Findings in addition to mirror.Equal, Missing and Differing.
const (
	DeletedHere = "deleted_here" // deleted in the mirror, but not at the provider
	Gone        = "gone"         // unknown to the provider
)

// Actions.
const (
	Nothing  = "nothing"
	Created  = "created"
	Updated  = "updated"
	Restored = "restored"
	Removed  = "deleted" // deleted_at was set
)

// Repair is the result of a refresh.
type Repair struct {
	UserID   string
	Provider string
	Found    string
	// Columns are the columns that differed.
	Columns []string
	Done    string
	// Note is additional advice; nil if there is none.
	Note *string
	// EventID identifies, in the mirror, what this refresh wrote.
	EventID string
}

// Refresh asks the provider about a user and brings the mirror to the answer. An
// empty provider is the one that the row came from, else the only one of the project.
// Errors: fault.Invalid, if the provider does not follow from the project and the mirror and has to
// be named; fault.UserNotFound, if neither the provider nor the mirror knows the user;
// fault.RowRefused; those of source.Integrations and of a Source; and *tenantdb.DelayError.
func (o *One) Refresh(ctx context.Context, projectID uuid.UUID, userID, providerName string) (Repair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, oneTimeout, fault.Newf(fault.ProviderUnavailable, "the provider and the project's database did not answer within %s", oneTimeout))
	defer cancel()
	name, err := o.choose(ctx, projectID, userID, providerName)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	opened, err := o.Accounts.Open(ctx, projectID, name)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	defer opened.Close()
	reader := Reader{
		Type: record.User, Account: opened, Mirror: o.Mirror, ProjectID: projectID, Provider: name,
		Kind: provider.KindRefresh, RunID: uuid.NewString(),
	}
	answers, err := reader.Read(ctx, []string{userID})
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	answer := answers[0]
	if answer.Err != nil {
		return Repair{}, unreadable(answer.Err)
	}
	if answer.IsUnknown {
		return Repair{}, fault.Newf(fault.UserNotFound, "neither %s nor the mirror has a user of this id: "+
			"check the id; if it is of another provider of the project, name that", provider.Title(name))
	}
	results, err := reader.Apply(ctx, answers)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	if results[0].Err != nil {
		return Repair{}, fault.Wrap(fault.RowRefused, results[0].Err, "the user was read but cannot be written: "+pgdb.Describe(results[0].Err))
	}
	if err := mirror.Deferred(results); err != nil {
		return Repair{}, err
	}
	if err := delivery.RequestRelay(ctx, o.Pool, projectID); err != nil {
		return Repair{}, err
	}
	repair := told(&answer, results[0], name)
	repair.EventID = provider.KindRefresh + ":" + reader.RunID
	_, err = o.Pool.Exec(ctx, deleteAbandoned, projectID, name, userID)
	return repair, err
}

// ended returns the cause if our own deadline passed, not the caller's.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// unreadable is the error of a user object that cannot be decoded.
func unreadable(err error) error {
	if fault.Is(err, fault.ProviderError) {
		return err
	}
	return fault.New(fault.ProviderError, "the provider's answer about this user cannot be understood: "+err.Error())
}

// choose determines the provider to ask.
func (o *One) choose(ctx context.Context, projectID uuid.UUID, userID, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	all, err := o.Providers(ctx, projectID)
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 0:
		return "", fault.At("provider", "the project has no integration, so there is no provider to ask: set one up first (authsync integrations set PROJECT PROVIDER)")
	case 1:
		return all[0], nil
	}
	clocks, err := o.Mirror.Clocks(ctx, projectID, record.User, []string{userID})
	if err != nil {
		return "", err
	}
	row, known := clocks[userID]
	switch {
	case !known || row.Provider == nil:
		what := "the mirror has no such user"
		if known {
			what = "of this user the mirror has a placeholder only"
		}
		return "", fault.At("provider", "the project has several providers (%s), and %s: say which one to ask (--provider, or provider in the body)",
			strings.Join(all, ", "), what)
	case !slices.Contains(all, *row.Provider):
		return "", fault.At("provider", "the user came from %s, which the project does not have any more: say which one to ask (%s)",
			*row.Provider, strings.Join(all, ", "))
	default:
		return *row.Provider, nil
	}
}

// told describes an answer and its result.
func told(a *Answer, result mirror.Result, name string) Repair {
	r := Repair{UserID: a.ID, Provider: name, Found: a.Finding, Columns: a.Columns, Done: Nothing}
	if r.Columns == nil {
		r.Columns = []string{}
	}
	done := Updated
	switch {
	case a.Gone:
		r.Found, done = Gone, Removed
	case a.Finding == mirror.Deleted:
		r.Found, done = DeletedHere, Restored
	case a.Finding == mirror.Missing:
		done = Created
	case a.Finding == mirror.Unreported: // it differs nevertheless
		r.Found = mirror.Differing
	}
	note := ""
	switch {
	case a.MayBeAnothers:
		note = "the row in the mirror is, or may be, of another provider of the project, so it stays as it is"
	case !a.NeedsRepair():
	case result.Outcome == mirror.Applied:
		r.Done = done
	default:
		note = "an event that came meanwhile was newer: what it said stays"
	}
	if note == "" && len(a.Tolerated) > 0 {
		note = "not compared, because only one side says it, or only for this moment: " + strings.Join(a.Tolerated, ", ")
	}
	if note != "" {
		r.Note = &note
	}
	return r
}
