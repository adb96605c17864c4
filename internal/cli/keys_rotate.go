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
AUTHSYNC_ENCRYPTION_KEY. To replace a key while servers run:

  1. list the new key behind the old one, separated by a comma (OLD,NEW), and restart
     the processes one after the other: now each can read what the new key encrypts
  2. put the new key first (NEW,OLD), and restart them again
  3. run authsync keys rotate-encryption with NEW,OLD
  4. remove the old key, and restart them again

With a single process, 1 and 2 can be one step. It can be repeated at any time.`,
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
