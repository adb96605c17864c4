package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/refresh"
)

// Refresher reads single records from their provider; see refresh.One.
type Refresher interface {
	// Refresh has an empty providerName where the caller names none.
	Refresh(ctx context.Context, projectID uuid.UUID, ref record.Ref, providerName string) (refresh.Repair, error)
}

// refreshUser reads a user from the provider and brings the mirror to it.
func (a *API) refreshUser(r *http.Request) (answer, error) {
	p, id, err := a.user(r)
	if err != nil {
		return answer{}, err
	}
	return a.refresh(r, p, record.Ref{Type: record.User, ID: id})
}

// refreshRecord does so with a record of any type.
func (a *API) refreshRecord(r *http.Request) (answer, error) {
	p, _, ref, err := a.record(r)
	if err != nil {
		return answer{}, err
	}
	return a.refresh(r, p, ref)
}

func (a *API) refresh(r *http.Request, p project.Project, ref record.Ref) (done answer, err error) {
	var in struct {
		Provider string `json:"provider"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Provider != "" {
		if in.Provider, err = provider.ParseName(in.Provider); err != nil {
			return answer{}, wrongField("provider", "%v", err)
		}
	}
	repair, err := a.config.Refresher.Refresh(r.Context(), p.ID, ref, in.Provider)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: repaired(repair)}, nil
}

func repaired(r refresh.Repair) wire.Repair {
	w := wire.Repair{
		RecordType: string(r.Record.Type), RecordID: r.Record.ID, Provider: r.Provider,
		Found: r.Found, Columns: r.Columns, Done: r.Done, Note: r.Note, EventID: r.EventID,
	}
	switch _, userID, is := record.SplitMembershipID(r.Record.ID); {
	case r.Record.Type == record.User:
		w.UserID = &w.RecordID
	case is && r.Record.Type == record.Membership:
		w.UserID = &userID
	}
	return w
}

// redeliver asks the provider to send again what it could not deliver.
func (a *API) redeliver(r *http.Request) (answer, error) {
	p, of, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.RedeliverOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if can, err := a.mayRedeliver(r.Context(), p.ID, of.Name()); err != nil || !can { // before credentials are demanded that would not help
		return answer{}, cmp.Or(err, noRedelivery(of.Name()))
	}
	order := userapi.RedeliverRequest{Stream: in.Stream, DryRun: in.DryRun}
	if order.From, err = moment(inBody, "since", in.Since); err != nil {
		return answer{}, err
	}
	if order.To, err = moment(inBody, "until", in.Until); err != nil {
		return answer{}, err
	}
	if !order.To.IsZero() && !order.From.Before(order.To) {
		return answer{}, wrongField("until", "until must be later than since")
	}
	opened, err := a.config.Accounts.Open(r.Context(), p.ID, of.Name())
	if err != nil {
		return answer{}, err
	}
	defer opened.Close()
	redeliverer, can := opened.Source.(userapi.Redeliverer)
	if !can {
		return answer{}, noRedelivery(of.Name())
	}
	done, err := redeliverer.Redeliver(r.Context(), p.ID.String(), order)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: wire.Redelivery{
		DryRun: done.DryRun, From: done.From, To: done.To,
		Streams: each(done.Streams, func(s userapi.RedeliveryStream) wire.RedeliveryStream { return wire.RedeliveryStream(s) }),
	}}, nil
}

// mayRedeliver reports whether there is a way to have a provider's failed deliveries sent again. At Clerk it is not documented, and
// taken only where it is to set up the webhook as well.
func (a *API) mayRedeliver(ctx context.Context, projectID uuid.UUID, name string) (bool, error) {
	if name != provider.Clerk {
		return name == provider.Auth0, nil
	}
	i, err := a.config.Store.FindIntegration(ctx, projectID, name)
	if errors.Is(err, project.ErrNoIntegration) {
		return false, nil
	}
	return i.Options.Provision, err
}

// noRedelivery is what to do instead with a provider that cannot redeliver.
func noRedelivery(name string) error {
	instead := "authsync reconcile finds what was missed"
	if name == provider.Clerk {
		return fail(fault.Unsupported, "authsync asks Clerk for failed deliveries only where it set up the webhook, with option provision: "+
			"in Clerk's dashboard, Configure, Webhooks, the endpoint, Replay does it; or %s", instead)
	}
	return fail(fault.Unsupported, "%s has no call that sends failed deliveries again: %s", provider.Title(name), instead)
}
