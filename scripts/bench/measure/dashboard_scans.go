package measure

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/pgdb"
)

// largeTable is from how many rows on a table is too large to be read as a whole for a page.
const largeTable = 20_000

// selectScans has the rows that were read by sequential scans, by table; the partitions of a table are one.
const selectScans = `
	SELECT regexp_replace(s.relname, '_(p?[0-9]{8}|default)$', '') AS name, sum(s.seq_tup_read)::bigint AS read,
		sum(s.n_live_tup)::bigint AS size
	FROM pg_stat_user_tables AS s
	GROUP BY 1`

// scanned is a table, with the rows that were read of it by sequential scans, and those that it has.
type scanned struct {
	Name       string
	Read, Size int64
}

// reportInterval is how often PostgreSQL adds what a busy connection has read to its statistics.
const reportInterval = time.Second

// scans reads what was read by sequential scans so far, in both databases. It keeps the connections busy before, until what
// they have read is known.
func (f *filled) scans(ctx context.Context, b *browser) (map[string]scanned, error) {
	for began := time.Now(); time.Since(began) < 2*reportInterval; {
		if _, _, _, err := b.open(ctx, "/"); err != nil {
			return nil, err
		}
	}
	all := map[string]scanned{}
	for _, pool := range []*pgxpool.Pool{f.control, f.mirror} {
		tables, err := pgdb.Collect[scanned](ctx, pool, selectScans)
		if err != nil {
			return nil, fmt.Errorf("read the statistics of scans: %w", err)
		}
		for _, one := range tables {
			all[one.Name] = one
		}
	}
	return all, nil
}

// showScans writes which large tables the pages that were opened since have read by sequential scans, and how much of them.
func (f *filled) showScans(ctx context.Context, w io.Writer, b *browser, before map[string]scanned, opened int) error {
	after, err := f.scans(ctx, b)
	if err != nil {
		return err
	}
	var large []scanned
	for name, one := range after {
		if one.Read -= before[name].Read; one.Read > 0 && one.Size >= largeTable {
			large = append(large, one)
		}
	}
	slices.SortFunc(large, func(a, b scanned) int { return cmp.Compare(b.Read, a.Read) })
	rows := [][]string{{"read by sequential scans", "rows a page", "of"}}
	for _, one := range large {
		rows = append(rows, []string{one.Name, strconv.FormatInt(one.Read/int64(max(opened, 1)), 10), strconv.FormatInt(one.Size, 10)})
	}
	if len(large) == 0 {
		rows = append(rows, []string{fmt.Sprintf("no table of %d or more rows", largeTable), "", ""})
	}
	table(w, rows)
	return nil
}
