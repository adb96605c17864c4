package fetch

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider"
)

// A list in order of creation is read by position while users are deleted and
// others sign up. However that falls, nobody who is there from beginning to end
// is missed.
func TestDeletionsDuringAWalkHideNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const size = 5
		var users []Entry
		next := 0
		add := func() {
			users = append(users, Entry{ID: string(rune('a' + next)), Created: time.Unix(int64(next/3), 0)})
			next++
		}
		for range rapid.IntRange(0, 40).Draw(rt, "users") {
			add()
		}
		stayed := map[string]bool{}
		for _, u := range users {
			stayed[u.ID] = true
		}
		seen := map[string]bool{}
		for m := (Mark{}); ; {
			var page, rest []Entry
			for joined := false; !joined; {
				from := min(m.From(), int64(len(users)))
				page = users[from:min(from+size, int64(len(users)))]
				if rest, joined = m.Behind(page); !joined {
					m.Offset = max(m.From()-size/2, 0)
				}
			}
			for _, u := range rest {
				seen[u.ID] = true
			}
			m.Offset = m.From() + int64(len(page))
			if len(rest) > 0 {
				m.ID, m.Created = rest[len(rest)-1].ID, rest[len(rest)-1].Created
			}
			if len(page) < size {
				break
			}
			for range rapid.IntRange(0, 4).Draw(rt, "deletions") {
				if len(users) > 0 {
					i := rapid.IntRange(0, len(users)-1).Draw(rt, "deleted")
					delete(stayed, users[i].ID)
					users = append(users[:i:i], users[i+1:]...)
				}
			}
			if rapid.Bool().Draw(rt, "signs up") {
				add()
			}
		}
		for id := range stayed {
			require.True(rt, seen[id], "user %q was there all the time", id)
		}
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
