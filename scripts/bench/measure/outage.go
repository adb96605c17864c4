package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// hotRate is how many events a second a project has while destinations are added to it, whatever happens to them.
	hotRate = 300
	// hotConnections bound how many of them are on their way at a time.
	hotConnections = 64
)

// outages measures what an outage of a project's database leaves behind, which is many messages of a commit each,
// what that means for a project beside it, and what destinations create to applying.
func (e *environment) outages(ctx context.Context, w io.Writer, c Config) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	fmt.Fprintln(w, "\nBacklogs: from the receipt of an event to its outcome, through a whole server")
	d, err := e.newDelivery(ctx, allRoles(), say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	light, err := d.newTenant(ctx, "outage-light")
	if err != nil {
		return err
	}
	big, err := d.newTenant(ctx, "outage-big")
	if err != nil {
		return err
	}
	rows, err := d.beside(ctx, light, big, c)
	if err != nil {
		return err
	}
	table(w, rows)
	if rows, err = d.hot(ctx, big, c); err != nil {
		return err
	}
	table(w, rows)
	return nil
}

// beside measures a project with twenty events a second, alone and beside another one whose database
// returns from an outage.
func (d *delivery) beside(ctx context.Context, light, big *tenant, c Config) (rows [][]string, err error) {
	alone, err := d.trickle(ctx, light, c.Steady/2)
	if err != nil {
		return nil, err
	}
	if err := d.fill(ctx, big, 1, 1); err != nil { // its database is there
		return nil, err
	}
	if err := d.shut(ctx, big); err != nil {
		return nil, err
	}
	shut := time.Now()
	began := big.next
	p := plan{connections: 1, requests: int64(c.Events), first: big.next}
	big.next += int64(c.Events)
	if _, err := generate(ctx, d.address, big.template, p); err != nil {
		return nil, err
	}
	if err := d.open(ctx, big); err != nil {
		return nil, err
	}
	opened := time.Now()
	caughtUp := make(chan error, 1)
	var took time.Duration
	go func() {
		err := d.await(ctx, "the backlog was not applied in time", func() (done bool, err error) {
			err = d.control.QueryRow(ctx, nothingPending, big.ID).Scan(&done)
			return done, err
		})
		took = time.Since(opened)
		caughtUp <- err
	}()
	crowded, err := d.trickle(ctx, light, c.Steady/2)
	if err := errors.Join(err, <-caughtUp); err != nil {
		return nil, err
	}
	return [][]string{
		{"a project with twenty events a second", "p50", "p99"},
		{"alone", short(alone.p50), short(alone.p99)},
		{
			fmt.Sprintf("beside %d single messages of another one, gone %s after its database came back", big.next-began, took.Round(100*time.Millisecond)),
			short(crowded.p50), short(crowded.p99),
		},
		{
			fmt.Sprintf("it was unavailable for %s; the aim is to have caught up %s after its return", opened.Sub(shut).Round(100*time.Millisecond),
				(3*time.Second + opened.Sub(shut)/10).Round(100*time.Millisecond)), "", "",
		},
	}, nil
}

// hot measures applying with none, one and three destinations.
func (d *delivery) hot(ctx context.Context, t *tenant, c Config) (rows [][]string, err error) {
	rows = [][]string{{fmt.Sprintf("a project with %d events a second", hotRate), "p50", "p99"}}
	added := 0
	for _, destinations := range []int{0, 1, 3} {
		for ; added < destinations; added++ {
			if err := d.webhook(ctx, t, fmt.Sprint("hot", added), fmt.Sprint(countPath, "hot", added)); err != nil {
				return nil, err
			}
		}
		var rate float64
		seen, err := d.measureReceipts(ctx, t, func() (err error) {
			rate, err = d.fillAtRate(ctx, t, max(c.Events/8, 1))
			return err
		})
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("%d destinations", destinations)
		if rate < 0.95*hotRate { // the figures are of another load
			what += fmt.Sprintf(", but this machine takes only %.0f a second", rate)
		}
		rows = append(rows, []string{what, short(seen.p50), short(seen.p99)})
	}
	return rows, nil
}

// fillAtRate sends hotRate events a second, waits until they are applied, and gives the rate that was reached.
func (d *delivery) fillAtRate(ctx context.Context, t *tenant, events int) (rate float64, err error) {
	p := plan{connections: hotConnections, requests: int64(events), first: t.next, every: time.Second / hotRate}
	t.next += int64(events)
	begun := time.Now()
	if _, err := generate(ctx, d.address, t.template, p); err != nil {
		return 0, err
	}
	rate = float64(events) / max(time.Since(begun), time.Duration(events)*p.every).Seconds()
	return rate, d.await(ctx, "the events were not applied in time", func() (done bool, err error) {
		err = d.control.QueryRow(ctx, nothingPending, t.ID).Scan(&done)
		return done, err
	})
}

// trickle sends events at a light load.
func (d *delivery) trickle(ctx context.Context, t *tenant, events int) (receipts, error) {
	return d.measureReceipts(ctx, t, func() error {
		pause := time.NewTicker(steadyPause)
		defer pause.Stop()
		for range events {
			select {
			case <-pause.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			p := plan{connections: 1, requests: 1, first: t.next}
			t.next++
			if _, err := generate(ctx, d.address, t.template, p); err != nil {
				return err
			}
		}
		return d.await(ctx, "the events were not applied in time", func() (done bool, err error) {
			err = d.control.QueryRow(ctx, nothingPending, t.ID).Scan(&done)
			return done, err
		})
	})
}

// receipts are times from the receipt of an event to the transaction that recorded its outcome.
type receipts struct{ p50, p99 time.Duration }

const selectReceipts = `
	SELECT extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY e.recorded_at - e.received_at))::double precision,
	       extract(epoch FROM percentile_cont(0.99) WITHIN GROUP (ORDER BY e.recorded_at - e.received_at))::double precision
	FROM authsync.event_outcomes AS e
	WHERE e.project_id = $1 AND e.received_at >= $2`

func (d *delivery) measureReceipts(ctx context.Context, t *tenant, send func() error) (r receipts, err error) {
	begun := time.Now()
	if err := send(); err != nil {
		return receipts{}, err
	}
	var p50, p99 float64
	if err := d.control.QueryRow(ctx, selectReceipts, t.ID, begun).Scan(&p50, &p99); err != nil {
		return receipts{}, fmt.Errorf("read how long events took: %w", err)
	}
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return receipts{seconds(p50), seconds(p99)}, nil
}

// shut takes a project's database away: it refuses connections, and ends those it has.
func (d *delivery) shut(ctx context.Context, t *tenant) error {
	return d.database(ctx, t, `ALTER DATABASE %s ALLOW_CONNECTIONS false`, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`)
}

// open brings it back.
func (d *delivery) open(ctx context.Context, t *tenant) error {
	return d.database(ctx, t, `ALTER DATABASE %s ALLOW_CONNECTIONS true`, "")
}

func (d *delivery) database(ctx context.Context, t *tenant, alter, then string) error {
	url, err := d.app.Store.DatabaseURL(ctx, t.ID)
	if err != nil {
		return err
	}
	config, err := d.app.Store.Tenants().ConnConfig(url, pgdb.Options{})
	if err != nil {
		return err
	}
	if _, err := d.control.Exec(ctx, fmt.Sprintf(alter, pgx.Identifier{config.Database}.Sanitize())); err != nil {
		return fmt.Errorf("change the project's database: %w", err)
	}
	if then == "" {
		return nil
	}
	if _, err := d.control.Exec(ctx, then, config.Database); err != nil {
		return fmt.Errorf("end the connections to the project's database: %w", err)
	}
	return nil
}
