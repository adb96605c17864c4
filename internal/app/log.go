package app

import (
	"io"
	"log/slog"

	"github.com/authsync/authsync/internal/config"
)

// NewLogger creates the configured logger.
func NewLogger(c config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == config.Text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
