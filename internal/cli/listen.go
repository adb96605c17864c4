package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/svixrelay"
)

const (
	// relayTokensFile, in the data directory, keeps the tokens of relayed inboxes, so that their URLs
	// stay the same.
	relayTokensFile = "relay-tokens.json" //nolint:gosec // a file name
	// forwardTimeout limits a request to the server.
	forwardTimeout = 15 * time.Second
	// maxForwarded is the maximum length of an answer that goes back to the sender.
	maxForwarded = 64 << 10
)

func (s *session) newListen() *cobra.Command {
	var fresh bool
	var relay string
	cmd := &cobra.Command{
		Use:   "listen PROJECT clerk",
		Short: "Receive Clerk's development webhooks without a public URL",
		Long: `Opens an inbox at Svix's relay and passes on what Clerk sends there to the server's own
webhook URL, headers and all, and the server's answer back to Clerk. Prints the URL to
paste at Clerk (Configure, Webhooks, Add Endpoint) and a line for each message. The URL
stays the same from run to run: its token is in AUTHSYNC_DATA_DIR.

Signatures are verified as always: store the endpoint's signing secret with authsync
integrations set PROJECT clerk --add-secret --webhook-signing-secret-file -.

The relay is for development: it keeps nothing while nobody listens (Svix sends failed
messages again for some days), and one command at a time listens to an inbox.`,
		Example: "  authsync listen demo clerk\n" +
			"  authsync listen shop clerk --new-url",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := provider.ParseName(args[1])
			if err != nil {
				return usageError{err}
			}
			if name != provider.Clerk {
				return usagef("only Clerk's development webhooks are relayed: authsync listen %s clerk", args[0])
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			p, err := c.Project(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			settings, err := s.settings()
			if err != nil {
				return err
			}
			to := c.WebhookURL(name, p.ID)
			token, err := relayToken(settings.DataDir, to, fresh)
			if err != nil {
				return err
			}
			if !s.json {
				err := s.printf("Clerk's webhook URL (Configure, Webhooks, Add Endpoint):\n\n  %s\n\n", svixrelay.InboxURL(token))
				if err != nil {
					return err
				}
			}
			return s.listen(cmd.Context(), relay, token, to, func() {})
		},
	}
	cmd.Flags().BoolVar(&fresh, "new-url", false, "open a new inbox, whose URL has to be pasted at Clerk")
	cmd.Flags().StringVar(&relay, "relay", svixrelay.Address, "address of the relay")
	return cmd
}

// relayToken is the token of the inbox for a webhook URL: that of the last run, or a new one.
func relayToken(dataDir, webhookURL string, fresh bool) (string, error) {
	path := filepath.Join(dataDir, relayTokensFile)
	tokens := map[string]string{}
	text, err := os.ReadFile(path) //nolint:gosec // in the operator's own directory
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case json.Unmarshal(text, &tokens) != nil:
		return "", fmt.Errorf("%s cannot be read: remove it, and new URLs are made", path)
	}
	if token := tokens[webhookURL]; !fresh && svixrelay.IsToken(token) {
		return token, nil
	}
	tokens[webhookURL] = svixrelay.NewToken()
	if text, err = json.MarshalIndent(tokens, "", "  "); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", err
	}
	return tokens[webhookURL], config.WriteFile(path, text)
}

// listen relays until ctx ends, which is how it is meant to end. connected is called with each connection.
func (s *session) listen(ctx context.Context, relay, token, webhookURL string, connected func()) error {
	f := &forwarder{session: s, to: webhookURL, client: &http.Client{
		Timeout: forwardTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer f.client.CloseIdleConnections()
	again := ""
	err := svixrelay.Listen(ctx, svixrelay.Config{
		URL: relay, Token: token, Deliver: f.deliver,
		Connected: func() {
			f.notice("Listening%s. Ctrl-C ends it.", again)
			again = " again"
			connected()
		},
		Lost: func(err error, pause time.Duration) {
			f.notice("Not connected: %v. Next attempt in %s.", err, pause.Round(100*time.Millisecond))
		},
	})
	switch {
	case errors.Is(err, context.Canceled):
		return nil // Ctrl-C
	case errors.Is(err, svixrelay.ErrInUse):
		return fmt.Errorf("another authsync listen has the inbox %s: stop it, or open a new one with --new-url", svixrelay.InboxURL(token))
	default:
		return err
	}
}

// forwarder passes relayed requests on to the server.
type forwarder struct {
	*session

	to     string
	client *http.Client
	mu     sync.Mutex // a line at a time
}

// relayed is a line of --json for a message.
type relayed struct {
	ReceivedAt time.Time `json:"received_at"`
	MessageID  string    `json:"message_id,omitempty"`
	Type       string    `json:"type,omitempty"`
	Status     int       `json:"status"`
	Detail     string    `json:"detail,omitempty"`
}

func (f *forwarder) deliver(ctx context.Context, r svixrelay.Request) svixrelay.Response {
	line := relayed{ReceivedAt: f.Now().UTC(), MessageID: r.Header.Get("Svix-Id"), Type: typeOf(r.Body)}
	response, err := f.forward(ctx, r)
	if err != nil {
		// Svix sends it again.
		response = svixrelay.Response{Status: http.StatusServiceUnavailable}
		line.Detail = err.Error()
	}
	line.Status = response.Status
	if response.Status/100 != 2 && err == nil {
		line.Detail = detailOf(response.Body)
	}
	f.show(line)
	return response
}

func (f *forwarder) forward(ctx context.Context, r svixrelay.Request) (svixrelay.Response, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, f.to, bytes.NewReader(r.Body))
	if err != nil {
		return svixrelay.Response{}, err
	}
	request.Header = r.Header
	answer, err := f.client.Do(request)
	if err != nil {
		return svixrelay.Response{}, fmt.Errorf("the server does not answer: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxForwarded))
	if err != nil {
		return svixrelay.Response{}, fmt.Errorf("the server's answer broke off: %w", err)
	}
	return svixrelay.Response{Status: answer.StatusCode, Header: answer.Header, Body: body}, nil
}

// notice writes a line beside those of messages. That it cannot be written is no reason to stop.
func (f *forwarder) notice(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.session.notice(format, args...)
}

func (f *forwarder) show(line relayed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.json {
		if text, err := json.Marshal(line); err == nil {
			_ = f.printf("%s\n", text) // nothing to be done about it
		}
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %s", line.ReceivedAt.Local().Format(time.TimeOnly), line.Status, strings.TrimSpace(line.Type+" "+line.MessageID))
	if line.Detail != "" {
		b.WriteString(": " + line.Detail)
	}
	_ = f.printf("%s\n", printable(b.String()))
}

// typeOf is the type of the event in a body; empty if it cannot be read.
func typeOf(body []byte) string {
	var event struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(body, &event) // then it has none
	return event.Type
}

// detailOf is what a refusal says.
func detailOf(body []byte) string {
	var refusal problem.Document
	if json.Unmarshal(body, &refusal) != nil {
		return ""
	}
	return refusal.Detail
}
