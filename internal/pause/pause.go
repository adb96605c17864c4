// Package pause waits for a time that may be cut short.
package pause

import (
	"context"
	"time"
)

// For waits for d. It returns the cause of ctx if that ends first, or has ended.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
