package dashboard

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
)

// AuditPath is the page of the audit log of all projects.
const AuditPath = "/audit"

// auditData is the page of the audit log, of all projects or of one.
type auditData struct {
	Filter      filterForm
	IsFiltered  bool
	Path        string // of the whole list
	Entries     []auditEntry
	First, Next string // paths of other pages; empty: there is none
	Fault       *problemError
}

// auditEntry is an entry with the fields that it set.
type auditEntry struct {
	wire.AuditEntry

	Fields []auditField
}

type auditField struct{ Name, Value string }

// Who is the name of the key, or what acted in place of one.
func (e auditEntry) Who() string {
	switch {
	case e.KeyName != nil:
		return *e.KeyName
	case e.Actor == "unknown":
		return "nobody known"
	default:
		return e.Actor
	}
}

func listAudit(v *visit) (view, error) {
	return auditView(v, AuditPath, view{template: "audit", title: "Audit log", section: "audit"}, "audit")
}

func listProjectAudit(v *visit) (view, error) {
	shown := view{template: "audit", title: "Audit log of " + v.project.Name, section: "audit"}
	return auditView(v, pathOf("projects", v.project.ID, "audit"), shown, "projects", v.project.ID, "audit")
}

func auditView(v *visit, path string, shown view, segments ...string) (view, error) {
	query := v.given()
	data := auditData{IsFiltered: isFiltered(query), Path: path}
	page, err := get[wire.Page[wire.AuditEntry]](v, query, segments...)
	if invalid, ok := isInvalid(err); ok {
		data.Fault, shown.status = invalid, invalid.Status
	} else if err != nil {
		return view{}, err
	}
	for _, e := range page.Data {
		fields, err := fieldsOf(e.Changes)
		if err != nil {
			return view{}, err
		}
		data.Entries = append(data.Entries, auditEntry{AuditEntry: e, Fields: fields})
	}
	data.Filter = newFilter(path, "Filter the audit log", "Filter", query, data.Fault,
		formField{Name: "action", Label: "Action", Example: "destination.pause, or destination"},
		chooseOf("outcome", "Outcome", []string{"pending", "succeeded", "failed", "refused"}),
		formField{Name: "key_id", Label: "Key id"}, timeField("since", "Since"), timeField("until", "Until"),
	)
	data.First, data.Next = otherPages(v.URL.EscapedPath(), query, page.NextCursor)
	shown.data = data
	return shown, nil
}

// fieldsOf are the fields that an action set, by name.
func fieldsOf(changes json.RawMessage) (fields []auditField, err error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(changes, &values); err != nil {
		return nil, fmt.Errorf("read the changes of an audit entry: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := string(values[name])
		var plain string
		if json.Unmarshal(values[name], &plain) == nil {
			value = plain
		}
		fields = append(fields, auditField{name, value})
	}
	return fields, nil
}

// auditPages adds the pages of the audit log.
func (d *Dashboard) auditPages(routes *http.ServeMux) {
	routes.HandleFunc("GET "+AuditPath, d.page(forAdmins(listAudit)))
	routes.HandleFunc("GET "+ProjectsPath+"/{project}/audit", d.page(forAdmins(listProjectAudit)))
}

// forAdmins is a page that says who did what from where.
func forAdmins(show func(*visit) (view, error)) func(*visit) (view, error) {
	return func(v *visit) (view, error) {
		if !v.key.May(project.Admin) {
			return view{}, problemOf(http.StatusForbidden, "The audit log is shown to keys with the role "+string(project.Admin)+"; yours has the role "+string(v.key.Role)+".")
		}
		return show(v)
	}
}

// KeyPath is the path of the list with the actions of a key.
func (d auditData) KeyPath(id string) string {
	return d.Path + "?" + url.Values{"key_id": {id}}.Encode()
}
