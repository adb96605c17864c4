package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/watch"
)

// redeliverPause is how long deliveries that were asked for have to arrive before they are asked for again.
const redeliverPause = 10 * time.Minute

// provider looks at the event streams of a provider, has failed deliveries sent again, and reconciles after a gap.
func (w *Worker) provider(ctx context.Context, s *state) {
	now := w.config.Now()
	s.pause = providerPause
	if s.Silent && s.GapSince == nil {
		s.GapSince = &now
	}
	probing, cancel := context.WithTimeoutCause(ctx, providerTime, errNoAnswer)
	defer cancel()
	isBad, err := w.streams(probing, s)
	switch {
	case err == nil:
		s.FailingSince, s.ConsecutiveFailures = nil, 0
	case isRejected(err):
		s.failed(now, redact.Reason(err))
		s.Finding = new(watch.CredentialsRejected)
		return
	default: // it is not reachable now, or answers oddly: what was found before still holds
		detail := s.Detail
		s.failed(now, redact.Reason(err))
		if s.Finding != nil {
			s.Detail = detail
		}
		return
	}
	if s.Finding != nil && *s.Finding == watch.CredentialsRejected {
		s.Finding, s.Detail = nil, nil
	}
	if s.GapSince == nil {
		s.Finding, s.Detail = nil, nil
		return
	}
	s.pause = gapPause
	if isBad || s.Silent {
		s.GapUntil, s.RunID = nil, nil // a run that began before does not close this gap
		return
	}
	w.reconcile(ctx, s)
}

// isRejected reports whether the provider does not accept the credentials at all.
func isRejected(err error) bool {
	var lacks userapi.LackError
	return fault.Is(err, fault.CredentialsRefused) && !errors.As(err, &lacks)
}

// streams looks at the event streams and has them heal. Without a way to look there is nothing bad.
func (w *Worker) streams(ctx context.Context, s *state) (isBad bool, err error) {
	account, err := w.config.Accounts.Open(ctx, s.ProjectID, s.Subject)
	if fault.Is(err, fault.Unsupported, fault.ProjectNotFound, fault.IntegrationNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer account.Close()
	redeliverer, can := account.Source.(userapi.Redeliverer)
	if !can {
		return false, nil
	}
	found, err := redeliverer.Redeliver(ctx, s.ProjectID.String(), userapi.RedeliverRequest{DryRun: true})
	var lacks userapi.LackError
	if errors.As(err, &lacks) || fault.Is(err, fault.StreamNotFound) {
		return false, nil // it was not permitted to look, or another way brings the events
	}
	if err != nil {
		return false, err
	}
	trouble, since := describe(s.Subject, found.Streams)
	if trouble == "" {
		return false, nil
	}
	if s.GapSince == nil {
		begun := w.config.Now()
		if s.ProbedAt != nil {
			begun = *s.ProbedAt // it was well then
		}
		if since != nil && since.Before(begun) {
			begun = *since
		}
		s.GapSince = &begun
	}
	s.Finding, s.Detail = new(watch.StreamStopped), &trouble
	w.heal(ctx, s, redeliverer, account.Options, found.Streams)
	return true, nil
}

// describe names what is wrong with streams; empty: nothing. since is when the first failed delivery happened.
func describe(subject string, streams []userapi.RedeliveryStream) (trouble string, since *time.Time) {
	var all []string
	what, disabled := "event stream ", " is disabled, and keeps no events"
	if subject == provider.Clerk {
		what, disabled = "webhook endpoint ", " is disabled, and nothing is sent"
	}
	for i := range streams {
		one := &streams[i]
		if !one.Enabled {
			all = append(all, what+one.ID+disabled)
		}
		if one.Failed > 0 {
			all = append(all, fmt.Sprintf("%s of %s%s failed", plural.Of(one.Failed, "delivery"), what, one.ID))
		}
		if one.Oldest != nil && (since == nil || one.Oldest.Before(*since)) {
			since = one.Oldest
		}
	}
	return strings.Join(all, "; "), since
}

// heal asks for the failed deliveries, and enables streams where that is allowed. What cannot be done is tried again at
// the next look, and named in the problem.
func (w *Worker) heal(ctx context.Context, s *state, account userapi.Redeliverer, o provider.Options, streams []userapi.RedeliveryStream) {
	now := w.config.Now()
	log := w.config.Log.With(slog.String("project_id", s.ProjectID.String()), slog.String("provider", s.Subject))
	hasFailed := false
	for i := range streams {
		hasFailed = hasFailed || streams[i].Failed > 0
	}
	if hasFailed && (s.RedeliveryAt == nil || now.Sub(*s.RedeliveryAt) >= redeliverPause) {
		done, err := account.Redeliver(ctx, s.ProjectID.String(), userapi.RedeliverRequest{})
		// Of a stream that is disabled Clerk is asked for nothing: it is asked once the stream is enabled.
		if err == nil && slices.ContainsFunc(done.Streams, func(one userapi.RedeliveryStream) bool { return one.Requested }) {
			s.RedeliveryAt = &now
			log.InfoContext(ctx, "redelivery_requested")
		}
		s.note(err)
	}
	reenabler, can := account.(userapi.Reenabler)
	if !can || o.Heal == nil || !o.Heal.Reenable {
		return
	}
	for i := range streams {
		if streams[i].Enabled {
			continue
		}
		err := reenabler.Reenable(ctx, streams[i].ID)
		if err == nil {
			log.InfoContext(ctx, "stream_enabled", slog.String("stream", streams[i].ID))
		}
		s.note(err)
	}
}

// note adds an error to what is wrong.
func (s *state) note(err error) {
	if err == nil || fault.Is(err, fault.RedeliveryUnderWay) {
		return
	}
	text := *s.Detail + "; authsync could not heal it: " + redact.Reason(err)
	s.Detail = &text
}

// reconcile restores what no redelivery brings, once the provider sends again. The gap is closed when a reconcile that
// began after it is done.
func (w *Worker) reconcile(ctx context.Context, s *state) {
	now := w.config.Now()
	if s.GapUntil == nil {
		s.GapUntil = &now
	}
	if s.Finding != nil {
		s.Detail = new("it sends again, and what was lost since " + watch.Moment(*s.GapSince) + " is being reconciled")
	}
	if s.RunID != nil {
		run, err := w.config.Latest(ctx, s.ProjectID, s.Subject, provider.KindReconcile)
		switch {
		case err != nil, run.ID == *s.RunID && run.FinishedAt == nil:
			return
		case run.State == syncrun.Done && !run.DryRun:
			s.close()
			return
		}
		s.RunID = nil // it failed or was cancelled; another one follows at the next look
		s.pause = providerPause
		return
	}
	run, err := w.config.Start(ctx, s.ProjectID, s.Subject, syncrun.Order{Kind: provider.KindReconcile})
	var running *syncrun.RunningError
	switch {
	case err == nil:
		s.RunID = &run.ID
		w.config.Log.InfoContext(ctx, "gap_reconcile_started", slog.String("project_id", s.ProjectID.String()), slog.String("provider", s.Subject))
	case errors.As(err, &running): // it may have read past the gap: another one follows it
	case fault.Is(err, fault.Unsupported):
		s.close() // the credentials do not allow one; what can be known is known
	default:
		w.config.Log.WarnContext(ctx, "gap_not_reconciled", slog.String("project_id", s.ProjectID.String()), slog.Any("error", err))
	}
}

// close ends the gap.
func (s *state) close() {
	s.GapSince, s.GapUntil, s.RunID, s.RedeliveryAt, s.Finding, s.Detail = nil, nil, nil, nil, nil, nil
	s.pause = providerPause
}
