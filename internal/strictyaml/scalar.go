package strictyaml

import (
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The core schema of YAML 1.2. The library keeps parts of YAML 1.1, by which 2026-01-31 is no text, 010 is eight and
// 1_000 a thousand.
var (
	integer    = regexp.MustCompile(`^[-+]?[0-9]+$`)
	other      = regexp.MustCompile(`^0(o[0-7]+|x[0-9a-fA-F]+)$`)
	float      = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	notANumber = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// maxDigits bounds numbers; none of an option is near.
const maxDigits = 400

// plain is the value of a scalar as JSON has it: text, bool, json.Number or nil.
func plain(n *yaml.Node) (any, error) {
	text := n.Value
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return text, nil
	}
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil, nil //nolint:nilnil // this is null
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	switch {
	case notANumber.MatchString(text):
		return nil, errors.New("JSON, which the API speaks, has no such number: put text in quotation marks")
	case !integer.MatchString(text) && !other.MatchString(text) && !float.MatchString(text):
		return text, nil
	case len(text) > maxDigits:
		return nil, errors.New("this number is too long: put text in quotation marks")
	case json.Valid([]byte(text)): // as it is written
		return json.Number(text), nil
	case integer.MatchString(text):
		return whole(strings.TrimPrefix(text, "+"), 10), nil
	case other.MatchString(text) && text[1] == 'x':
		return whole(text[2:], 16), nil
	case other.MatchString(text):
		return whole(text[2:], 8), nil
	}
	// What is left is a decimal fraction such as .5, 1. or +2.5.
	sign, digits := "", strings.TrimPrefix(text, "+")
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	mantissa, exponent := digits, ""
	if at := strings.IndexAny(digits, "eE"); at >= 0 {
		mantissa, exponent = digits[:at], digits[at:]
	}
	before, after, _ := strings.Cut(mantissa, ".")
	number := sign + whole("0"+before, 10).String()
	if after != "" {
		number += "." + after
	}
	return json.Number(number + exponent), nil
}

func whole(digits string, base int) json.Number {
	n, _ := new(big.Int).SetString(digits, base) // the expressions above allow digits only
	return json.Number(n.String())
}
