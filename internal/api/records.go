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

// record is the record that a path names; whether there is one is not known yet.
func (a *API) record(r *http.Request) (p project.Project, d record.Definition, ref record.Ref, err error) {
	if p, d, err = a.recordType(r); err != nil {
		return p, d, ref, err
	}
	id, err := variable(r, "record_id")
	return p, d, record.Ref{Type: d.Type, ID: id}, err
}

// listRecords lists the records of a type by their keys, or those of which a name begins with a text by these names.
func (a *API) listRecords(r *http.Request) (answer, error) {
	p, d, err := a.recordType(r)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	f, err := recordFilter(given(r), d)
	if err != nil {
		return answer{}, err
	}
	f.Limit = limit + 1
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
		next = recordCursor(f, &records[limit-1])
	}
	listed := each(records, func(l mirror.ListedRecord) wire.ListedRecord[json.RawMessage] {
		return wire.ListedRecord[json.RawMessage]{RecordType: string(d.Type), RecordID: l.ID, Record: l.Row}
	})
	return answer{status: http.StatusOK, body: newPage(listed, next)}, nil
}

// recordFilter reads what narrows a list of records, and the place in it.
func recordFilter(given map[string]string, d record.Definition) (mirror.RecordFilter, error) {
	f := mirror.RecordFilter{
		Type: d.Type, Name: given["name"], Email: given["email"], OrganizationID: given["organization_id"], UserID: given["user_id"],
	}
	for _, column := range []string{"organization_id", "user_id", "email"} {
		if _, filtered := given[column]; filtered && !d.Has(column) {
			return f, wrong(inQuery, column, problem.Invalid, "%s have no %s", d.Table, column)
		}
	}
	switch {
	case f.Name == "":
	case !mirror.HasNames(d.Type):
		return f, wrong(inQuery, "name", problem.Invalid, "%s have no name", d.Table)
	case f.Email != "":
		return f, wrong(inQuery, "name", problem.Invalid, "name and email are not combined: give one of them")
	case !mirror.NameFits(f.Name):
		return f, wrong(inQuery, "name", problem.Invalid, "name must have at most %d characters: it is how a name begins", mirror.MaxName)
	}
	cursor := given["cursor"]
	if cursor == "" {
		return f, nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(cursor)
	f.After = string(decoded)
	if err == nil && f.Name != "" {
		var found bool
		if f.AfterName, f.After, found = strings.Cut(f.After, cursorMark); !found {
			return f, fault.ErrBadCursor
		}
	}
	if err != nil || !storable(f.After) || !storable(f.AfterName) || f.After == "" {
		return f, fault.ErrBadCursor
	}
	return f, nil
}

// cursorMark is between the name and the id of a cursor; neither can have it.
const cursorMark = "\x00"

// recordCursor is the place behind a record: its id, and the name by which it was found.
func recordCursor(f mirror.RecordFilter, last *mirror.ListedRecord) string {
	place := last.ID
	if f.Name != "" {
		place = last.Name + cursorMark + place
	}
	return base64.RawURLEncoding.EncodeToString([]byte(place))
}

func (a *API) getRecord(r *http.Request) (answer, error) {
	p, d, ref, err := a.record(r)
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
	h, err := a.config.Records.RecordHistory(r.Context(), p.ID, ref, before, most)
	if errors.Is(err, mirror.ErrNoRecord) {
		return answer{}, errNoRecord(p, d)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	document := wire.Record[json.RawMessage]{
		ListedRecord: wire.ListedRecord[json.RawMessage]{RecordType: string(d.Type), RecordID: ref.ID, Record: h.Row},
		Sources:      each(h.Sources, func(s mirror.Source) wire.Source { return wire.Source(s) }),
		Changes:      each(h.Changes, func(c mirror.Change) wire.Change { return wire.Change(c) }),
	}
	if h.ChangesBefore != nil {
		next := strconv.FormatInt(*h.ChangesBefore, 10)
		document.NextCursor = &next
	}
	return answer{status: http.StatusOK, body: document}, nil
}

func errNoRecord(p project.Project, d record.Definition) error {
	return fail(fault.RecordNotFound,
		"project %s has no %s of this id: percent-encode it in the path (org_1/auth0|1 is org_1%%2Fauth0%%7C1)", p.Name, d.Type)
}
