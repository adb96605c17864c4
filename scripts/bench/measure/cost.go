package measure

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// cost is what some work took. Unlike a rate it is the same on a busy machine.
type cost struct {
	process time.Duration // CPU of this process, the load generator included
	mirrors time.Duration // CPU of sessions in projects' databases
	control time.Duration // and of those in a control database
	server  time.Duration // CPU of PostgreSQL's other processes, and of sessions that ended meanwhile
	wal     int64         // bytes
	walFrom int64         // where they begin
}

// cpu is the sum.
func (c cost) cpu() time.Duration { return c.process + c.mirrors + c.control + c.server }

// meter is what had been used at a time.
type meter struct {
	total, process time.Duration
	sessions       map[int]session
	wal            int64
}

// session is a connection's server process.
type session struct {
	used      time.Duration
	isControl bool
}

const selectSessions = `SELECT a.pid, a.datname = ANY ($1) AS is_control FROM pg_stat_activity AS a WHERE a.datname IS NOT NULL`

func (e *environment) meter(ctx context.Context) (m meter, err error) {
	if err := e.pool.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&m.wal); err != nil {
		return meter{}, fmt.Errorf("read the position of the WAL: %w", err)
	}
	rows, err := e.pool.Query(ctx, selectSessions, []string{controlDatabase, deliverDatabase})
	if err != nil {
		return meter{}, fmt.Errorf("list sessions: %w", err)
	}
	m.sessions = make(map[int]session)
	var pid int
	var isControl bool
	_, err = pgx.ForEachRow(rows, []any{&pid, &isControl}, func() error {
		m.sessions[pid] = session{processTime(pid, false), isControl}
		return nil
	})
	if err != nil {
		return meter{}, fmt.Errorf("list sessions: %w", err)
	}
	m.process, m.total = processTime(os.Getpid(), false), e.cpuTime()
	return m, nil
}

// spent measures what work costs.
func (e *environment) spent(ctx context.Context, work func() error) (c cost, err error) {
	before, err := e.meter(ctx)
	if err != nil {
		return cost{}, err
	}
	if err := work(); err != nil {
		return cost{}, err
	}
	after, err := e.meter(ctx)
	if err != nil {
		return cost{}, err
	}
	c.wal, c.walFrom, c.process = after.wal-before.wal, before.wal, after.process-before.process
	for pid, s := range after.sessions {
		used := s.used - before.sessions[pid].used
		if s.isControl {
			c.control += used
		} else {
			c.mirrors += used
		}
	}
	c.server = after.total - before.total - c.cpu()
	return c, nil
}
