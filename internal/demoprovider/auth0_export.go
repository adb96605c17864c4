package demoprovider

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type exportJob struct {
	made   time.Time
	polls  int
	failed bool
	users  []int // the snapshot
	fields []string
}

// begin makes a job. Without fields it exports almost nothing, as the default
// of the real one is not known.
func (a *Auth0) begin(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Format string `json:"format"`
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if decoder.Decode(&order) != nil || order.Format != "json" {
		auth0Error(w, http.StatusBadRequest, "Payload validation error", "invalid_body")
		return
	}
	job := &exportJob{made: a.Now(), users: a.Account.Users(), fields: []string{"user_id", "email"}}
	if len(order.Fields) > 0 {
		job.fields = nil
		for _, field := range order.Fields {
			job.fields = append(job.fields, field.Name)
		}
	}
	a.state.Lock()
	id := fmt.Sprintf("job_%d", len(a.jobs)+1)
	job.polls = a.Polls
	if job.failed = a.FailJobs > 0; job.failed {
		a.FailJobs--
	}
	a.jobs[id] = job
	a.state.Unlock()
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"id":%q,"type":"users_export","status":"pending","format":"json","created_at":%q}`, id, job.made.Format(time.RFC3339)))
}

func (a *Auth0) find(id string) *exportJob {
	job := a.jobs[id]
	if job == nil || a.Now().Sub(job.made) > 24*time.Hour {
		return nil
	}
	return job
}

func (a *Auth0) job(w http.ResponseWriter, id string) {
	a.state.Lock()
	job := a.find(id)
	pending := job != nil && job.polls > 0
	if pending {
		job.polls--
	}
	a.state.Unlock()
	switch {
	case job == nil:
		auth0Error(w, http.StatusNotFound, "Job not found", "inexistent_job")
	case pending:
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"id":%q,"type":"users_export","status":"pending","percentage_done":40,"time_left_seconds":12}`, id))
	case job.failed:
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"id":%q,"type":"users_export","status":"failed","status_details":"timed out"}`, id))
	default:
		expires := a.Now().Add(time.Minute).Unix()
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"id":%q,"type":"users_export","status":"completed","location":"%s/exports/%s.json.gz?Expires=%d&Signature=s1gned"}`,
			id, a.url, id, expires))
	}
}

// Sent is how many bytes of exports were taken off the server, packed.
func (a *Auth0) Sent() int64 { return a.sent.Load() }

func (a *Auth0) export(w http.ResponseWriter, r *http.Request) {
	a.state.Lock()
	job := a.find(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/exports/"), ".json.gz"))
	a.state.Unlock()
	expires, err := strconv.ParseInt(r.URL.Query().Get("Expires"), 10, 64)
	switch {
	case r.Header.Get("Authorization") != "": // a signed link takes no other authentication
		http.Error(w, "<Error><Code>InvalidArgument</Code></Error>", http.StatusBadRequest)
		return
	case job == nil || err != nil || r.URL.Query().Get("Signature") != "s1gned" || a.Now().Unix() > expires:
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	var out io.Writer = counting{w, &a.sent}
	if !a.Plain {
		packer, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
		if err != nil {
			http.Error(w, "no gzip", http.StatusInternalServerError)
			return
		}
		defer packer.Close()
		out = packer
	}
	if a.EmptyExport {
		return
	}
	var line []byte
	for at, i := range job.users {
		if broken, ok := a.BrokenLines[at+1]; ok {
			line = append(append(line[:0], broken...), '\n')
		} else {
			line = append(a.append(line[:0], i, job.fields), '\n')
		}
		if _, err := out.Write(line); err != nil {
			return
		}
	}
}

type counting struct {
	w    io.Writer
	sent *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.sent.Add(int64(n))
	return n, err
}
