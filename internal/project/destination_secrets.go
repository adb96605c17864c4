package project

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/seal"
)

// mergeSecrets puts the given secrets in place of the stored ones of their name.
// The old one is no longer valid, unlike after RotateSecret. Errors never
// repeat what was given for one.
func mergeSecrets(typ destination.Type, secrets *destination.Secrets, given map[string]*string) error {
	known, wellNamed := typ.SecretNames(), regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if !wellNamed.MatchString(name) {
			return invalid("secrets has a name %.60q: it takes 1 to 63 of a-z, 0-9 and _, and begins with a letter", name)
		}
		if known != nil && !slices.Contains(known, name) {
			return fault.At("secrets."+name, "a destination of type %s has no secret %q: it takes %s", typ.Name(), name, namesOf(known))
		}
		delete(secrets.Old, name)
		if value == nil {
			delete(secrets.Values, name)
			continue
		}
		clean, err := cleanSecret("secrets."+name, *value)
		switch {
		case err != nil:
			return err
		case clean == "":
			return invalid("secrets.%s is empty: give its value, or null to remove it", name)
		case len(clean) > maxSecret:
			return invalid("secrets.%s has %d bytes: it takes at most %d", name, len(clean), maxSecret)
		}
		secrets.Values[name] = clean
	}
	if len(secrets.Values) > maxSecrets {
		return invalid("secrets are %d: there may be at most %d", len(secrets.Values), maxSecrets)
	}
	return nil
}

func namesOf(known []string) string {
	if len(known) == 0 {
		return "none"
	}
	return strings.Join(known, ", ")
}

// makeSecret makes the secret that a person need not give, where it is missing.
func makeSecret(typ destination.Type, secrets *destination.Secrets) *MadeSecret {
	name, value, ok := typ.NewSecret()
	if _, given := secrets.Values[name]; given || !ok {
		return nil
	}
	secrets.Values[name] = value
	return &MadeSecret{Name: name, Value: value}
}

// rotationOverlap is for how long a secret that was rotated is valid beside its successor.
const rotationOverlap = 24 * time.Hour

// RotateSecret replaces the secret that a destination's type makes: by the given
// value, else by a new one. The old one stays valid for a day beside it; one that
// was rotated away before is valid no more. The new one is returned, this once.
//
// Errors: ErrNoDestination, fault.Invalid, and those of seal.Keyring.Open.
func (s *Store) RotateSecret(
	ctx context.Context, projectID uuid.UUID, idOrName string, value *string,
) (Destination, MadeSecret, error) {
	var made MadeSecret
	d, err := s.changeDestination(ctx, projectID, idOrName, func(row *destinationRow, secrets *destination.Secrets) error {
		if s.destinationTypes == nil {
			return errNoTypes
		}
		typ, err := s.destinationTypes.Lookup(row.Type)
		if err != nil {
			return err
		}
		name, fresh, ok := typ.NewSecret()
		if !ok {
			return invalid("a destination of type %s has no secret that could be rotated: set the new one with PATCH and secrets", row.Type)
		}
		old, was := secrets.Values[name]
		if value != nil {
			if fresh, err = cleanSecret("secret", *value); err != nil {
				return err
			}
		}
		if fresh == old {
			return fault.At("value", "this is the secret that is in use already: give another one, or none to have one made")
		}
		if err := mergeSecrets(typ, secrets, map[string]*string{name: &fresh}); err != nil {
			return err
		}
		if was {
			if secrets.Old == nil {
				secrets.Old = map[string]destination.OldSecret{}
			}
			secrets.Old[name] = destination.OldSecret{Value: old, Until: s.now().Add(rotationOverlap)}
		}
		s.dropExpired(secrets)
		made = MadeSecret{Name: name, Value: fresh}
		return s.destinationTypes.Check(typ, row.config(*secrets), row.EventTypes, row.Fields, row.Condition)
	})
	if err != nil {
		return Destination{}, MadeSecret{}, err
	}
	return d, made, nil
}

// dropExpired forgets old secrets that are no longer valid.
func (s *Store) dropExpired(secrets *destination.Secrets) {
	now := s.now()
	maps.DeleteFunc(secrets.Old, func(_ string, old destination.OldSecret) bool { return !now.Before(old.Until) })
}

func (s *Store) sealSecrets(row destinationRow, secrets destination.Secrets) ([]byte, error) {
	plain, err := json.Marshal(secrets)
	if err != nil {
		return nil, fmt.Errorf("write secrets: %w", err)
	}
	return sealSecrets(s.keyring, row.ProjectID, row.ID, plain)
}

func sealSecrets(k *seal.Keyring, projectID, id uuid.UUID, plain []byte) ([]byte, error) {
	return k.Seal(plain, forSecrets, projectID.String(), id.String())
}

func openPlain(k *seal.Keyring, projectID, id uuid.UUID, sealed []byte) ([]byte, error) {
	plain, err := k.Open(sealed, forSecrets, projectID.String(), id.String())
	if err != nil {
		return nil, fmt.Errorf("open the secrets of destination %s: %w", id, err)
	}
	return plain, nil
}

func openSecrets(k *seal.Keyring, projectID, id uuid.UUID, sealed []byte) (destination.Secrets, error) {
	plain, err := openPlain(k, projectID, id, sealed)
	if err != nil {
		return destination.Secrets{}, err
	}
	var secrets destination.Secrets
	if json.Unmarshal(plain, &secrets) != nil {
		return destination.Secrets{}, errors.New("the stored secrets are not a JSON object of their form") // the cause could quote them
	}
	if secrets.Values == nil {
		secrets.Values = map[string]string{}
	}
	return secrets, nil
}
