package mirror

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// Applied is the outcome of an event that set at least one value.
const Applied = "applied"

// Words gives an error of the project database as a person should read it: its
// message, its code and its hint, but not its detail, which tends to quote the row.
func Words(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err.Error()
	}
	s := "the project database says: " + pg.Message + " (SQLSTATE " + pg.Code
	if pg.ConstraintName != "" {
		s += ", constraint " + pg.ConstraintName
	}
	s += ")"
	if pg.Hint != "" {
		s += "; hint: " + pg.Hint
	}
	return s
}
