package generate

import "strings"

// prefix is put before the names of models: most applications have a User of their own.
const prefix = "auth"

// pascal returns the name of one row's type: active_users gives AuthActiveUser.
func pascal(relation string) string { return upper(prefix) + words(singular(relation)) }

// bare is pascal in a package of its own, where the prefix would be said twice: ActiveUser.
func bare(relation string) string { return words(singular(relation)) }

// one returns the name of one row: active_users gives authActiveUser.
func one(relation string) string { return prefix + words(singular(relation)) }

// goName returns a column's name as Go spells it: image_url gives ImageURL.
func goName(column string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(column, "_") {
		if word == "id" || word == "url" {
			name.WriteString(strings.ToUpper(word))
		} else {
			name.WriteString(upper(word))
		}
	}
	return name.String()
}

// many returns the name of a whole table or view: active_users gives authActiveUsers.
func many(relation string) string { return prefix + words(relation) }

// camel returns a column's name in the languages that spell it so: created_at gives createdAt.
func camel(column string) string { return lower(words(column)) }

func words(snake string) string {
	var name strings.Builder
	for word := range strings.SplitSeq(snake, "_") {
		name.WriteString(upper(word))
	}
	return name.String()
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func singular(relation string) string {
	if stem, ok := strings.CutSuffix(relation, "ies"); ok {
		return stem + "y"
	}
	return strings.TrimSuffix(relation, "s")
}

// comment makes a comment's text fit for one line of code: nothing in it ends a comment.
func comment(text string) string { return strings.ReplaceAll(text, "*/", "* /") }

// wrap breaks a text into lines that begin with the prefix.
func wrap(start, text string) string {
	const width = 110
	var out strings.Builder
	line := start
	for word := range strings.FieldsSeq(comment(text)) {
		if len(line)+len(word) >= width && line != start {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line = start
		}
		line += word + " "
	}
	out.WriteString(strings.TrimRight(line, " "))
	return out.String()
}
