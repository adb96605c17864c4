package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTable(t *testing.T) {
	t.Parallel()

	written := func(t *testing.T, tbl table) string {
		t.Helper()
		var b strings.Builder
		require.NoError(t, (&session{}).printTo(&b, tbl, 0))
		return b.String()
	}

	t.Run("ColumnsLineUpWhateverTheScript", func(t *testing.T) {
		t.Parallel()
		tbl := table{head: []string{"ID", "NAME", "X"}}
		tbl.add("1", "李小龍", "a")
		tbl.add("22", "Zoë", "b")
		tbl.add("333", "Zoe\u0308", "c") // a combining mark takes no column
		require.Equal(t, ""+
			"ID   NAME    X\n"+
			"1    李小龍  a\n"+
			"22   Zoë     b\n"+
			"333  Zoe\u0308     c\n", written(t, tbl))
	})

	t.Run("WideValuesAreCutExceptInTheLastColumn", func(t *testing.T) {
		t.Parallel()
		tbl := table{head: []string{"A", "B"}}
		long := strings.Repeat("x", 80)
		tbl.add(long, long)
		require.Equal(t, "A"+strings.Repeat(" ", 61)+"B\n"+strings.Repeat("x", 59)+"…  "+long+"\n", written(t, tbl))
	})

	t.Run("ValuesCannotForgeRowsOrSteerTheTerminal", func(t *testing.T) {
		t.Parallel()
		tbl := table{head: []string{"A", "B"}}
		tbl.add("a\nb\tc", "\x1b[2J\r\u202e")
		require.Equal(t, "A      B\na b c  \uFFFD[2J\uFFFD\uFFFD\n", written(t, tbl))
	})

	t.Run("WithoutRowsItSaysSo", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "No projects.\n", written(t, table{head: []string{"A"}, none: "No projects."}))
	})
}
