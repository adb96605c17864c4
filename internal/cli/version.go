package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

// thisVersion reads what the Go tool noted in the binary.
func thisVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}

// String is how people read it.
func (v version) String() string {
	text := "authsync " + v.Version
	if v.Commit != "" {
		text += " (" + v.Commit + ")"
	}
	return text + ", " + v.Go
}

func (s *session) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  authsync version --json",
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := thisVersion()
			if s.json {
				return s.printJSON(v)
			}
			return s.printf("%s\n", v)
		},
	}
}
