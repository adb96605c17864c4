package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/ingest/usage"
)

func TestMessagesOfTheLastDayAreDrawn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 10, 20, 0, 0, time.UTC)
	draw := func(counts map[int]int64) *dashboard.MessagePlot {
		all := usage.LastDay(uuid.New(), nil, now)
		for ago, n := range counts {
			all[len(all)-1-ago].MessageCount = n
		}
		return dashboard.MessagePlotOf(all, now)
	}
	require.Nil(t, draw(nil))

	p := draw(map[int]int64{0: 10, 1: 60, 95: 1}) // the last interval began five minutes ago
	require.Equal(t, "M0 32v-1h2v1zM188 32v-32h2v32zM190 32v-16h2v16z", p.Bars)
	require.Equal(t, []string{"2.0", "4.0", "10:00"}, []string{p.Now, p.Most, p.MostAt.Format("15:04")})

	p = draw(map[int]int64{2: 1500, 3: 1})
	require.Equal(t, []string{"0", "100"}, []string{p.Now, p.Most})
	require.Equal(t, "less than 0.1", draw(map[int]int64{3: 1}).Most)
}

func TestHomeShowsHowManyMessagesArrive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.exec(t, `
		INSERT INTO authsync.message_counts (project_id, slot, began_at, message_count)
		SELECT $1, n, date_bin('15 minutes', now(), '2000-01-01Z') - n * interval '15 minutes', 30 FROM generate_series(1, 2) AS n`, s.shop.ID)
	home := s.get(t, "/", s.all)
	require.Len(t, home.all("svg"), 1, "the other project has none")
	require.Regexp(t, `0 now, at most 2\.0 at \d\d:\d\d UTC`, home.words)
	require.Len(t, home.all("path"), 1)
	bars, _ := attribute(home.all("path")[0], "d")
	require.Equal(t, 2, strings.Count(bars, "z"))
}
