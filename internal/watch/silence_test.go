package watch

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// year is the simulated year of an integration: an event every few hours of working days, few at night and at weekends,
// and the launch of something in the middle.
type year struct {
	random *rand.Rand
	start  time.Time
}

// meanGap is the usual pause at a time.
func (y *year) meanGap(at time.Time) time.Duration {
	day := at.Sub(y.start) / (24 * time.Hour)
	switch {
	case day >= 180 && day < 184:
		return 90 * time.Second // the launch
	case at.Weekday() == time.Saturday || at.Weekday() == time.Sunday:
		return 10 * time.Hour
	case at.Hour() < 7 || at.Hour() >= 19:
		return 5 * time.Hour
	default:
		return 150 * time.Minute
	}
}

// next returns the next event: pauses vary by a quarter, and follow the hours that they lie in.
func (y *year) next(at time.Time) time.Time {
	jitter := 0.75 + 0.5*y.random.Float64()
	for passed := 0.0; passed < jitter; {
		step := min(y.meanGap(at)/20, 15*time.Minute)
		passed += float64(step) / float64(y.meanGap(at))
		at = at.Add(step)
	}
	return at
}

// pauses is how many usual pauses lie between two times.
func (y *year) pauses(from, to time.Time) (n float64) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		n += float64(time.Minute) / float64(y.meanGap(at))
	}
	return n
}

func simulate(seed uint64) *year {
	return &year{rand.New(rand.NewPCG(seed, 1)), time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}
}

// lived is what is known of an integration.
type lived struct {
	rhythm rhythm
	row    activity
	silent *time.Time
	last   time.Time
}

// begin is the first message of an integration.
func begin(at time.Time) *lived {
	l := &lived{}
	l.arrive(at)
	return l
}

// arrive has the watcher learn a message, as it does with each that is the only one since its last evaluation.
func (l *lived) arrive(at time.Time) {
	l.row.NewestAt, l.row.NextAt = at, at
	var first time.Time
	l.rhythm, first, l.silent = l.row.learned(at)
	l.row = activity{FirstMessageAt: &first, LastMessageAt: &at, LearnedAt: &at, UsualGaps: l.rhythm[:]}
	l.last = at
}

func (l *lived) silentAt() time.Time {
	if l.silent == nil {
		return l.last.Add(10 * 365 * 24 * time.Hour)
	}
	return *l.silent
}

func TestAYearWithoutAFalseAlarm(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		y := simulate(seed)
		l := begin(y.start)
		events := 0
		for at := y.next(y.start); at.Before(y.start.Add(365 * 24 * time.Hour)); at = y.next(at) {
			require.False(t, l.silentAt().Before(at), "seed %d: a false alarm: nothing since %s (%s) until %s, silent at %s",
				seed, l.last, l.last.Weekday(), at, l.silentAt())
			l.arrive(at)
			events++
		}
		require.Greater(t, events, 2000)
	}
}

// An outage is found, whenever it begins, within four usual pauses; one that begins in the morning of a working day within two.
// That is the bound of docs/alarms.md.
func TestAnOutageIsFoundInTime(t *testing.T) {
	t.Parallel()
	found := map[float64]int{}
	for seed := range uint64(10) {
		y := simulate(seed)
		l := begin(y.start)
		for at := y.next(y.start); at.Before(y.start.Add(365 * 24 * time.Hour)); at = y.next(at) {
			l.arrive(at)
			if day := at.Sub(y.start) / (24 * time.Hour); day < 30 || day >= 175 && day < 184 {
				continue // it is still learned, or the launch
			}
			bound := 4.0 // at the edges of nights and weekends the longer pauses beside them count as well
			if at.Weekday() != time.Saturday && at.Weekday() != time.Sunday && at.Hour() >= 9 && at.Hour() < 12 {
				bound = 2
				require.Less(t, l.silentAt().Sub(at), 6*time.Hour)
			}
			require.LessOrEqual(t, y.pauses(at, l.silentAt()), bound, "seed %d: after the event of %s (%s)", seed, at, at.Weekday())
			found[bound]++
		}
	}
	require.Greater(t, found[2], 1000)
	require.Greater(t, found[4], 10000)
}

// A busy integration is not silent before the floor; an outage of a day is not usual from then on.
func TestFloorAndMemory(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	l := begin(start)
	for at := start; at.Before(start.Add(4 * week)); at = at.Add(time.Minute) {
		l.arrive(at)
	}
	require.Equal(t, silenceFloor, l.silentAt().Sub(l.last))

	l.arrive(l.last.Add(24 * time.Hour))
	require.LessOrEqual(t, l.rhythm.usual(hourOfWeek(l.last)), 45*time.Minute)
	require.Equal(t, 0, hourOfWeek(start))
	require.Equal(t, 167, hourOfWeek(start.Add(-time.Second)))

	var r rhythm
	r.learn(start, start.Add(3*week), false)
	for h := range r {
		require.InDelta(t, 3*week.Seconds(), r[h], 1)
	}
	r.fade(start, start.Add(52*week))
	require.Less(t, r.usual(0), 3*24*time.Hour)
}
