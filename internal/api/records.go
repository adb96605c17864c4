package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/record"
)

// Records reads records of all types from the mirrors of projects; see mirror.Mirrors.
type Records interface {
	// RecordHistory returns mirror.ErrNoRecord where the mirror has no such record.
	RecordHistory(ctx context.Context, projectID uuid.UUID, ref record.Ref, before int64, most int) (mirror.RecordHistory, error)
	Records(ctx context.Context, projectID uuid.UUID, f mirror.RecordFilter) ([]mirror.ListedRecord, error)
}

// recordType finds the project and the record type that the path names.
func (a *API) recordType(r *http.Request) (p project.Project, d record.Definition, err error) {
	if p, err = a.project(r); err != nil {
		return p, d, err
	}
	name, err := variable(r, "record_type")
	if err != nil {
		return p, d, err
	}
	d, known := record.Of(record.Type(name))
	if !known {
		return p, d, fail(fault.RecordNotFound, "there is no record type %.40q: the types are %s", name, strings.Join(record.Names(), ", "))
	}
	return p, d, nil
}

// listRecords lists the records of a type by their keys. A cursor is the last id of the page before.
func (a *API) listRecords(r *http.Request) (answer, error) {
	p, d, err := a.recordType(r)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	given := given(r)
	for _, column := range []string{"organization_id", "user_id"} {
		if _, filtered := given[column]; filtered && !d.Has(column) {
			return answer{}, wrong(inQuery, column, problem.Invalid, "%s have no %s", d.Table, column)
		}
	}
	f := mirror.RecordFilter{Type: d.Type, OrganizationID: given["organization_id"], UserID: given["user_id"], Limit: limit + 1}
	if cursor := given["cursor"]; cursor != "" {
		decoded, err := base64.RawURLEncoding.DecodeString(cursor)
		if f.After = string(decoded); err != nil || !storable(f.After) || f.After == "" {
			return answer{}, fault.ErrBadCursor
		}
	}
	records, err := a.config.Records.Records(r.Context(), p.ID, f)
	switch {
	case errors.Is(err, mirror.ErrNoRecord):
		return answer{}, fault.ErrBadCursor
	case err != nil:
		return answer{}, ofDatabase(p, err)
	}
	next := ""
	if len(records) > limit {
		records = records[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(records[limit-1].ID))
	}
	listed := each(records, func(l mirror.ListedRecord) wire.ListedRecord[json.RawMessage] {
		return wire.ListedRecord[json.RawMessage]{RecordType: string(d.Type), RecordID: l.ID, Record: l.Row}
	})
	return answer{status: http.StatusOK, body: newPage(listed, next)}, nil
}

func (a *API) getRecord(r *http.Request) (answer, error) {
	p, d, err := a.recordType(r)
	if err != nil {
		return answer{}, err
	}
	id, err := variable(r, "record_id")
	if err != nil {
		return answer{}, err
	}
	before, err := changesBefore(r)
	if err != nil {
		return answer{}, err
	}
	most := 0
	if _, is := given(r)["limit"]; is {
		if most, err = limitOf(r); err != nil {
			return answer{}, err
		}
	}
	h, err := a.config.Records.RecordHistory(r.Context(), p.ID, record.Ref{Type: d.Type, ID: id}, before, most)
	if errors.Is(err, mirror.ErrNoRecord) {
		return answer{}, fail(fault.RecordNotFound,
			"project %s has no %s of this id: percent-encode it in the path (org_1/auth0|1 is org_1%%2Fauth0%%7C1)", p.Name, d.Type)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	document := wire.Record[json.RawMessage]{
		ListedRecord: wire.ListedRecord[json.RawMessage]{RecordType: string(d.Type), RecordID: id, Record: h.Row},
		Sources:      each(h.Sources, func(s mirror.Source) wire.Source { return wire.Source(s) }),
		Changes:      each(h.Changes, func(c mirror.Change) wire.Change { return wire.Change(c) }),
	}
	if h.ChangesBefore != nil {
		next := strconv.FormatInt(*h.ChangesBefore, 10)
		document.NextCursor = &next
	}
	return answer{status: http.StatusOK, body: document}, nil
}
