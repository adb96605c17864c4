package project

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
)

// Backfills bring what an account has, and reconciles delete what it does not have. So the first account that an
// integration's users are read from is remembered, by its mark, and credentials of another one are refused: when they are
// stored, and, because nobody may have been able to ask then, before anything that was read is written.

// AccountMismatch is the error about credentials of another account than the one whose users the mirror has.
func AccountMismatch(providerName, kept, given string) error {
	return fault.Newf(fault.AccountMismatch, "the credentials are of another %s account (%.100s) than the one whose users the mirror has (%.100s): "+
		"a backfill would add its users to yours, and a reconcile would delete yours. Store credentials of the first one, or, if this is meant, "+
		"store these with adopt_account (authsync integrations set PROJECT %s --adopt-account)",
		provider.Title(providerName), given, kept, providerName)
}

const (
	selectAccountMark = `
		SELECT account_mark FROM authsync.integrations WHERE project_id = $1 AND provider = $2`

	keepAccountMark = `
		UPDATE authsync.integrations SET account_mark = coalesce(account_mark, $3)
		WHERE project_id = $1 AND provider = $2
		RETURNING account_mark`
)

// KeepAccountMark stores the mark of an integration's account unless it has one, and returns the one that it has. The
// error is ErrNoIntegration if there is no such integration.
func (s *Store) KeepAccountMark(ctx context.Context, projectID uuid.UUID, providerName, mark string) (string, error) {
	var kept *string
	err := s.pool.QueryRow(ctx, selectAccountMark, projectID, providerName).Scan(&kept)
	if err == nil && kept == nil { // every process reads the projects anew after a write, so this is only done once
		err = s.pool.QueryRow(ctx, keepAccountMark, projectID, providerName, mark).Scan(&kept)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNoIntegration
	}
	if err != nil {
		return "", fmt.Errorf("keep the account of an integration: %w", err)
	}
	return markOf(kept), nil
}

// markOf is empty for a mark that is not known.
func markOf(mark *string) string {
	if mark == nil {
		return ""
	}
	return *mark
}

// identify asks the provider which account the credentials of a plan are for. It must not hold locks. Empty: they are
// those that are stored already, or the provider could not be asked or does not say; then a run asks again.
func (s *Store) identify(ctx context.Context, projectID uuid.UUID, kind provider.Provider, p *putPlan) (mark string, err error) {
	if s.accountMark == nil || p.before == p.after && p.mark != nil {
		return "", nil
	}
	// That they do not work is what the backfill says.
	mark, err = s.accountMark(ctx, projectID, kind, p.typed, p.parsed)
	if err != nil && ctx.Err() != nil {
		return "", err
	}
	return mark, nil
}

// account chooses the mark to be stored. seen is the plan that identify was asked about.
func (p *putPlan) account(providerName string, seen *putPlan, mark string, adopt bool) (*string, error) {
	if p.after != seen.after { // somebody else has changed them meanwhile
		mark = ""
	}
	switch {
	case p.before == p.after && !adopt && p.mark != nil:
		return p.mark, nil
	case adopt && mark == "" && p.before != p.after:
		return nil, nil //nolint:nilnil // the next run says which it is
	case mark == "":
		return p.mark, nil
	case !adopt && p.mark != nil && *p.mark != mark:
		return nil, AccountMismatch(providerName, *p.mark, mark)
	default:
		return &mark, nil
	}
}
