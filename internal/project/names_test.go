package project

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

func TestFormsNameEachFieldOfTheirStruct(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		forms map[string]string
		of    reflect.Type
	}{
		{credentialForms(), reflect.TypeFor[provider.Credentials]()},
		{optionForms(), reflect.TypeFor[provider.Options]()},
	} {
		require.Len(t, tc.forms, tc.of.NumField(), "%s", tc.of)
		for field := range tc.of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.NotEmpty(t, tc.forms[name], "%s.%s", tc.of, field.Name)
		}
	}
}

func TestProjectDatabaseIsNamedAfterBoth(t *testing.T) {
	t.Parallel()
	require.Equal(t, "authsync_demo", databaseName("authsync", "demo"))

	long := databaseName(strings.Repeat("ä", 31), strings.Repeat("a", 60))
	require.LessOrEqual(t, len(long), 63)
	require.True(t, strings.HasPrefix(long, "ääää"))
	require.NotContains(t, long, "\uFFFD")
	require.NotEqual(t, long, databaseName(strings.Repeat("ä", 31), strings.Repeat("a", 61)), "what differs only at the end stays different")
}
