package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/schema"
)

// readyTimeout limits one answer of /readyz; probes usually give up after a second or two.
const readyTimeout = 2 * time.Second

// health serves /healthz and /readyz.
type health struct {
	log      *slog.Logger
	parts    []part
	lag      *recent[float64]
	stopping atomic.Bool
}

// part is something that this process cannot work without. check's error is public, so it says only
// what to do.
type part struct {
	name  string
	check func(ctx context.Context) error
}

// remark is what a part has to say although it works.
type remark struct{ error }

// healthz reports that the process is alive. A restart would help only if this does not answer, so
// it checks nothing else.
func (h *health) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

// readiness is the answer of /readyz.
type readiness struct {
	Status string            `json:"status"` // ready or not_ready
	Parts  map[string]string `json:"parts"`  // ok, or the problem, by part; one that is not ok need not make the process unready
	// LagSeconds is how long the oldest message has waited to be applied, in whichever process. It decides nothing: receivers
	// that leave the balancer because of a backlog would lose the messages that follow.
	LagSeconds *float64 `json:"lag_seconds"` // null: not known
}

// readyz reports whether to send requests here: 200, or 503 with the parts that are not ready.
func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	answer, status := readiness{Status: "ready", Parts: map[string]string{}}, http.StatusOK
	fail := func(name, why string) {
		answer.Parts[name] = why
		answer.Status, status = "not_ready", http.StatusServiceUnavailable
	}
	for _, p := range h.parts {
		err := p.check(ctx)
		said, isRemark := errors.AsType[*remark](err)
		switch {
		case isRemark:
			answer.Parts[p.name] = said.Error()
		case err != nil:
			fail(p.name, err.Error())
		default:
			answer.Parts[p.name] = "ok"
		}
	}
	if seconds, err := h.lag.get(ctx); err == nil {
		answer.LagSeconds = &seconds
	}
	if h.stopping.Load() {
		fail("process", "is stopping")
	}
	writeJSON(w, status, answer)
}

// databaseParts are the control database itself and its schema.
func databaseParts(pool *pgxpool.Pool, log *slog.Logger) []part {
	return []part{
		{"control_database", func(ctx context.Context) error {
			if err := pool.Ping(ctx); err != nil {
				log.WarnContext(ctx, "control_database_unreachable", slog.Any("error", err))
				return errors.New("cannot be reached; the log of this process has the reason")
			}
			return nil
		}},
		{"schema", func(ctx context.Context) error { return checkSchema(ctx, pool, log) }},
	}
}

// checkSchema reports whether this process can work with the schema, even while a newer authsync
// migrates it, and afterwards if the change is compatible.
func checkSchema(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	current, err := schema.UpToDate(ctx, pool, schema.Control)
	switch {
	case errors.Is(err, schema.ErrNewerSchema):
		return errors.New("is too new for this authsync: deploy the version that upgraded it")
	case errors.Is(err, schema.ErrEncoding):
		return errors.New("is in a database that is not encoded in UTF8: authsync doctor tells more")
	case err != nil:
		log.WarnContext(ctx, "schema_unknown", slog.Any("error", err))
		return errors.New("cannot be read; the log of this process has the reason")
	case !current:
		return errors.New("is older than this authsync: run authsync migrate up")
	default:
		return nil
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may have gone
}
