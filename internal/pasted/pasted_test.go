package pasted_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pasted"
)

func TestWhatNobodySeesIsCutOff(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"LineBreaks":   "\r\nsecret\n\n",
		"Tabs":         "\tsecret\t",
		"NoBreakSpace": "\u00a0secret\u202f",
		"ByteOrder":    "\ufeffsecret",
		"ZeroWidth":    "\u200bsecret\u200d\u2060",
		"SoftHyphen":   "secret\u00ad",
		"Directions":   "\u202asecret\u202c",
		"AllOfThem":    "\ufeff \u200b\r\n secret \u2028\u00a0\x00",
		"Ideographic":  "\u3000secret",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clean, err := pasted.Clean(text)
			require.NoError(t, err)
			require.Equal(t, "secret", clean)
			require.Equal(t, "secret", pasted.Trim(text))
		})
	}
}

func TestWhatCannotBeRightIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, says string }{
		"Quotes":       {`"secret"`, `quotation mark (")`},
		"SingleQuotes": {"'secret'\n", "quotation mark (')"},
		"Typographic":  {"“secret”", "quotation mark (“)"},
		"German":       {"„secret“", "quotation mark („)"},
		"Backticks":    {"`secret`", "quotation mark (`)"},
		"LineBreak":    {"sec\nret", "a line break at character 4"},
		"ZeroWidth":    {"se\u200bcret", "a zero-width character (U+200B) at character 3"},
		"NoBreakSpace": {"secr\u00a0et", "a no-break space (U+00A0) at character 5"},
		"ByteOrder":    {"one \ufefftwo", "a byte order mark (U+FEFF) at character 5"},
		"Nul":          {"sec\x00ret", "an invisible character (U+0000) at character 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pasted.Clean(tc.text)
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "secret", "it is not repeated")
		})
	}
}

func TestSecretsStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "secret", "a long random text", `it's "quoted" within`, `"one-sided`, "pässwörd-ключ-秘密", `"`, "+/=.~"} {
		clean, err := pasted.Clean(text)
		require.NoError(t, err)
		require.Equal(t, text, clean)
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"key", `"key"`, "'key'", "\ufeff\"key\"\n", " ' key ' ", "“key”"} {
		require.Equal(t, "key", pasted.Unquote(text), text)
	}
	require.Equal(t, `"key`, pasted.Unquote(`"key`))
	require.Equal(t, `"`, pasted.Unquote(`"`))
	require.Empty(t, pasted.Unquote(`""`))
}

func TestLines(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"one", "two words"}, pasted.Lines("\ufeffone \r\n\n\u200b\n\ttwo words"))
	require.Empty(t, pasted.Lines(" \n"))
}
