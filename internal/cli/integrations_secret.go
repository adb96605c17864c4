package cli

import (
	"context"
	"net/http"
	"strconv"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

const signingSecret = "webhook_signing_secret"

// integrationSet is what integrations set prints with --json. The secret is
// there only if the command made it.
type integrationSet struct {
	client.Integration

	Secret *client.MadeSecret `json:"secret,omitempty"`
}

// generateSecret puts a new signing secret into the body of the call, before
// those that are given, which stay valid. A secret that is set and not given is
// replaced only on request: what it signs would be refused from then on.
func generateSecret(ctx context.Context, c *client.Client, path, name string, g given, in map[string]any) (*client.MadeSecret, error) {
	if name == provider.Clerk && !g.provision {
		return nil, usagef("--generate-secret: Clerk makes the signing secret itself: copy it from the endpoint " +
			"(Clerk dashboard, Configure, Webhooks) and give it with --webhook-signing-secret-file; or add --provision, and authsync gives Clerk a new one")
	}
	credentials, _ := in["credentials"].(map[string]any)
	if credentials == nil {
		credentials = map[string]any{}
	}
	secret := string(provider.NewSigningSecret(name))
	switch others := credentials[signingSecret].(type) {
	case nil:
		if g.add {
			credentials[signingSecret] = map[string]any{"add": secret}
			break
		}
		if err := mayReplace(ctx, c, path, name, g); err != nil {
			return nil, err
		}
		credentials[signingSecret] = secret
	case string:
		credentials[signingSecret] = []string{secret, others}
	case []string:
		credentials[signingSecret] = append([]string{secret}, others...)
	case []any:
		credentials[signingSecret] = append([]any{secret}, others...)
	default: // the API's error names what is wrong with it
	}
	in["credentials"] = credentials
	return &client.MadeSecret{Name: signingSecret, Value: secret}, nil
}

func mayReplace(ctx context.Context, c *client.Client, path, name string, g given) error {
	var stored client.Integration
	err := c.Do(ctx, http.MethodGet, path+"?compare=false", nil, &stored)
	if client.Status(err) == http.StatusNotFound { // if the project is missing, the PUT reports it
		return nil
	}
	if err == nil && stored.Credentials[signingSecret].Set && !g.replace {
		err = usagef("--generate-secret: %s has a signing secret already. Add --add-secret, and both are valid; "+
			"or --replace-secret, and what the old one signs is refused", name)
	}
	return err
}

// checkSecrets refuses flags that contradict each other. given: there is a new signing secret beside them.
func (g given) checkSecrets(given bool) error {
	switch {
	case g.dropOld && (given || g.generate || g.add):
		return usagef("--drop-old-secrets: give no new secret with it; it keeps the newest of those that are stored")
	case g.add && given && g.generate: // a list of both would replace those that are stored
		return errNotOneSecret()
	case g.add && g.replace:
		return usagef("--replace-secret: --add-secret keeps the current secret valid: give one of them")
	default:
		return nil
	}
}

func errNotOneSecret() error {
	return usagef("--add-secret: give one new secret with it, such as --webhook-signing-secret-file FILE or --generate-secret")
}

// added makes a new secret one that is accepted beside those that are stored.
func added(given any) (any, error) {
	secret, isOne := given.(string)
	if list, isList := given.([]string); isList && len(list) == 1 {
		secret, isOne = list[0], true
	}
	if !isOne {
		return nil, errNotOneSecret()
	}
	return map[string]any{"add": secret}, nil
}

// printSecretUses shows which secrets the newest messages were signed with.
func (s *session) printSecretUses(secrets []client.VerifyingSecret) error {
	if len(secrets) < 2 {
		return nil
	}
	t := table{head: []string{"SECRET", "STATE", "NEWEST 1000 MESSAGES", "LAST USED"}}
	for i, secret := range secrets {
		state := "accepted"
		switch {
		case !secret.Accepted:
			state = "no longer accepted"
		case i == 0:
			state = "accepted, the newest"
		}
		t.add(secret.Name, state, strconv.FormatInt(secret.RecentMessages, 10), shortClockOrDash(secret.LastUsedAt))
	}
	if err := s.printf("\n"); err != nil {
		return err
	}
	return s.print(t)
}
