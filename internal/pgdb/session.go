package pgdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// FreshPlans are settings for the sessions of workers. River's statements, kept by
// pgx, would else be planned once for all: in a table that is small then they read the whole
// of it, and go on to after it has grown, until autovacuum comes by. With 20,000 jobs
// that is 10 ms a job. Planning anew each time costs far less.
func FreshPlans() map[string]string {
	return map[string]string{"plan_cache_mode": "force_custom_plan"}
}

// Session is what every session of ours rests on, whatever role, database or
// URL have set: a statement sees what was committed before it began, so what it reads after
// waiting for a lock is current; a commit that was answered is on disk; what becomes text or is read from it (bytes,
// numbers, NULLs in arrays, names) has one form; rows are not hidden, but by a policy that is forced upon us; and nothing
// ends before those who began it say so. Left as they are: default_transaction_read_only, by which hosts
// protect a disk that is full, and where tables are put. Statements are not compiled: they are short, and where a
// function forbids a way to join, the planner takes them for long ones, and compiles for half a second.
func Session() map[string]string {
	return map[string]string{
		"default_transaction_isolation":       "read committed",
		"default_transaction_deferrable":      "off",
		"synchronous_commit":                  "on",
		"IntervalStyle":                       "postgres",
		"bytea_output":                        "hex",
		"extra_float_digits":                  "1",
		"array_nulls":                         "on",
		"transform_null_equals":               "off",
		"quote_all_identifiers":               "off",
		"row_security":                        "on",
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		"idle_session_timeout":                "0",
		"exit_on_error":                       "off",
		"jit":                                 "off",
	}
}

// startup are the settings that a session starts with: those that poolers keep apart for each client.
// Any other in the startup message makes PgBouncer refuse the connection.
func startup(applicationName string) map[string]string {
	return map[string]string{
		"application_name":            applicationName,
		"client_encoding":             "UTF8",
		"DateStyle":                   "ISO, MDY",
		"TimeZone":                    "UTC",
		"standard_conforming_strings": "on",
	}
}

func sessionSettings(opts Options) map[string]string {
	all := Session()
	maps.Copy(all, opts.RuntimeParams)
	return all
}

// session begins each connection of a pool: it finds out where the connection leads and gives it
// its settings, by one statement.
//
//	connected ──▶ begin ──▶ leads to a control database, or to another project's? refused
//	                │
//	                ├─ the process that answers is the one that took the connection: settings are set
//	                └─ it is another: a pooler stands between. Settings and prepared statements would
//	                   be those of whoever comes next, so there are none; see pooled.
//
// pgx lets nobody but a tracer see the configuration that a connection keeps, and how
// statements are sent must be decided once the connection is there.
type session struct {
	settings map[string]string
	options  Options
	checks   bool // where the connection leads
	bounds   bool // what the server may send, see wire
}

// TraceConnectStart hooks begin into one attempt to connect. Nothing else is traced.
func (s *session) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	config := data.ConnConfig
	config.Tracer = nil
	cutError(&config.Config)
	refuseStrangers(&config.Config)
	if s.bounds {
		bound(&config.Config)
	}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if config.ConnectTimeout > 0 { // pgconn's own ends before this
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, config.ConnectTimeout)
			defer cancel()
		}
		isPooled, err := s.begin(ctx, conn)
		if isPooled {
			config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
			conn.CustomData()[pooledKey] = true
		}
		if err == nil && isPooled && s.options.Direct {
			return s.mustKeepSessions(ctx, conn, config.Config)
		}
		return err
	}
	return ctx
}

// TraceConnectEnd does nothing.
func (*session) TraceConnectEnd(context.Context, pgx.TraceConnectEndData) {}

// TraceQueryStart is never called.
func (*session) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd is never called.
func (*session) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// begin makes one round trip.
func (s *session) begin(ctx context.Context, conn *pgconn.PgConn) (isPooled bool, err error) {
	const isDirect = "pg_catalog.pg_backend_pid() = $1::text::bigint"
	columns := []string{"(" + isDirect + ")::text", "'false'", "''"}
	if s.checks {
		columns = []string{columns[0], isControl, ownerComment}
	}
	names := slices.Sorted(maps.Keys(s.settings))
	row, err := s.ask(ctx, conn, columns, strconv.FormatUint(uint64(conn.PID()), 10), func(set, name string) string {
		return "CASE WHEN " + isDirect + " THEN " + set + " ELSE pg_catalog.current_setting('" + name + "', true) END"
	})
	if err != nil {
		return false, err
	}
	if err := s.options.mayUse(row[1] == "true", row[2]); err != nil {
		return false, err
	}
	if row[0] == "true" {
		return false, nil
	}
	for i, name := range names {
		if err := fitsPooled(name, row[3+i]); err != nil {
			return true, err
		}
	}
	return true, nil
}

// ask selects the columns and, for each setting in the order of their names, what column makes of
// the expression that sets it. $1 is arg.
func (s *session) ask(
	ctx context.Context, conn *pgconn.PgConn, columns []string, arg string, column func(set, name string) string,
) ([]string, error) {
	args := [][]byte{[]byte(arg)}
	list := slices.Clone(columns)
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		args = append(args, []byte(s.settings[name]))
		list = append(list, column(fmt.Sprintf("pg_catalog.set_config('%s', $%d::text, false)", name, len(args)), name))
	}
	result := conn.ExecParams(ctx, "SELECT "+strings.Join(list, ", "), args, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("begin the session: %w", result.Err)
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != len(columns)+len(s.settings) {
		return nil, errors.New("begin the session: the server does not answer as PostgreSQL does")
	}
	row := make([]string, len(result.Rows[0]))
	for i, value := range result.Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

// set gives the session its settings.
func (s *session) set(ctx context.Context, conn *pgconn.PgConn) error {
	_, err := s.ask(ctx, conn, []string{"$1::text"}, "", func(set, _ string) string { return set })
	return err
}
