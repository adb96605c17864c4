package cli

import (
	"os"

	"github.com/authsync/authsync/internal/audit"
)

// origin is who runs a command that works on the control database itself, in the audit log: the machine is all that is
// known of them.
func origin(command string) audit.Origin {
	agent := "authsync " + command
	if host, err := os.Hostname(); err == nil {
		agent += " on " + host
	}
	return audit.Origin{Actor: audit.Command, Via: audit.ViaCommand, UserAgent: agent}
}
