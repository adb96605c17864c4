// Package buildinfo identifies the binary: its version, and the commit it was built from.
package buildinfo

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Released binaries have these set by the linker, so that a build without the repository,
// as that of an image is, knows them too. The build takes them from scripts/version.sh.
var version, commit, date string //nolint:gochecknoglobals // the linker sets nothing else

// Info identifies a binary. What is not known is empty.
type Info struct {
	Version string `json:"version"` // semantic, without "v"; "(devel)" if nobody gave one
	Commit  string `json:"commit"`
	Date    string `json:"date"` // of the commit, RFC 3339 in UTC
	Go      string `json:"go"`
}

// Read returns what the linker set and, for the rest, what the Go tool noted in the binary.
func Read() Info {
	info := Info{Version: version, Commit: commit, Date: date, Go: runtime.Version()}
	if noted, ok := debug.ReadBuildInfo(); ok {
		info = complete(info, noted)
	}
	if info.Version == "" {
		info.Version = "(devel)"
	}
	return info
}

// complete takes what is missing from the notes of the Go tool.
func complete(info Info, noted *debug.BuildInfo) Info {
	fill := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	fill(&info.Version, strings.TrimPrefix(noted.Main.Version, "v"))
	for _, s := range noted.Settings {
		switch s.Key {
		case "vcs.revision":
			fill(&info.Commit, s.Value)
		case "vcs.time":
			fill(&info.Date, s.Value)
		}
	}
	return info
}

// String formats it for people, in one line.
func (i Info) String() string {
	text := "authsync " + i.Version
	if i.Commit != "" {
		text += " (" + i.Commit
		if i.Date != "" {
			text += " of " + i.Date
		}
		text += ")"
	}
	return text + ", " + i.Go
}
