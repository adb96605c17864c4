package custom

import (
	"cmp"
	"strings"
)

// needed are the paths that option exclude cannot have, as far as the definition shows: those of expressions that only look
// up keys. Of any other expression only running it tells what it reads; an event that lacks its id or type then fails visibly,
// and a preview shows it.
func (c *Compiled) needed() []string {
	var paths []string
	add := func(at, expression string) {
		if expression = strings.TrimSpace(expression); path.MatchString(expression) {
			paths = append(paths, strings.TrimPrefix(at+expression, "."))
		}
	}
	for _, expression := range []string{cmp.Or(strings.TrimSpace(c.Event.Type), ".type"), c.Event.ID, c.Event.Time, c.Event.Test} {
		add("", expression)
	}
	for _, expressions := range c.Records {
		at := strings.TrimSpace(expressions[objectKey])
		switch {
		case at == "" || at == ".":
			at = ""
		case !path.MatchString(at): // whatever it is in, the keys in it are known
			at = ".object"
		}
		add("", at)
		for _, name := range []string{"id", "organization_id", "user_id", "updated_at", "deleted_at"} {
			add(at, expressions[name])
		}
	}
	return paths
}
