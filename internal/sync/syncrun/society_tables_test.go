package syncrun_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/source"
)

// inTables is a society in the tables of Better Auth. Its rows of organizations and members have no clock,
// its hooks that of their sending.
type inTables struct {
	pool *pgxpool.Pool

	mu   sync.Mutex
	line timeline
	step func()
}

// stepping is a source of tables that lets something happen before each answer.
type stepping struct {
	*inTables
	userapi.RecordSource
	userapi.Source
}

const societyTables = `
	CREATE TABLE "user" (id text PRIMARY KEY, name text NOT NULL, "updatedAt" timestamptz NOT NULL);
	CREATE TABLE session (id text PRIMARY KEY, "userId" text, "createdAt" timestamptz);
	CREATE TABLE organization (id text PRIMARY KEY, name text NOT NULL, slug text, "createdAt" timestamptz);
	CREATE TABLE member (id text PRIMARY KEY, "organizationId" text NOT NULL, "userId" text NOT NULL, role text NOT NULL, "createdAt" timestamptz);
	CREATE TABLE invitation (id text PRIMARY KEY, "organizationId" text, email text, role text, status text, "expiresAt" timestamptz)`

// newInTables empties the tables; the pool must be open as long as the society lives.
func newInTables(pool *pgxpool.Pool) *inTables {
	s := &inTables{pool: pool}
	s.exec(`TRUNCATE "user", organization, member`)
	return s
}

func (s *inTables) exec(statement string, args ...any) {
	if _, err := s.pool.Exec(context.Background(), statement, args...); err != nil {
		panic(err)
	}
}

func (s *inTables) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	tables := sqlsource.New(sqlsource.Config{Pool: s.pool})
	records, _ := tables.(userapi.RecordSource)
	return source.Account{Source: stepping{s, records, tables}, Importer: betterauth.New(), Alone: true}, nil
}

func (s *inTables) setStep(step func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step = step
}

func (s *inTables) happens() {
	s.mu.Lock()
	step := s.step
	s.mu.Unlock()
	if step != nil {
		step()
	}
}

func (s stepping) Count(ctx context.Context) (int64, bool, error) {
	s.happens()
	return s.Source.Count(ctx)
}

func (s stepping) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	s.happens()
	return s.Source.Page(ctx, cursor)
}

func (s stepping) User(ctx context.Context, id string) (userapi.User, error) {
	s.happens()
	return s.Source.User(ctx, id)
}

func (s stepping) Records(ctx context.Context, cursor string) (userapi.RecordPage, error) {
	s.happens()
	return s.RecordSource.Records(ctx, cursor)
}

func (s stepping) Record(ctx context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	s.happens()
	return s.RecordSource.Record(ctx, ref)
}

// memberKey gives the columns of the key of a member.
func memberKey(id string) (organizationID, userID string) {
	organizationID, userID, _ = record.SplitMembershipID(id)
	return organizationID, userID
}

func (s *inTables) has(of record.Type, id string) bool {
	_, exists := s.truth()[string(of)+" "+id]
	return exists
}

func (s *inTables) put(of record.Type, id, value string) []mirror.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.line.stamp()
	switch of {
	case record.User:
		s.exec(`INSERT INTO "user" VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "updatedAt" = excluded."updatedAt"`, id, value, at)
		return s.says("user.updated", map[string]any{"id": id, "name": value, "updatedAt": stampOf(at)})
	case record.Organization:
		s.exec(`INSERT INTO organization VALUES ($1, $2, NULL, '2026-01-02Z') ON CONFLICT (id) DO UPDATE SET name = excluded.name`, id, value)
		return s.says("organization.updated", map[string]any{"id": id, "name": value, "slug": nil, "createdAt": "2026-01-02T00:00:00.000Z"})
	default:
		organizationID, userID := memberKey(id)
		s.exec(`INSERT INTO member VALUES ($1, $2, $3, $4, '2026-01-02Z') ON CONFLICT (id) DO UPDATE SET role = excluded.role`, "m_"+id, organizationID, userID, value)
		return s.says("member.updated", map[string]any{
			"id": "m_" + id, "organizationId": organizationID, "userId": userID, "role": value, "createdAt": "2026-01-02T00:00:00.000Z",
		})
	}
}

// says tells of what is in the tables now.
func (s *inTables) says(event string, row map[string]any) []mirror.Event {
	at := s.line.stamp()
	return []mirror.Event{webhook(betterauth.New(), at, map[string]any{"event": event, "timestamp": stampOf(at), "data": row})}
}

func (s *inTables) remove(of record.Type, id string) []mirror.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch of {
	case record.User:
		s.exec(`WITH gone AS (DELETE FROM member WHERE "userId" = $1) DELETE FROM "user" WHERE id = $1`, id)
		return s.says("user.deleted", map[string]any{"id": id})
	case record.Organization:
		s.exec(`WITH gone AS (DELETE FROM member WHERE "organizationId" = $1) DELETE FROM organization WHERE id = $1`, id)
		return s.says("organization.deleted", map[string]any{"id": id})
	default:
		organizationID, userID := memberKey(id)
		s.exec(`DELETE FROM member WHERE id = $1`, "m_"+id)
		return s.says("member.deleted", map[string]any{"id": "m_" + id, "organizationId": organizationID, "userId": userID})
	}
}

func (s *inTables) restore(id, value string) {
	s.exec(`INSERT INTO organization VALUES ($1, $2, NULL, '2026-01-02Z')`, id, value)
}

func (s *inTables) edit(of record.Type, id, value string) {
	if of == record.Organization {
		s.exec(`UPDATE organization SET name = $2 WHERE id = $1`, id, value)
		return
	}
	s.exec(`UPDATE member SET role = $2 WHERE id = $1`, "m_"+id, value)
}

func (s *inTables) truth() map[string]string {
	rows, err := s.pool.Query(context.Background(), `
		SELECT 'user ' || id, name FROM "user" UNION ALL SELECT 'organization ' || id, name FROM organization
		UNION ALL SELECT 'membership ' || "organizationId" || '/' || "userId", role FROM member`)
	all := map[string]string{}
	if err == nil {
		var id, is string
		_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error { all[id] = is; return nil })
	}
	if err != nil {
		panic(fmt.Sprint("read the tables: ", err))
	}
	return all
}

// comesBackNew is as for Clerk.
func (*inTables) comesBackNew(of record.Type) bool { return of == record.Membership }

func (*inTables) settle() {}
