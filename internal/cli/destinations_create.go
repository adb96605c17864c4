package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

// destinationFlags are the settings of a destination as flags give them.
type destinationFlags struct {
	url, condition, holdback   string
	eventTypes, fields         []string
	options                    []string
	optionsFile                string
	secretFiles, secretsByName []string
}

func (f *destinationFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "where a webhook goes; the same as --option url=…")
	flags.StringSliceVar(&f.eventTypes, "event-types", nil, "event types to send, such as user.created or organization.* (default user.*); records: user, organization, membership, invitation, session")
	flags.StringSliceVar(&f.fields, "fields", nil, "only updates that change one of these, such as email,raw.app_metadata.plan")
	flags.StringVar(&f.condition, "condition", "", "only changes of which this jq expression is true; '' for all")
	flags.StringVar(&f.holdback, "holdback", "", "hold deletions back for so long, such as 24h, and send none of what is restored meanwhile; '' sends them at once")
	flags.StringArrayVar(&f.options, "option", nil, "an option of the type as name=value; the value is JSON or text; may be repeated")
	flags.StringVar(&f.optionsFile, "options-file", "", "file with all options as a JSON object; - is standard input")
	flags.StringArrayVar(&f.secretFiles, "secret-file", nil, "a secret as name=FILE; - is standard input; may be repeated")
	flags.StringArrayVar(&f.secretsByName, "secret-env", nil, "a secret as name=VARIABLE of the environment; may be repeated")
}

// destinationInput puts the body of the call together, of the flags that are given.
func (s *session) destinationInput(cmd *cobra.Command, f destinationFlags) (map[string]any, error) {
	in := map[string]any{}
	given := cmd.Flags().Changed
	if given("event-types") {
		in["event_types"] = f.eventTypes
	}
	if given("fields") {
		in["fields"] = f.fields
	}
	if given("condition") {
		in["condition"] = f.condition
	}
	if given("holdback") {
		in["holdback"] = f.holdback
	}
	from, err := f.secrets()
	if err != nil {
		return nil, err
	}
	options, err := s.destinationOptions(f)
	if err != nil {
		return nil, err
	}
	if len(options) > 0 {
		in["options"] = options
	}
	secrets := map[string]any{}
	for name, src := range from {
		if secrets[name], err = s.read(src); err != nil {
			return nil, err
		}
	}
	if len(secrets) > 0 {
		in["secrets"] = secrets
	}
	return in, nil
}

// secrets is where each secret comes from. Standard input can be read only once.
func (f *destinationFlags) secrets() (map[string]source, error) {
	from := map[string]source{}
	place := func(flag, what, text string) (name, place string, err error) {
		name, place, found := strings.Cut(text, "=")
		if !found || name == "" || place == "" {
			return "", "", usagef("%s takes name=%s, such as %s access_token=%s: what is given has not that form", flag, what, flag, what)
		}
		if _, twice := from[name]; twice {
			return "", "", usagef("the secret %.60s is given twice: give it once", name)
		}
		return name, place, nil
	}
	inputs := 0
	if f.optionsFile == "-" {
		inputs++
	}
	for _, text := range f.secretFiles {
		name, file, err := place("--secret-file", "FILE", text)
		if err != nil {
			return nil, err
		}
		if file == "-" {
			inputs++
		}
		from[name] = source{flag: "secret", file: file}
	}
	for _, text := range f.secretsByName {
		name, env, err := place("--secret-env", "VARIABLE", text)
		if err != nil {
			return nil, err
		}
		from[name] = source{flag: "secret", env: env}
	}
	if inputs > 1 {
		return nil, usagef("standard input can be one thing only: either --options-file or one --secret-file")
	}
	return from, nil
}

// destinationOptions joins the file of options, --option and --url; the later wins.
func (s *session) destinationOptions(f destinationFlags) (map[string]any, error) {
	options := map[string]any{}
	if f.optionsFile != "" {
		text, err := s.read(source{flag: "options", file: f.optionsFile})
		if err != nil {
			return nil, err
		}
		var isObject bool
		if options, isObject = value(text).(map[string]any); !isObject {
			return nil, usagef("--options-file: %s must hold a JSON object such as {\"url\": \"https://app.example.com/hook\"}", named(f.optionsFile))
		}
	}
	set, err := parseSet("--option", f.options)
	if err != nil {
		return nil, err
	}
	merge(options, set)
	if f.url != "" {
		options["url"] = f.url
	}
	return options, nil
}

// merge puts what is set into an object, at any depth.
func merge(into, set map[string]any) {
	for name, value := range set {
		inner, isObject := value.(map[string]any)
		old, wasObject := into[name].(map[string]any)
		if isObject && wasObject {
			merge(old, inner)
			continue
		}
		into[name] = value
	}
}

func (s *session) newDestinationsAdd() *cobra.Command {
	var f destinationFlags
	var typeName, from, user string
	cmd := &cobra.Command{
		Use:   "create PROJECT NAME --type TYPE",
		Short: "Make a destination: webhook, hubspot or http",
		Long: `Makes a destination and begins to deliver: changes from now on, those of the past as
well (--since beginning), or those since a time. What is wrong with the settings is
reported at once, before anything is sent.

Secrets come from files, standard input (-) or environment variables, never from a
flag, where every user of the machine could see them. The signing secret of a webhook
is made if you give none, and shown this once.

With --preview ID it makes nothing, and shows what it would be sent of the newest
change of that user. The options of each type are in docs/destinations.`,
		Example: "  authsync destinations create shop app --type webhook --url https://app.example.com/hooks/users\n" +
			"  authsync destinations create shop app --type webhook --url https://app.example.com/hooks/users \\\n" +
			"    --event-types user.created,user.updated --fields email,raw.app_metadata.plan --condition '.user.email != null'\n" +
			"  authsync destinations create shop crm --type hubspot --secret-env access_token=HUBSPOT_TOKEN \\\n" +
			"    --option properties.plan=.user.raw.app_metadata.plan --since beginning\n" +
			"  authsync destinations create shop app --type webhook --url https://app.example.com/hooks/users \\\n" +
			"    --option payload='{id: .user.id}' --preview 'auth0|demo-ada'\n" +
			"  authsync destinations create shop billing --type http --event-types user.deleted \\\n" +
			"    --options-file billing.json --secret-file token=billing.token",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if typeName == "" {
				return usagef("--type is missing: give webhook, hubspot or http")
			}
			in, err := s.destinationInput(cmd, f)
			if err != nil {
				return err
			}
			in["type"] = typeName
			if user != "" {
				return s.previewDraft(cmd.Context(), args[0], in, user)
			}
			in["name"] = args[1]
			if from != "" {
				if in["since"], err = beginning(from, s.Now()); err != nil {
					return err
				}
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			d, err := c.AddDestination(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(d)
			}
			if err := s.printf("Created. See its deliveries: authsync deliveries list %s --destination %s\n", args[0], d.Name); err != nil {
				return err
			}
			return s.printSecret(d.Secret)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&typeName, "type", "", "webhook, hubspot or http")
	cmd.Flags().StringVar(&user, "preview", "", "the id of a user: show what its newest change would send, and make nothing")
	cmd.Flags().StringVar(&from, "since", "", "first changes to deliver: now (default), beginning, a time (RFC 3339), or how long ago, such as 72h")
	return cmd
}

// previewDraft shows what a destination would be sent of a user's newest change.
func (s *session) previewDraft(ctx context.Context, project string, in map[string]any, user string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	in["user_id"] = user
	p, err := c.PreviewDraft(ctx, project, in)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(p)
	}
	return s.printPreview(p)
}

// beginning reads a --since; the server reads the two words.
func beginning(text string, now time.Time) (string, error) {
	if text == "now" || text == "beginning" {
		return text, nil
	}
	at, err := moment(text, now)
	if err != nil {
		return "", usagef("--since is %q: give now, beginning, a time such as 2026-01-31T12:00:00Z, or how long ago, such as 72h", text)
	}
	return at.UTC().Format(time.RFC3339Nano), nil
}

func (s *session) newDestinationsSet() *cobra.Command {
	var f destinationFlags
	var name string
	var gone []string
	cmd := &cobra.Command{
		Use:   "update PROJECT NAME",
		Short: "Change a destination's settings, secrets or name",
		Long: `Changes what is given; the rest stays. --option name=value replaces the option of that
name as a whole, name=null removes it, and name.member=value changes one member and
leaves the others. --condition '' and --fields '' remove a condition and the list of
fields. Other event types, fields and conditions count for changes from then on. Another
--holdback counts for the deletions that are held, too: with '' they are sent.

A destination that authsync paused or disabled is active again once its options or
secrets were changed. A secret that is replaced here is not valid any longer; use
rotate for the signing secret of a webhook.`,
		Example: "  authsync destinations update shop crm --secret-file access_token=-\n" +
			"  authsync destinations update shop crm --option properties.plan=.user.raw.app_metadata.plan\n" +
			"  authsync destinations update shop app --fields email --condition ''",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := s.destinationInput(cmd, f)
			if err != nil {
				return err
			}
			if name != "" {
				in["name"] = name
			}
			if len(gone) > 0 {
				secrets, ok := in["secrets"].(map[string]any)
				if !ok {
					secrets = map[string]any{}
				}
				for _, one := range gone {
					secrets[one] = nil
				}
				in["secrets"] = secrets
			}
			if len(in) == 0 {
				return usagef("say what to change: see %s --help", cmd.CommandPath())
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if err := keepMembers(cmd.Context(), c, args[0], args[1], f.options, in); err != nil {
				return err
			}
			d, err := c.ChangeDestination(cmd.Context(), args[0], args[1], in)
			if err != nil {
				return err
			}
			return s.reportDestination(d)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&name, "name", "", "another name")
	cmd.Flags().StringArrayVar(&gone, "remove-secret", nil, "name of a secret to remove; may be repeated")
	return cmd
}

// keepMembers adds to those options that are given by their members (name.member=value)
// the members that are set already: the API takes each option as a whole.
func keepMembers(ctx context.Context, c *client.Client, project, name string, flags []string, in map[string]any) error {
	given, _ := in["options"].(map[string]any)
	var partly []string
	for _, flag := range flags {
		path, _, _ := strings.Cut(flag, "=")
		if option, _, nested := strings.Cut(path, "."); nested && !slices.Contains(partly, option) {
			partly = append(partly, option)
		}
	}
	if len(partly) == 0 {
		return nil
	}
	d, err := c.Destination(ctx, project, name)
	if err != nil {
		return err
	}
	stored, _ := value(string(d.Options)).(map[string]any)
	for _, option := range partly {
		members, isObject := stored[option].(map[string]any)
		if !isObject {
			continue
		}
		if from, isObject := given[option].(map[string]any); isObject {
			merge(members, from)
			given[option] = members
		}
	}
	return nil
}
