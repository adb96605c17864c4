package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/keyset"
	"github.com/authsync/authsync/internal/provider/preview"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/record"
)

// maxBodyFile bounds a body that is previewed: a receiver takes 1 MiB by default.
const maxBodyFile = 1 << 20

// previewed are the flags of integrations preview.
type previewed struct {
	file    string
	headers []string
	secret  source
	options []string
	at      string
}

func (s *session) newIntegrationsPreview() *cobra.Command {
	p := previewed{secret: source{flag: "webhook-signing-secret"}}
	cmd := &cobra.Command{
		Use:   "preview {PROVIDER | -f FILE} BODY",
		Short: "Show what would be stored of a request, without storing it",
		Long: `Checks a definition, maps a request's body by it, and shows each event column by column.
BODY is a file with the body as it was received; - is standard input. Nothing is stored,
and no server is needed: expressions run here.

With --header, the request is also verified: the exit status is 1 if the receiver would
refuse it. Of a recorded one, say when it was received with --at.`,
		Example: "  authsync integrations preview -f acme.yaml body.json\n" +
			"  authsync integrations preview workos body.json --header 'WorkOS-Signature: t=1777888000000, v1=5257a8' \\\n" +
			"    --webhook-signing-secret-env WORKOS_SECRET",
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, options, err := p.provider(args)
			if err != nil {
				return err
			}
			body, err := s.readBody(args[len(args)-1])
			if err != nil {
				return err
			}
			request := preview.Request{Body: body, ReceivedAt: time.Now()}
			if p.at != "" {
				if request.ReceivedAt, err = time.Parse(time.RFC3339, p.at); err != nil {
					return usagef("--at: it must be a time such as 2026-05-04T10:20:30Z")
				}
			}
			if request.Header, err = parseHeaders(p.headers); err != nil {
				return err
			}
			if p.secret.given() && request.Header == nil {
				return usagef("--%s-…: a secret verifies a request by its headers: give them with --header", p.secret.flag)
			}
			verifier, err := s.previewVerifier(kind, options, p)
			if err != nil {
				return err
			}
			result, err := preview.Of(cmd.Context(), kind, verifier, options, request)
			if err != nil {
				return err
			}
			if s.json {
				err = s.printJSON(result)
			} else {
				err = s.printMapped(result)
			}
			if err == nil && result.Verified != nil && !result.Verified.OK {
				return errReported
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&p.file, "file", "f", "", "file with the definition of a provider of your own, in YAML or JSON")
	f.StringArrayVar(&p.headers, "header", nil, "a header of the request, such as 'X-Signature: 5257a8'; may be repeated")
	f.StringVar(&p.at, "at", "", "when the request was received, such as 2026-05-04T10:20:30Z; by default now")
	f.StringVar(&p.secret.file, "webhook-signing-secret-file", "", "file with the signing secret, or several, one per line; - is standard input")
	f.StringVar(&p.secret.env, "webhook-signing-secret-env", "", "environment variable with the same")
	f.StringArrayVar(&p.options, "option", nil, "an option of the integration as name=value, such as absent_fields=clear; may be repeated")
	return cmd
}

// provider is the provider that the arguments name, with its options.
func (p *previewed) provider(args []string) (provider.Provider, provider.Options, error) {
	none := provider.Options{}
	set, err := parseSet("--option", p.options)
	if err != nil {
		return nil, none, err
	}
	name := provider.CustomPrefix + "preview"
	switch {
	case (p.file == "") != (len(args) == 2):
		return nil, none, usagef("give either -f, the file of a definition, or the name of a provider, and then the file with the body")
	case p.file != "":
		if set["definition"], err = readDefinition(p.file); err != nil {
			return nil, none, err
		}
	default:
		name = args[0]
	}
	kind, err := registry.Lookup(name)
	if err != nil {
		return nil, none, usageError{err}
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, none, fmt.Errorf("read --option: %w", err)
	}
	options := provider.Options{}
	if err := json.Unmarshal(text, &options); err != nil {
		return nil, none, usagef("--option: %w", err)
	}
	return kind, options, nil
}

// readDefinition checks a file with a definition, and returns it as JSON has it.
func readDefinition(file string) (json.RawMessage, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the file that the person names
	if err != nil {
		return nil, fmt.Errorf("-f: %w", err)
	}
	compiled, err := custom.ReadFile(file, text)
	if err != nil {
		return nil, err
	}
	definition, err := json.Marshal(compiled.Definition)
	if err != nil {
		return nil, fmt.Errorf("write the definition of %s: %w", file, err)
	}
	return definition, nil
}

func (s *session) readBody(file string) ([]byte, error) {
	in := s.In
	if file != "-" {
		opened, err := os.Open(file) //nolint:gosec // the file that the person names
		if err != nil {
			return nil, err
		}
		defer func() { _ = opened.Close() }()
		in = opened
	}
	body, err := io.ReadAll(io.LimitReader(in, maxBodyFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", named(file), err)
	case len(body) > maxBodyFile:
		return nil, fmt.Errorf("%s is longer than %d bytes", named(file), maxBodyFile)
	}
	return body, nil
}

// parseHeaders reads headers as curl takes them; nil if there are none.
func parseHeaders(lines []string) (http.Header, error) {
	var h http.Header
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !found || name == "" {
			return nil, usagef("--header: it must look like 'X-Signature: 5257a8'")
		}
		if h == nil {
			h = http.Header{}
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}

// previewVerifier makes the verifier, with the public keys of providers that publish them.
func (s *session) previewVerifier(kind provider.Provider, o provider.Options, p previewed) (provider.Verifier, error) {
	var c provider.Credentials
	if p.secret.given() {
		text, err := s.read(p.secret)
		if err != nil {
			return nil, err
		}
		for _, line := range pasted.Lines(text) {
			c.WebhookSigningSecret = append(c.WebhookSigningSecret, provider.Secret(line))
		}
	}
	verifier, err := kind.NewVerifier(c, o)
	if err != nil {
		return nil, err
	}
	if user, uses := verifier.(provider.KeySetUser); uses && user.KeySetURL() != "" {
		verifier = user.WithKeys(keyset.New(keyset.Config{Client: egress.New(egress.Config{Allow: egress.Loopback()}).Client(0), Log: slog.New(slog.DiscardHandler)}).Of(uuid.Nil))
	}
	return verifier, nil
}

func (s *session) printMapped(r preview.Result) error {
	switch v := r.Verified; {
	case v == nil:
	case v.OK && v.Secret != "":
		if err := s.printf("Verified: %s, secret %s.\n\n", v.Method, v.Secret); err != nil {
			return err
		}
	case v.OK:
		if err := s.printf("Verified: %s.\n\n", v.Method); err != nil {
			return err
		}
	default:
		if err := s.printf("Not verified, so the receiver would answer 401: %s.\nIf it took the request, this would be stored:\n\n", printable(v.Problem)); err != nil {
			return err
		}
	}
	if len(r.Excluded) > 0 {
		if err := s.printf("Not stored, by option exclude: %s.\n\n", printable(strings.Join(r.Excluded, ", "))); err != nil {
			return err
		}
	}
	if r.BodyProblem != "" {
		if err := s.printf("The sender would be answered 400: %s.\n\n", printable(r.BodyProblem)); err != nil {
			return err
		}
	}
	for _, e := range r.Events {
		if err := s.printMappedEvent(e); err != nil {
			return err
		}
	}
	return s.notice("Nothing was stored.")
}

func (s *session) printMappedEvent(e preview.Event) error {
	outcome := e.Outcome
	if e.Reason != "" {
		outcome += ": " + printable(e.Reason)
	}
	if err := s.printf("Event %s %s: %s\n", orDash(printable(e.EventType)), printable(e.EventID), outcome); err != nil {
		return err
	}
	if e.RecordID != "" {
		at := ""
		if e.EventTime != nil {
			at = " at " + e.EventTime.Format(time.RFC3339Nano)
			if e.TimeIsReceipt {
				at += ", the time of receipt: the event has none"
			}
		}
		if err := s.printf("  %s %s%s\n", e.RecordType, printable(e.RecordID), at); err != nil {
			return err
		}
	}
	if len(e.Columns) == 0 {
		return s.printf("\n")
	}
	t := table{head: []string{"COLUMN", "VALUE"}}
	for _, c := range e.Columns {
		value := "NULL"
		if c.Value != nil {
			value = *c.Value
		}
		t.add(c.Name, value)
	}
	if err := s.print(t); err != nil {
		return err
	}
	if left := leftColumns(e); len(left) > 0 {
		return s.printf("Left as they are, because the event has no value for them: %s.\n\n", strings.Join(left, ", "))
	}
	return s.printf("\n")
}

// leftColumns are the columns of a record that an event does not set: an expression with a wrong name looks like that.
func leftColumns(e preview.Event) (left []string) {
	definition, _ := record.Of(record.Type(e.RecordType))
	for _, column := range definition.Columns {
		name := definition.Shown(column)
		if column != record.DeletedAt && !e.Deletes && !slices.ContainsFunc(e.Columns, func(c preview.Column) bool { return c.Name == name }) {
			left = append(left, name)
		}
	}
	return left
}
