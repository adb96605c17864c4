// Package nearest finds the word that somebody meant who misspelled it.
package nearest

import "strings"

// Word returns the known word that takes the fewest changes, if those are few; otherwise "".
func Word(word string, known []string) string {
	best, least := "", max(len(word)/3, 2)+1
	for _, one := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(one)); d < least {
			best, least = one, d
		}
	}
	return best
}

// distance counts the letters to be changed, added or taken away to make one word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost = 1 + min(previous, row[j], row[j+1])
			}
			previous, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
