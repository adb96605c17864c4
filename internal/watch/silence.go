package watch

import (
	"math"
	"time"
)

const (
	hoursOfWeek = 168
	week        = hoursOfWeek * time.Hour
	// minGap is the shortest pause that is learned, and how precisely the newest message is known. Shorter ones are below
	// the floor by far.
	minGap = 5 * time.Minute
	// silenceFloor is the shortest silence: however many messages usually come, a pause of less is none.
	silenceFloor = 30 * time.Minute
	// silenceMultiple is how many usual pauses make a silence. What is usual is the longest of many weeks, so a
	// regular pause is well below it.
	silenceMultiple = 1.5
	// learnFor is how long pauses are learned before a longer one is a silence: each hour of the week twice.
	learnFor = 2 * week
	// fadePerWeek is what a learned pause keeps after a week, so that an integration that has become busier is
	// known as such after some weeks.
	fadePerWeek = 0.95
	// lookAhead bounds the search for the end of an allowed pause.
	lookAhead = 60 * 24 * time.Hour
)

// rhythm is how long the pauses of an integration usually are, for each hour of the week from Monday 00:00 UTC on: the
// longest one that covered the hour, in seconds; 0: none longer than minGap did.
//
// Hours of the week, because nights and weekends are quieter. The longest, because an integration may be as irregular as it
// likes: what it has done before is usual. It fades, and one pause makes it grow by no more than silenceMultiple, so that
// neither a launch nor an outage is remembered for long.
type rhythm [hoursOfWeek]float32

// hourOfWeek returns the hour of the week of a time, from 0.
func hourOfWeek(t time.Time) int {
	t = t.UTC()
	return (int(t.Weekday())+6)%7*24 + t.Hour()
}

// fade ages what was learned until then.
func (r *rhythm) fade(until, now time.Time) {
	const shortest = float32(minGap / time.Second)
	weeks := float64(now.Sub(until)) / float64(week)
	if weeks <= 0 {
		return
	}
	keep := float32(math.Pow(fadePerWeek, weeks))
	for h := range r {
		if r[h] *= keep; r[h] < shortest {
			r[h] = 0
		}
	}
}

// learn notes a pause. Once it is known what is usual, a longer pause makes it grow a little at a time.
func (r *rhythm) learn(from, to time.Time, known bool) {
	gap := to.Sub(from)
	if gap < minGap {
		return
	}
	last := to.Add(-1)
	hours := int(last.Truncate(time.Hour).Sub(from.Truncate(time.Hour))/time.Hour) + 1
	for n := range min(hours, hoursOfWeek) {
		h := (hourOfWeek(from) + n) % hoursOfWeek
		seconds := float32(gap / time.Second)
		if known {
			seconds = min(seconds, silenceMultiple*max(r[h], float32(silenceFloor/time.Second)))
		}
		r[h] = max(r[h], seconds)
	}
}

// around is how many hours on each side of an hour count as it does: what happens at nine sometimes happens at ten.
const around = 1

// usual returns the usual pause in an hour of the week.
func (r *rhythm) usual(h int) time.Duration {
	longest := float32(minGap / time.Second)
	for n := h - around; n <= h+around; n++ {
		longest = max(longest, r[(n+hoursOfWeek)%hoursOfWeek])
	}
	return time.Duration(longest) * time.Second
}

// silentAt returns when a pause that began at last becomes a silence: when so many usual pauses have passed. An hour with
// long pauses counts for little, so that a quiet weekend does not use up the pause of Monday morning.
func (r *rhythm) silentAt(last time.Time) time.Time {
	passed, at := 0.0, last
	for at.Sub(last) < lookAhead {
		next := at.Truncate(time.Hour).Add(time.Hour)
		usual := float64(r.usual(hourOfWeek(at)))
		if all := passed + float64(next.Sub(at))/usual; all < silenceMultiple {
			passed, at = all, next
			continue
		}
		at = at.Add(time.Duration((silenceMultiple - passed) * usual))
		break
	}
	return later(at, last.Add(silenceFloor))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
