package doctor

import (
	"fmt"

	"github.com/authsync/authsync/internal/schema"
)

// schemaFaults reports problems with the schema of a control or project database. repair is the
// command that installs it.
func schemaFaults(state schema.State, repair string) (faults []Fault) {
	if err := state.Refused(); err != nil {
		return []Fault{{What: err.Error()}}
	}
	switch state.Word() {
	case "current", "damaged":
	case "compatible":
		faults = append(faults, Fault{
			Warning: true, Next: "deploy the newer authsync everywhere",
			What: fmt.Sprintf("schema %s was upgraded by a newer authsync (version %d, this one knows %d), with which this one can work",
				state.Schema, state.Version, state.Latest),
		})
	default:
		faults = append(faults, Fault{
			What: fmt.Sprintf("schema %s is %s: version %d, this authsync needs %d", state.Schema, state.Word(), state.Version, state.Latest),
			Next: repair,
		})
	}
	faults = append(faults, named(state.InTheWay, func(o string) Fault {
		return Fault{What: o + " has a name that authsync needs, and is not authsync's", Next: "rename or drop it, or move it to another schema, then: " + repair}
	})...)
	return append(faults, named(state.Problems, func(p schema.Problem) Fault { return problemFault(state, p, repair) })...)
}

func problemFault(state schema.State, p schema.Problem, repair string) Fault {
	f := Fault{What: p.String(), Next: repair}
	switch {
	case p.Heals:
	case p.Blocks && p.Repair != "":
		f.Next = p.Repair
	case p.Blocks && state.Kind == schema.Project:
		f.Next = fmt.Sprintf("restore it from a backup; or, to have the mirror recreated: ALTER SCHEMA %[1]s RENAME TO %[1]s_damaged, then %[2]s, "+
			"after which what the inbox has is applied again by itself; destinations do not receive again what was delivered", state.Schema, repair)
	case p.Blocks:
		f.Next = "restore it from a backup"
	default:
		f.Warning = true
		f.Next = "change it back if events fail because of it"
	}
	return f
}
