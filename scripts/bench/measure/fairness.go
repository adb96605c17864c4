package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/client"
)

const (
	steadyPause = 50 * time.Millisecond // between two events at a light load
	fairRounds  = 5                     // situations take turns, so that what else the machine does meets all of them
	hungUsers   = 500                   // whose changes a destination that hangs has to take
)

// neighbour is a destination of another project; it is paused while it is not measured beside.
type neighbour struct {
	*tenant

	path string
}

// name is that of the destination.
func (n *neighbour) name() string { return n.path[1:] }

// situation is what a project with little to do is measured beside.
type situation struct {
	what   string
	beside []neighbour

	seen load
	done int64 // deliveries of the neighbours that were answered meanwhile
}

// fairness measures how long the changes of a project with little to do take, alone and
// beside others.
func (d *delivery) fairness(ctx context.Context, many *tenant, c Config) (rows [][]string, err error) {
	light, err := d.newTenant(ctx, "light")
	if err != nil {
		return nil, err
	}
	if err := d.webhook(ctx, light, "light", timePath); err != nil {
		return nil, err
	}
	stuck, err := d.newTenant(ctx, "stuck")
	if err != nil {
		return nil, err
	}
	if err := d.fill(ctx, stuck, hungUsers, 1); err != nil {
		return nil, err
	}
	if more, users := c.Waiting-int(many.next), max(c.Changes/changesEach, 1); more > 0 {
		if err := d.fill(ctx, many, users, (more+users-1)/users); err != nil {
			return nil, err
		}
	}
	hangs, busy := neighbour{stuck, hangPath}, neighbour{many, busyPath}
	for _, n := range []neighbour{hangs, busy} {
		if _, err := d.pausedWebhook(ctx, n.tenant, n.name(), n.path); err != nil {
			return nil, err
		}
	}
	d.say("%d deliveries wait", many.next)
	situations := []situation{
		{what: "alone"},
		{what: "beside a destination that never answers", beside: []neighbour{hangs}},
		{what: fmt.Sprintf("beside %d waiting deliveries", many.next), beside: []neighbour{busy}},
		{what: "beside both", beside: []neighbour{hangs, busy}},
	}
	for round := range fairRounds {
		for i := range situations {
			if err := d.measure(ctx, &situations[i], light, max(c.Steady/fairRounds, 1), c.Waiting); err != nil {
				return nil, fmt.Errorf("%s: %w", situations[i].what, err)
			}
		}
		d.say("round %d of %d is done", round+1, fairRounds)
	}
	rows = [][]string{{"a project with twenty events a second", "204 to sink, p50", "p99", "times", "sent beside"}}
	for i := range situations {
		s := &situations[i]
		s.seen.sort()
		p99 := s.seen.percentile(0.99)
		rows = append(rows, []string{
			s.what, short(s.seen.percentile(0.5)), short(p99), fmt.Sprintf("%.2f", p99.Seconds()/situations[0].seen.percentile(0.99).Seconds()),
			fmt.Sprintf("%.0f/s", float64(s.done)/s.seen.took.Seconds()),
		})
	}
	return rows, nil
}

// measure sends events of one project at a light load while the neighbours are at work.
func (d *delivery) measure(ctx context.Context, s *situation, light *tenant, events, waiting int) (err error) {
	for _, n := range s.beside {
		if err := d.topUp(ctx, n, waiting/2); err != nil {
			return err
		}
	}
	d.sink.hold()
	hung, done := d.sink.hung.Load(), d.sink.count(busyPath).Load()
	for _, n := range s.beside {
		if err := d.resume(ctx, n.tenant, n.name()); err != nil {
			return err
		}
	}
	for _, n := range s.beside {
		err := d.await(ctx, "nothing came to "+n.path, func() (bool, error) {
			return n.path == hangPath && d.sink.hung.Load() > hung || n.path == busyPath && d.sink.count(busyPath).Load() > done, nil
		})
		if err != nil {
			return err
		}
	}
	done = d.sink.count(busyPath).Load()
	l, err := d.steady(ctx, light, events)
	s.done += d.sink.count(busyPath).Load() - done
	s.seen.took += l.took
	s.seen.latencies = append(s.seen.latencies, l.latencies...)
	for _, n := range s.beside {
		_, e := d.api.ActOn(ctx, n.Name, n.name(), "pause", client.PauseOrder{})
		err = errors.Join(err, e)
	}
	d.sink.release()
	if err != nil {
		return err
	}
	// What is on its way ends here, not beside the next one.
	return d.await(ctx, "the neighbours did not pause in time", func() (still bool, err error) {
		err = d.control.QueryRow(ctx, nobodySends, light.ID).Scan(&still)
		return still, err
	})
}

// topUp sees to it that so many deliveries wait, if there were ever so many.
func (d *delivery) topUp(ctx context.Context, n neighbour, least int) error {
	ready, err := d.waiting(ctx, n.tenant, n.name())
	if err != nil || ready >= least {
		return err
	}
	_, err = d.api.ReplayDestination(ctx, n.Name, n.name(), client.ReplayOrder{State: "delivered"})
	return err
}

// steady sends events one after the other at a light load, and gives how long after the
// answer each has reached the sink.
func (d *delivery) steady(ctx context.Context, t *tenant, events int) (load, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", d.address)
	if err != nil {
		return load{}, fmt.Errorf("connect to the server: %w", err)
	}
	defer conn.Close()
	answered := make(map[int64]time.Time, events)
	request, buffer := slices.Clone(t.template.bytes), make([]byte, 4096)
	pause := time.NewTicker(steadyPause)
	defer pause.Stop()
	begun := time.Now()
	for range events {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return load{}, context.Cause(ctx)
		}
		t.next++
		t.template.number(request, t.next, t.next)
		if err := exchange(conn, request, buffer); err != nil {
			return load{}, err
		}
		answered[t.next] = time.Now()
	}
	took := time.Since(begun)
	var l load
	err = d.await(ctx, "not all changes reached the sink in time", func() (bool, error) {
		var missing int
		l, missing = d.sink.since(answered)
		return missing == 0, nil
	})
	l.took = took
	return l, err
}
