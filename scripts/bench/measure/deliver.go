package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const changesEach = 4 // of a user in a backlog

// delivering measures how fast changes reach a webhook, how long that takes a single
// one, and what others make of that.
func (e *environment) delivering(ctx context.Context, w io.Writer, c Config) (err error) {
	say := func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
	fmt.Fprintln(w, "\nDelivering: from a provider's request to a webhook that answers at once, through a whole server")
	d, err := e.newDelivery(ctx, allRoles(), say)
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
	if err := d.fill(ctx, t, max(c.Changes/changesEach, 1), changesEach); err != nil {
		return nil, err
	}
	d.say("%d changes are in the feed", t.next)
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
