package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/audit"
)

func (s *session) newKeysRotateEncryption() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-encryption",
		Short: "Re-encrypt all secrets with the first encryption key",
		Long: `Re-encrypts all credentials and database URLs with the first key of
AUTHSYNC_ENCRYPTION_KEY. To replace a key without losing anything:

  1. list the new key before the old one, separated by a comma, and restart all
     processes
  2. run authsync keys rotate-encryption
  3. remove the old key and restart all processes

It can be repeated at any time, also while servers are running.`,
		Example: "  AUTHSYNC_ENCRYPTION_KEY=\"$NEW_KEY,$OLD_KEY\" authsync keys rotate-encryption",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			control, err := s.control(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { err = closeControl(cmd.Context(), control, err) }()
			var n int
			err = control.Audit.Do(cmd.Context(), origin("keys rotate-encryption"), audit.Action{Name: "encryption.rotate"}, func(r *audit.Result) (err error) {
				n, err = control.Store.Reseal(cmd.Context())
				r.Changes = map[string]any{"resealed": n}
				return err
			})
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(map[string]int{"resealed": n})
			}
			return s.printf("Sealed anew: %d. All else was sealed with this key already.\n", n)
		},
	}
}
