package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

const (
	steadyPause = 50 * time.Millisecond // between two events at a light load
	changesEach = 4                     // of a user in a backlog
	hungUsers   = 500                   // whose changes a destination that hangs has to take
)

// delivering measures how fast changes reach a webhook, how long that takes a single
// one, and what others make of that.
func (e *environment) delivering(ctx context.Context, w io.Writer, c Config) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	fmt.Fprintln(w, "\nDelivering: from a provider's request to a webhook that answers at once, through a whole server")
	d, err := e.newDelivery(ctx, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	many, err := d.newTenant(ctx, "many")
	if err != nil {
		return err
	}
	rows, err := d.throughput(ctx, many, c)
	if err != nil {
		return err
	}
	table(w, rows)
	if rows, err = d.fairness(ctx, many, c); err != nil {
		return err
	}
	table(w, rows)
	return nil
}

// throughput measures a backlog beside one job a delivery.
func (d *delivery) throughput(ctx context.Context, t *tenant, c Config) (rows [][]string, err error) {
	few := max(c.Changes/4, 1) // the reference is slow
	plain, err := d.single(ctx, few)
	if err != nil {
		return nil, fmt.Errorf("one job a delivery: %w", err)
	}
	d.say("reference: %.0f deliveries/s", plain.rate())
	if err := d.fill(ctx, t, c.Changes, max(c.Changes/changesEach, 1)); err != nil {
		return nil, err
	}
	d.say("%d changes are in the feed", c.Changes)
	ours, err := d.backlog(ctx, t, "backlog")
	if err != nil {
		return nil, fmt.Errorf("deliver a backlog: %w", err)
	}
	row := func(what string, l load) []string {
		return []string{what, fmt.Sprintf("%.0f", l.rate()), l.cpuEach()}
	}
	return [][]string{
		{"what", "deliveries/s", "cpu each"},
		row(fmt.Sprintf("reference: one job and one UPDATE a delivery, backlog of %d", plain.accepted), plain),
		row(fmt.Sprintf("authsync: backlog of %d, %d a user, %.1f times the reference", ours.accepted, changesEach, ours.rate()/plain.rate()), ours),
	}, nil
}

// backlog measures how fast all changes of a project reach a webhook.
func (d *delivery) backlog(ctx context.Context, t *tenant, name string) (l load, err error) {
	if l.accepted, err = d.pausedWebhook(ctx, t, name, countPath+name); err != nil {
		return load{}, err
	}
	before, begun := d.cpuTime(), time.Now()
	if err := d.resume(ctx, t, name); err != nil {
		return load{}, err
	}
	count := d.sink.count(countPath + name)
	if err := d.await(ctx, "the deliveries did not arrive in time", func() (bool, error) {
		return count.Load() >= int64(l.accepted), nil
	}); err != nil {
		return load{}, err
	}
	l.took, l.cpu = time.Since(begun), d.cpuTime()-before
	return l, d.remove(ctx, t, name)
}

// fairness measures how long the changes of a project with little to do take, alone and
// beside others.
func (d *delivery) fairness(ctx context.Context, many *tenant, c Config) (rows [][]string, err error) {
	light, err := d.newTenant(ctx, "light")
	if err != nil {
		return nil, err
	}
	if err := d.webhook(ctx, light, "light", timePath, "now"); err != nil {
		return nil, err
	}
	stuck, err := d.newTenant(ctx, "stuck")
	if err != nil {
		return nil, err
	}
	if err := d.fill(ctx, stuck, min(hungUsers, c.Waiting), hungUsers); err != nil {
		return nil, err
	}
	if more := c.Waiting - int(many.next); more > 0 {
		if err := d.fill(ctx, many, more, max(c.Changes/changesEach, 1)); err != nil {
			return nil, err
		}
	}
	rows = [][]string{{"a project with twenty events a second", "204 to sink, p50", "p99", "times"}}
	var alone load
	for i, m := range []struct {
		what           string
		hangs, backlog bool
	}{
		{what: "alone"},
		{what: "beside a destination that never answers", hangs: true},
		{what: fmt.Sprintf("beside %d waiting deliveries", c.Waiting), backlog: true},
		{what: "beside both", hangs: true, backlog: true},
	} {
		var l load
		beside := neighbours{delivery: d, stuck: stuck, many: many, name: fmt.Sprintf("beside%d", i)}
		if l, err = beside.measure(ctx, light, c.Steady, m.hangs, m.backlog); err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		if i == 0 {
			alone = l
		}
		p99 := l.percentile(0.99)
		d.say("%s: p50 %s, p99 %s", m.what, short(l.percentile(0.5)), short(p99))
		rows = append(rows, []string{
			m.what + beside.note, short(l.percentile(0.5)), short(p99), fmt.Sprintf("%.2f", p99.Seconds()/alone.percentile(0.99).Seconds()),
		})
	}
	return rows, nil
}

// neighbours are projects that have much to do.
type neighbours struct {
	*delivery

	stuck, many *tenant
	name        string
	note        string // what they did meanwhile
}

// measure sends events of one project at a light load while the neighbours are at work.
func (n *neighbours) measure(ctx context.Context, light *tenant, events int, hangs, backlog bool) (l load, err error) {
	var of []*tenant
	defer func() {
		for _, t := range of {
			err = errors.Join(err, n.remove(context.WithoutCancel(ctx), t, n.name))
		}
	}()
	waits := 0
	if backlog {
		of = append(of, n.many)
		if waits, err = n.pausedWebhook(ctx, n.many, n.name, countPath+n.name); err != nil {
			return load{}, err
		}
	}
	if hangs {
		of = append(of, n.stuck)
		if _, err = n.pausedWebhook(ctx, n.stuck, n.name, hangPath); err != nil {
			return load{}, err
		}
	}
	for _, t := range of {
		if err := n.resume(ctx, t, n.name); err != nil {
			return load{}, err
		}
	}
	if hangs {
		before := n.sink.hung.Load()
		if err := n.await(ctx, "nothing came to the sink that hangs", func() (bool, error) { return n.sink.hung.Load() > before, nil }); err != nil {
			return load{}, err
		}
	}
	l, err = n.steady(ctx, light, events)
	if backlog {
		done := n.sink.count(countPath + n.name).Load()
		n.note = fmt.Sprintf(" (%.0f/s of %d)", float64(done)/l.took.Seconds(), waits)
		if done >= int64(waits) {
			n.say("the waiting deliveries were done before the end: take more of them")
		}
	}
	return l, err
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
