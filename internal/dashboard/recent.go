package dashboard

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
)

// What is read for the recent results of a destination is bounded, however many deliveries there are.
const (
	recentDeliveries = 500
	troubledOfState  = 50
)

const (
	// By an order that one index alone has, so that no plan can walk through the deliveries of others.
	selectFinished = `
		SELECT o.state, o.created_at, o.finished_at
		FROM (
			SELECT d.state, d.created_at, d.finished_at
			FROM authsync.deliveries AS d
			WHERE d.project_id = $1 AND d.destination_id = $2
			ORDER BY d.id DESC NULLS LAST
			LIMIT $3
		) AS o
		WHERE o.state IN ('delivered', 'failed')`

	// Those at the front of what is ready, of which a breaker tries the ones without an attempt first, and those that failed lately.
	selectTroubled = `
		SELECT o.id, o.last_attempt_at, coalesce(o.reason, '') AS reason
		FROM (
			(SELECT d.id, d.last_attempt_at, d.reason FROM authsync.deliveries AS d
			WHERE d.destination_id = $1 AND d.state = 'ready' ORDER BY d.change_id LIMIT $2)
			UNION ALL
			(SELECT d.id, d.last_attempt_at, d.reason FROM authsync.deliveries AS d
			WHERE d.destination_id = $1 AND d.state = 'retrying' ORDER BY d.next_attempt_at DESC LIMIT $2)
			UNION ALL
			(SELECT d.id, d.last_attempt_at, d.reason FROM authsync.deliveries AS d
			WHERE d.destination_id = $1 AND d.state = 'failed' LIMIT $2)
		) AS o
		WHERE o.last_attempt_at IS NOT NULL
		ORDER BY o.last_attempt_at DESC
		LIMIT 1`
)

// finishedDelivery is a delivery that arrived or was given up.
type finishedDelivery struct {
	State      string
	CreatedAt  time.Time
	FinishedAt time.Time
}

// troubledDelivery is a delivery that was tried in vain.
type troubledDelivery struct {
	ID            int64
	LastAttemptAt time.Time
	Reason        string
}

// readAttempts reads the recent results of a destination. The caller has found that it may be seen.
func readAttempts(ctx context.Context, pool *pgxpool.Pool, projectID, destinationID string) (*plot, *troubledDelivery, error) {
	project, err := uuid.Parse(projectID)
	if err != nil {
		return nil, nil, fmt.Errorf("read the recent results: %w", err)
	}
	id, err := uuid.Parse(destinationID)
	if err != nil {
		return nil, nil, fmt.Errorf("read the recent results: %w", err)
	}
	var finished []finishedDelivery
	err = pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, selectFinished, project, id, recentDeliveries)
		if err != nil {
			return err
		}
		finished, err = pgx.CollectRows(rows, pgx.RowToStructByName[finishedDelivery])
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the recent results: %w", err)
	}
	troubled, err := pgdb.Collect[troubledDelivery](ctx, pool, selectTroubled, pgdb.Planned, id, troubledOfState)
	if err != nil {
		return nil, nil, fmt.Errorf("read the recent results: %w", err)
	}
	if len(troubled) == 0 {
		return plotOf(finished), nil, nil
	}
	return plotOf(finished), &troubled[0], nil
}

// plot shows recent results of a destination over time: how many arrived, and how long that took.
type plot struct {
	From, To          time.Time
	Delivered, Failed int
	Half, Most        time.Duration // within which 50 and 95 of 100 arrived
	Bars              []plotBar
	Slowest           time.Duration // the height of the lower bars
	Fullest           int           // that of the upper ones
}

// plotBar is a part of the time, as it is drawn.
type plotBar struct {
	X, Width                 int
	DeliveredY, DeliveredTop int // height and upper edge
	FailedY, FailedTop       int
	TookY, TookTop           int
}

// Sizes of the drawing.
const (
	plotBars   = 30
	barStep    = 20
	barWidth   = 16
	plotHeight = 60 // of each of its two parts
	lowerPart  = 2*plotHeight + 20
)

// Percentage is how many of 100 arrived.
func (p *plot) Percentage() string {
	share := float64(p.Delivered) * 100 / float64(p.Delivered+p.Failed)
	return strconv.FormatFloat(math.Floor(share*10)/10, 'f', -1, 64) + " %"
}

// tookText is a duration in short.
func tookText(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// plotOf is nil if nothing has finished.
func plotOf(finished []finishedDelivery) *plot {
	if len(finished) == 0 {
		return nil
	}
	byEnd := func(a, b finishedDelivery) int { return a.FinishedAt.Compare(b.FinishedAt) }
	p := &plot{From: slices.MinFunc(finished, byEnd).FinishedAt, To: slices.MaxFunc(finished, byEnd).FinishedAt}
	step := p.To.Sub(p.From)/plotBars + 1
	delivered, failed, took := [plotBars]int{}, [plotBars]int{}, [plotBars][]time.Duration{}
	var all []time.Duration
	for _, f := range finished {
		n := int(f.FinishedAt.Sub(p.From) / step)
		if f.State == "failed" {
			failed[n]++
			continue
		}
		delivered[n]++
		took[n] = append(took[n], max(f.FinishedAt.Sub(f.CreatedAt), 0))
		all = append(all, took[n][len(took[n])-1])
	}
	p.Delivered, p.Failed = len(all), len(finished)-len(all)
	p.Half, p.Most = quantile(all, 50), quantile(all, 95)
	medians := [plotBars]time.Duration{}
	for n := range plotBars {
		medians[n] = quantile(took[n], 50)
		p.Slowest, p.Fullest = max(p.Slowest, medians[n]), max(p.Fullest, delivered[n]+failed[n])
	}
	for n := range plotBars {
		b := plotBar{X: n * barStep, Width: barWidth, DeliveredY: height(delivered[n], p.Fullest), FailedY: height(failed[n], p.Fullest), TookY: height(medians[n], p.Slowest)}
		b.DeliveredTop = plotHeight - b.DeliveredY
		b.FailedTop = b.DeliveredTop - b.FailedY
		b.TookTop = lowerPart - b.TookY
		p.Bars = append(p.Bars, b)
	}
	return p
}

// height is that of a bar: none for nothing, and otherwise enough to be seen.
func height[N int | time.Duration](n, highest N) int {
	if n == 0 || highest == 0 {
		return 0
	}
	return max(int(float64(n)*plotHeight/float64(highest)), 1)
}

// quantile is the duration within which that many of 100 were; 0 of none.
func quantile(durations []time.Duration, percent int) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[(len(sorted)-1)*percent/100]
}
