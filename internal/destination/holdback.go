package destination

import (
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
)

// The bounds of a holdback. Nobody can react in less, and a deletion that has not arrived after a month is an error, not a pause.
const (
	MinHoldback = time.Minute
	MaxHoldback = 30 * 24 * time.Hour
)

// ParseHoldback reads how long deletions are held back, such as 24h; nil: the text is empty, and they are sent at once. It returns a
// fault.Invalid.
func ParseHoldback(text string) (*time.Duration, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil //nolint:nilnil // see above
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < MinHoldback || d > MaxHoldback || d%time.Second != 0 {
		return nil, fault.Newf(fault.Invalid, "holdback is %.40q: it must be a duration from 1m to 720h, such as 24h, or empty to send deletions at once", text)
	}
	return &d, nil
}

// FormatHoldback is the opposite of ParseHoldback.
func FormatHoldback(d *time.Duration) string {
	if d == nil {
		return ""
	}
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} { // 24h0m0s is 24h
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
