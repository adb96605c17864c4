package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/plural"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	maxRestarts = 5         // of a walk
	maxReopens  = 3         // of a download within one page
	maxLines    = 1_000_000 // of an export, beyond twice the count
	maxJobAge   = 8 * time.Hour
	maxJobID    = 512 // bytes; it is stored with each page
	exportUsers = "export the users"
	readJob     = "read the export job"
)

// beginExport requests an export of all connections. again reports that users read before will come
// again.
func (s *source) beginExport(ctx context.Context, at place, again bool, note string) (userapi.Page, error) {
	type field struct {
		Name string `json:"name"`
	}
	order := struct {
		Format string  `json:"format"`
		Fields []field `json:"fields"`
	}{Format: "json"}
	for _, name := range exportFields() {
		order.Fields = append(order.Fields, field{name})
	}
	var made job
	answer, err := s.do(ctx, userapi.Request{
		What: exportUsers, Method: http.MethodPost, URL: s.base + "/api/v2/jobs/users-exports", JSON: order, Read: made.read,
	})
	if err != nil {
		return userapi.Page{}, err
	}
	if !answer.OK() {
		return userapi.Page{}, s.unexpected(exportUsers, answer)
	}
	next, err := userapi.EncodeCursor(place{Mode: byExport, Total: at.Total, Job: made.ID, Asked: answer.SentAt.UTC(), Restarts: at.Restarts})
	return userapi.Page{Next: next, Total: at.Total, Wait: pollEvery, Restarted: again, Note: note}, err
}

// pollEvery is the default interval between status requests for a job.
const pollEvery = 2 * time.Second

// job is an export job as GET /jobs/{id} shows it.
type job struct {
	ID            string  `json:"id"`
	Status        string  `json:"status"`
	Location      string  `json:"location"`
	Percentage    float64 `json:"percentage_done"`
	TimeLeft      float64 `json:"time_left_seconds"`
	StatusDetails any     `json:"status_details"`
}

func (j *job) read(body []byte) error {
	if err := json.Unmarshal(body, j); err != nil {
		return errors.New("it is no job")
	}
	if j.ID == "" || j.Status == "" || len(j.ID) > maxJobID {
		return errors.New("it is no job with id and status")
	}
	return nil
}

// wait returns an empty page with a job's progress. It gives up on a job that runs longer than
// Auth0 allows.
func (j *job) wait(at place, now time.Time) (userapi.Page, error) {
	age := now.Sub(at.Asked)
	if age > maxJobAge {
		return userapi.Page{}, fault.Newf(fault.ProviderError, "%s of Auth0: job %s has been at work for %s and is not done, though Auth0 ends one after %s. "+
			"Look at the tenant's logs, then begin the walk anew", exportUsers, at.Job, age.Round(time.Minute), maxJobAge)
	}
	next, err := userapi.EncodeCursor(at)
	left := time.Duration(min(max(j.TimeLeft, 0), 3600) * float64(time.Second))
	wait := min(max(left/2, age/10, pollEvery), 30*time.Second)
	note := "Auth0 prepares the export"
	if j.Percentage > 0 {
		note = fmt.Sprintf("%s: %.0f %%", note, j.Percentage)
	}
	return userapi.Page{Next: next, Total: at.Total, Wait: wait, Note: note}, err
}

// errGoneExport reports that a job, and with it the walk's place, is lost.
type errGoneExport struct{ why string }

func (e *errGoneExport) Error() string { return e.why }

// pageOfExport continues the open download, or opens one and skips the lines read before. A
// truncated download is never the end: the complete lines are a page, and the next one begins after
// them.
func (s *source) pageOfExport(ctx context.Context, at place) (userapi.Page, error) {
	var broken error
	for attempt := range maxReopens + 1 {
		if attempt > 0 {
			if err := s.client.BackOff(ctx, attempt); err != nil {
				return userapi.Page{}, err
			}
		}
		d := s.take(at)
		if d == nil {
			found, err := s.findJob(ctx, at)
			if lost, ok := errors.AsType[*errGoneExport](err); ok {
				return s.restart(ctx, at, lost.why)
			}
			if err != nil {
				return userapi.Page{}, err
			}
			if found.Location == "" {
				return found.wait(at, s.client.Now())
			}
			if d, err = s.download(ctx, at, found.Location); errors.Is(err, errLink) {
				broken = err
				continue
			} else if err != nil {
				return userapi.Page{}, err
			}
		}
		page, err := d.page(ctx, at.Line, at.Asked)
		if err == nil {
			return s.goOn(ctx, at, d, page)
		}
		d.close()
		if ctx.Err() != nil {
			return userapi.Page{}, fmt.Errorf("%s of Auth0: %w", exportUsers, context.Cause(ctx))
		}
		if lost, ok := errors.AsType[*errGoneExport](err); ok {
			return s.restart(ctx, at, lost.why)
		}
		broken = err
	}
	return userapi.Page{}, fault.Newf(fault.ProviderUnavailable, "%s of Auth0: behind line %d %v (attempts: %d)", exportUsers, at.Line, broken, maxReopens+1)
}

// goOn keeps the download for the next page, if there is one.
func (s *source) goOn(ctx context.Context, at place, d *download, page userapi.Page) (userapi.Page, error) {
	page.Total = at.Total
	at.Line = d.line
	switch {
	case d.done:
		d.close()
		if at.Line == 0 && at.Total > 0 {
			return s.restart(ctx, at, "the export is empty")
		}
		if at.Line < at.Total-at.Total/100 {
			page.Note = fmt.Sprintf("the export has %s, where Auth0 counted %d", plural.Of(at.Line, "user"), at.Total)
		}
		return page, nil
	case at.Line > 2*at.Total+maxLines:
		d.close()
		return userapi.Page{}, userapi.NoProgress("Auth0", "an export has no end", at.Line, at.Total)
	case d.broken:
		d.close()
	default:
		s.keep(d)
	}
	var err error
	page.Next, err = userapi.EncodeCursor(at)
	return page, err
}

// restart creates another job to replace a failed one.
func (s *source) restart(ctx context.Context, at place, why string) (userapi.Page, error) {
	at.Restarts++
	if at.Restarts > maxRestarts {
		return userapi.Page{}, fault.Newf(fault.ProviderError, "%s of Auth0: %d exports came to nothing, the last one so: %s. "+
			"Look at the tenant's logs, then begin the walk anew", exportUsers, at.Restarts, why)
	}
	return s.beginExport(ctx, at, true, "the export is begun anew: "+why)
}

// findJob gets the job. Without a location it is still running.
func (s *source) findJob(ctx context.Context, at place) (job, error) {
	var found job
	answer, err := s.do(ctx, userapi.Request{What: readJob, URL: s.base + "/api/v2/jobs/" + url.PathEscape(at.Job), Read: found.read})
	if err != nil {
		return job{}, err
	}
	if answer.Status == http.StatusNotFound && readProblem(answer.Body).StatusCode == http.StatusNotFound {
		return job{}, &errGoneExport{"Auth0 has the job no more (it keeps one for a day)"}
	}
	if !answer.OK() {
		return job{}, s.unexpected(readJob, answer)
	}
	switch found.Status {
	case "completed":
		if found.Location == "" {
			return job{}, &errGoneExport{"Auth0 says that the job is done, but not where the export is"}
		}
	case "pending", "processing":
		found.Location = ""
	default:
		why := fmt.Sprintf("Auth0 says that the job is %q", s.client.Say(found.Status))
		if details, ok := found.StatusDetails.(string); ok {
			why += ": " + s.client.Say(details)
		}
		return job{}, &errGoneExport{why}
	}
	return found, nil
}
