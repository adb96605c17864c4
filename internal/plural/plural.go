// Package plural writes numbers of things, for people.
package plural

import (
	"strconv"
	"strings"
)

// Of is a number of things in words, such as 1 delivery, 3 deliveries or 0 matches. one is the word for one of them, which
// may have others before it, such as failed event.
func Of[N int | int32 | int64](n N, one string) string {
	return strconv.FormatInt(int64(n), 10) + " " + Noun(n, one)
}

// Noun is the word for a number of things.
func Noun[N int | int32 | int64](n N, one string) string {
	if n == 1 {
		return one
	}
	stem, isY := strings.CutSuffix(one, "y")
	switch {
	case isY && !strings.ContainsAny(stem[max(len(stem)-1, 0):], "aeiou"):
		return stem + "ies"
	case strings.HasSuffix(one, "s"), strings.HasSuffix(one, "ch"), strings.HasSuffix(one, "sh"), strings.HasSuffix(one, "x"):
		return one + "es"
	default:
		return one + "s"
	}
}

// Word is the one of two words that fits a number, such as waits or wait.
func Word[N int | int32 | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
