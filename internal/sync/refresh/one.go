package refresh

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// oneTimeout limits a refresh that someone waits for.
const oneTimeout = 40 * time.Second

// One refreshes single records on request and waits for the result.
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
	Recent      = "recent"       // the provider's answer, which may lag, contradicts what the mirror has just heard
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
	Record   record.Ref
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

// Refresh asks the provider about a record and brings the mirror to the answer. An
// empty provider is the one that the row came from, else the only one of the project.
// Errors: fault.Invalid, if the provider does not follow from the project and the mirror and has to
// be named; fault.Unsupported, if it cannot be asked about such records; fault.UserNotFound or
// fault.RecordNotFound, if neither the provider nor the mirror knows the record; fault.RowRefused;
// those of source.Integrations and of a Source; and *tenantdb.DelayError.
func (o *One) Refresh(ctx context.Context, projectID uuid.UUID, ref record.Ref, providerName string) (Repair, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, oneTimeout, fault.Newf(fault.ProviderUnavailable, "the provider and the project's database did not answer within %s", oneTimeout))
	defer cancel()
	if err := possible(ref); err != nil {
		return Repair{}, err
	}
	name, err := o.choose(ctx, projectID, ref, providerName)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	opened, err := o.Accounts.Open(ctx, projectID, name)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	defer opened.Close()
	if group, mirrored := opened.Options.Mirrors(ref.Type); !mirrored {
		return Repair{}, fault.Newf(fault.Unsupported, "the integration %s does not mirror %s: add them to its option record_types first", name, group)
	}
	reader := Reader{
		Type: ref.Type, Account: opened, Mirror: o.Mirror, ProjectID: projectID, Provider: name,
		Kind: provider.KindRefresh, RunID: uuid.NewString(),
	}
	answers, err := reader.Read(ctx, []string{ref.ID})
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	if err := unusable(&answers[0], ref.Type, name); err != nil {
		return Repair{}, err
	}
	return o.apply(ctx, &reader, answers)
}

// apply brings the mirror to an answer.
func (o *One) apply(ctx context.Context, reader *Reader, answers []Answer) (Repair, error) {
	results, err := reader.Apply(ctx, answers)
	if err != nil {
		return Repair{}, ended(ctx, err)
	}
	if results[0].Err != nil {
		return Repair{}, fault.Wrap(fault.RowRefused, results[0].Err, "the "+string(reader.Type)+" was read but cannot be written: "+pgdb.Describe(results[0].Err))
	}
	if err := mirror.Deferred(results); err != nil {
		return Repair{}, err
	}
	if err := delivery.RequestRelay(ctx, o.Pool, reader.ProjectID); err != nil {
		return Repair{}, err
	}
	repair := told(&answers[0], results[0], reader)
	repair.EventID = provider.KindRefresh + ":" + reader.RunID
	if reader.Type == record.User {
		_, err = o.Pool.Exec(ctx, deleteAbandoned, reader.ProjectID, reader.Provider, answers[0].ID)
	}
	return repair, err
}

// possible reports a record that no provider can be asked about.
func possible(ref record.Ref) error {
	if d, _ := record.Of(ref.Type); !d.Listed {
		return fault.Newf(fault.Unsupported, "%s cannot be refreshed: what a provider still knows of one that has ended is no proof of anything, so only events tell of them", d.Table)
	}
	if _, _, ok := record.SplitMembershipID(ref.ID); ref.Type == record.Membership && !ok {
		return fault.New(fault.RecordNotFound, "no membership has this id: it is the id of its organization, a slash, and the id of its user")
	}
	return nil
}

// unusable returns the error of an answer from which nothing follows, nil if something does.
func unusable(a *Answer, t record.Type, name string) error {
	notFound := fault.RecordNotFound
	if t == record.User {
		notFound = fault.UserNotFound
	}
	title := provider.Title(name)
	switch {
	case fault.Is(a.Err, fault.ProviderError, fault.Unsupported):
		return a.Err
	case a.Err != nil:
		return fault.Newf(fault.ProviderError, "the provider's answer about this %s cannot be understood: %v", t, a.Err)
	case a.IsUnknown:
		return fault.Newf(notFound, "neither %s nor the mirror has %s of this id: "+
			"check the id; if it is of another provider of the project, name that", title, t.WithArticle())
	case a.IsBare:
		return fault.Newf(fault.Unsupported, "%s has this %s, but does not allow the stored credentials to read it: "+
			"authsync backfill --help lists the permissions", title, t)
	default:
		return nil
	}
}

// ended returns the cause if our own deadline passed, not the caller's.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return err
}

// choose determines the provider to ask.
func (o *One) choose(ctx context.Context, projectID uuid.UUID, ref record.Ref, given string) (string, error) {
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
	clocks, err := o.Mirror.Clocks(ctx, projectID, ref.Type, []string{ref.ID})
	if err != nil {
		return "", err
	}
	row, known := clocks[ref.ID]
	switch {
	case !known || row.Provider == nil:
		what := "the mirror has no such " + string(ref.Type)
		if known {
			what = "of this " + string(ref.Type) + " the mirror has a placeholder only"
		}
		return "", fault.At("provider", "the project has several providers (%s), and %s: say which one to ask (--provider, or provider in the body)",
			strings.Join(all, ", "), what)
	case !slices.Contains(all, *row.Provider):
		return "", fault.At("provider", "the %s came from %s, which the project does not have any more: say which one to ask (%s)",
			ref.Type, *row.Provider, strings.Join(all, ", "))
	default:
		return *row.Provider, nil
	}
}

// told describes an answer and its result.
func told(a *Answer, result mirror.Result, reader *Reader) Repair {
	r := Repair{Record: record.Ref{Type: reader.Type, ID: a.ID}, Provider: reader.Provider, Found: a.Finding, Columns: a.Columns, Done: Nothing}
	if r.Columns == nil {
		r.Columns = []string{}
	}
	done := Updated
	switch {
	case a.IsRecent:
		r.Found = Recent
	case a.Gone:
		r.Found, done = Gone, Removed
	case a.Finding == mirror.Deleted:
		r.Found, done = DeletedHere, Restored
	case a.Finding == mirror.Missing:
		done = Created
	case a.Finding == mirror.Unreported: // it differs nevertheless
		r.Found = mirror.Differing
	}
	if a.NeedsRepair() && result.Outcome == mirror.Applied {
		r.Done = done
	}
	if note := advice(a, result, reader); note != "" {
		r.Note = &note
	}
	return r
}

// advice is what a person should know beside what was found and done.
func advice(a *Answer, result mirror.Result, reader *Reader) string {
	switch {
	case a.MayBeAnothers:
		return "the row in the mirror is, or may be, of another provider of the project, so it stays as it is"
	case a.IsRecent:
		lag := userapi.LagOf(reader.Account.Source, reader.Type)
		return fmt.Sprintf("the mirror heard of a change less than %s ago, which the answers of %s may not know yet, so the row stays as it is: refresh it again in %[1]s",
			lag, provider.Title(reader.Provider))
	case a.NeedsRepair() && result.Outcome != mirror.Applied:
		return "an event that came meanwhile was newer: what it said stays"
	case len(a.Tolerated) > 0:
		return "not compared, because only one side says it, or only for this moment: " + strings.Join(a.Tolerated, ", ")
	default:
		return ""
	}
}
