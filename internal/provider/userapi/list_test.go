package userapi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
)

// A list is read by position while users are deleted, others sign up at its end,
// and others yet come anywhere in it. However that falls, nobody who is there from
// beginning to end is missed, and the walk ends; where the pages are very small, it may end with an error.
func TestNobodyIsMissedWhileAListChanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int64{30, 12, 7}).Draw(rt, "page")
		var users []Entry
		next := 0
		add := func(at int) {
			users = slices.Insert(users, at, Entry{ID: strconv.Itoa(next)})
			next++
		}
		for range rapid.IntRange(0, 150).Draw(rt, "users") {
			add(len(users))
		}
		stayed := map[string]bool{}
		for _, u := range users {
			stayed[u.ID] = true
		}
		clock := func(context.Context, time.Duration) error { return nil }
		p := Positions{
			Name: "Clerk", Client: NewClient("Clerk", Deps{Sleep: clock}, Rate{}, "secret"),
			List: func(_ context.Context, from int64) (List, error) {
				l := List{Total: int64(len(users))}
				for i := from; i < min(from+size, int64(len(users))); i++ {
					l.Entries = append(l.Entries, Entry{ID: users[i].ID, Place: i - from})
				}
				return l, nil
			},
		}
		seen := map[string]bool{}
		for m := (Mark{}); ; {
			part, err := p.Next(t.Context(), &m)
			if size < 30 && err != nil {
				require.True(rt, fault.Is(err, fault.ProviderError), "%v", err)
				return
			}
			require.NoError(rt, err)
			if part.End {
				break
			}
			for _, u := range part.Entries {
				seen[u.ID] = true
			}
			for range rapid.IntRange(0, 4).Draw(rt, "deletions") {
				if len(users) > 12 { // not all who were read last go at once
					i := rapid.IntRange(0, len(users)-1).Draw(rt, "deleted")
					delete(stayed, users[i].ID)
					users = slices.Delete(users, i, i+1)
				}
			}
			if next < 300 && rapid.Bool().Draw(rt, "signs up") {
				add(len(users))
			}
			if next < 300 && rapid.Bool().Draw(rt, "comes in between") {
				add(rapid.IntRange(0, len(users)).Draw(rt, "where"))
			}
		}
		for id := range stayed {
			require.True(rt, seen[id], "user %q was there all the time", id)
		}
	})
}

// A circle of any length is noticed within three rounds, wherever it begins.
func TestCirclesAreNoticed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		before := rapid.IntRange(0, 20).Draw(rt, "pages before the circle")
		length := rapid.IntRange(1, 40).Draw(rt, "pages in the circle")
		page := func(i int) []string {
			if i >= before {
				i = before + (i-before)%length
			}
			ids := make([]string, 20)
			for n := range ids {
				ids[n] = fmt.Sprintf("%d.%d", i, n)
			}
			return ids
		}
		var m Mark
		i := 0
		for ; !m.Repeats(page(i)); i++ {
			m.Add(page(i))
		}
		require.GreaterOrEqual(rt, i, before+length, "no page had come before")
		require.LessOrEqual(rt, i, 3*(before+length))
	})
}

func TestSayHidesSecretsAndStaysShort(t *testing.T) {
	t.Parallel()
	c := NewClient("Clerk", Deps{}, Rate{}, provider.Secret("sk_live_hush"))
	require.Equal(t, "the key *** and *** are wrong", c.Say("the key sk_live_hush and\r\n\x00 t0ken\u2028are wrong", "t0ken"))
	require.Equal(t, strings.Repeat("ä", 300)+"…", c.Say(strings.Repeat("ä", 301)))
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://app.example.com//":           "https://app.example.com",
		"https://app.example.com//api//auth/": "https://app.example.com/api/auth",
		"https://app.example.com/a/../b/":     "https://app.example.com/b",
	} {
		base, err := ParseBase("options.base_url", given)
		require.NoError(t, err, given)
		require.Equal(t, want, base.String())
	}
	for _, good := range []string{"https://app.example.com", "https://app.example.com:8443/api/auth/", "http://127.0.0.1:3000", "http://localhost:3000/x", "http://[::1]:1", "http://web:3000"} {
		base, err := ParseBase("options.base_url", good)
		require.NoError(t, err, good)
		require.Equal(t, strings.TrimRight(good, "/"), base.String())
	}
	for _, bad := range []string{
		"", "app.example.com", "ftp://app.example.com",
		"https://", "https://:443", "https://u:p@app.example.com", "https://app.example.com?", "https://app.example.com#x", "https://a b", "//app.example.com", "https:app",
	} {
		_, err := ParseBase("options.base_url", bad)
		require.ErrorContains(t, err, "options.base_url", bad)
	}
}
