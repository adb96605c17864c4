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

// FreshPlans returns settings for the sessions of workers, in which every statement is planned
// anew. Otherwise pgx's cached statements keep a plan made while River's tables were small: it
// scans the whole table, even after the table has grown, until autovacuum runs. With 20,000 jobs
// that costs 10 ms a job; planning costs far less.
func FreshPlans() map[string]string {
	return map[string]string{"plan_cache_mode": "force_custom_plan"}
}

// Session returns the settings that every session gets, whatever the role, database or URL set: a
// statement sees everything committed before it began, so what it reads after waiting for a lock is
// current; an acknowledged commit is on disk; values are converted to and from text (bytes,
// numbers, NULLs in arrays, names) in one format; rows are hidden only by a policy that is forced
// on us; and nothing times out by itself. Two settings are kept: default_transaction_read_only,
// with which hosts protect a full disk, and the default tablespaces. JIT is off: the statements are
// short, but the planner overestimates those in functions that forbid a join method, and spends
// half a second compiling them.
//
// sinceVersion17 is set where the server knows it.
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
		sinceVersion17:                        "0",
		"exit_on_error":                       "off",
		"jit":                                 "off",
	}
}

// sinceVersion17 is a setting that PostgreSQL 15 and 16 lack.
const sinceVersion17 = "transaction_timeout"

// startup returns the settings of the startup message: only those that poolers track for each
// client. PgBouncer refuses a connection with any other.
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

// session prepares each new connection of a pool. One statement checks which database it reached
// and applies the settings.
//
//	connected ──▶ begin ──▶ control database, or another project's? refused
//	                │
//	                ├─ the backend that answers accepted the connection: apply the settings
//	                └─ another backend answers: there is a pooler. Settings and prepared statements
//	                   would leak to the next client, so neither is used; see pooled.
//
// It is a tracer because only a tracer can change a connection's configuration in pgx after
// connecting, when it is known how statements must be sent.
type session struct {
	settings map[string]string
	options  Options
	checks   bool // check which database it is
	bounds   bool // limit what the server may send, see wire
}

// TraceConnectStart hooks begin into a connection attempt. Nothing else is traced.
func (s *session) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	config := data.ConnConfig
	config.Tracer = nil
	cutError(&config.Config)
	refuseStrangers(&config.Config)
	if s.bounds {
		bound(&config.Config)
	}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if config.ConnectTimeout > 0 { // expires before pgconn's own
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

// begin prepares the connection in one round trip.
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

// ask selects the columns and, for each setting in order of name, the expression that column builds
// from the one that sets it. arg is $1.
func (s *session) ask(
	ctx context.Context, conn *pgconn.PgConn, columns []string, arg string, column func(set, name string) string,
) ([]string, error) {
	args := [][]byte{[]byte(arg)}
	list := slices.Clone(columns)
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		args = append(args, []byte(s.settings[name]))
		set := fmt.Sprintf("pg_catalog.set_config('%s', $%d::text, false)", name, len(args))
		if name == sinceVersion17 {
			set = "CASE WHEN pg_catalog.current_setting('" + name + "', true) IS NOT NULL THEN " + set + " END"
		}
		list = append(list, column(set, name))
	}
	result := conn.ExecParams(ctx, "SELECT "+strings.Join(list, ", "), args, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("begin session: %w", result.Err)
	}
	if len(result.Rows) != 1 || len(result.Rows[0]) != len(columns)+len(s.settings) {
		return nil, errors.New("begin session: the server does not answer like PostgreSQL")
	}
	row := make([]string, len(result.Rows[0]))
	for i, value := range result.Rows[0] {
		row[i] = string(value)
	}
	return row, nil
}

// set applies the session's settings.
func (s *session) set(ctx context.Context, conn *pgconn.PgConn) error {
	_, err := s.ask(ctx, conn, []string{"$1::text"}, "", func(set, _ string) string { return set })
	return err
}

// FromIndexes makes a transaction's statements read the ends of indexes, which a page needs:
// without statistics, right after a bulk load, the planner expects few rows per project, and reads
// and sorts all of them. What is switched off costs so much in its eyes that it would compile every
// statement, which takes longer than the page.
const FromIndexes = `SELECT
	set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true),
	set_config('jit', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true)`

// InOrder adds to FromIndexes that an index has all columns of the order: one with the first of them alone would do, too,
// if what it yields were sorted by the others.
const InOrder = `SELECT set_config('enable_incremental_sort', 'off', true)`
