package syncrun

import (
	"context"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

const (
	// maxBeyond is how many users may be read beyond twice the provider's count.
	maxBeyond = 10_000
	// maxIdle is the maximum number of consecutive empty pages in a slice.
	maxIdle = 100
)

// progress fails a walk that makes no progress, whatever its source. A Source has checks of its
// own, see userapi.Mark; this one always applies.
func (s *slice) progress(ctx context.Context, cursor string, page *userapi.Page) error {
	name := provider.Title(s.row.Provider)
	switch {
	case page.Wait > 0 || page.Restarted:
		s.idle = 0
	case page.Next != "" && page.Next == cursor:
		return userapi.NoProgress(name, "the walk stands still", s.row.Read, 0)
	case len(page.Users) > 0:
		s.idle = 0
	default:
		s.idle++
	}
	if s.idle > maxIdle {
		return userapi.NoProgress(name, "page after page has nobody", s.row.Read, 0)
	}
	if s.row.Total == nil || s.row.Read <= 2**s.row.Total+maxBeyond {
		return nil
	}
	if err := s.count(ctx); err != nil || s.row.Read <= 2**s.row.Total+maxBeyond {
		return err
	}
	return userapi.NoProgress(name, "it goes on", s.row.Read, *s.row.Total)
}
