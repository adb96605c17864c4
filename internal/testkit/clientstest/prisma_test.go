package clientstest_test

import (
	"path/filepath"
	"testing"
)

// Prisma's own validator, without its engines, accepts the models beside those of an application.
func TestPrismaAcceptsTheModels(t *testing.T) {
	t.Parallel()
	dir := workspace(t, "schema.prisma", "validate.js")
	generated(t, "prisma", filepath.Join(dir, "capydb_auth.prisma"))
	output(t, dir, nil, "node", "validate.js", "schema.prisma", "capydb_auth.prisma")
}
