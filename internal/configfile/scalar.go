package configfile

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// simple is text that nobody reads as anything else without quotation marks, by YAML 1.1 either.
var simple = regexp.MustCompile(`^([A-Za-z_/]|\.[A-Za-z_])[\w./@*-]*(:[\w./@*-]+)*( [\w./@*-]+)*$|^[0-9]+[smhdw]$`)

// scalarOf is text as a node: plain where that is safe, as a block where it has lines, otherwise quoted.
func scalarOf(text string, isKey bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case simple.MatchString(text) && !reserved(text):
	case !isKey && isBlock(text):
		n.Style = yaml.LiteralStyle
	case strings.IndexFunc(text, func(r rune) bool { return !visible(r) }) < 0:
		n.Style = yaml.SingleQuotedStyle
	default:
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// reserved reports the words that are no text in YAML 1.1 or 1.2.
func reserved(text string) bool {
	switch strings.ToLower(text) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan":
		return true
	default:
		return false
	}
}

// isBlock reports whether a text of several lines can stand as a block with nothing in it that an editor would change.
func isBlock(text string) bool {
	if !strings.Contains(text, "\n") || strings.TrimSpace(text) == "" {
		return false
	}
	first := true
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if first && (line == "" || unicode.IsSpace(rune(line[0]))) || strings.TrimRightFunc(line, unicode.IsSpace) != line ||
			strings.IndexFunc(line, func(r rune) bool { return !visible(r) }) >= 0 {
			return false
		}
		first = false
	}
	return true
}

// visible reports what looks the same in every editor.
func visible(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// numberOf is a number as a node, as it is written.
func numberOf(n json.Number) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Value: string(n)}
}

func boolOf(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(b)}
}
