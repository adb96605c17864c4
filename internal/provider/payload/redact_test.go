package payload_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/payload"
)

const gone = `"[removed by authsync]"`

func TestSecretsAreRemovedAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ doc, want string }{
		"Session": {
			`{"event":"session.created","user":{"id":"s1","token":"abc","userId":"u1"}}`,
			`{"event":"session.created","user":{"id":"s1","token":` + gone + `,"userId":"u1"}}`,
		},
		"Account": {
			`{ "accessToken" : "a" , "refreshToken":"b","idToken":"c.d.e", "password":"$2b$", "accessTokenExpiresAt":"2026-01-01" }`,
			`{ "accessToken" : ` + gone + ` , "refreshToken":` + gone + `,"idToken":` + gone + `, "password":` + gone + `, "accessTokenExpiresAt":"2026-01-01" }`,
		},
		"Identities": {
			`{"identities":[{"provider":"google-oauth2","access_token":"ya29","access_token_secret":"x","refresh_token":"1//","user_id":7}]}`,
			`{"identities":[{"provider":"google-oauth2","access_token":` + gone + `,"access_token_secret":` + gone + `,"refresh_token":` + gone + `,"user_id":7}]}`,
		},
		"WholeObject":                {`{"secrets":{"API_KEY":"x","nested":[1,{"a":"}"}]},"b":1}`, `{"secrets":` + gone + `,"b":1}`},
		"List":                       {`{"backup_codes":["a","b"],"x":"y"}`, `{"backup_codes":` + gone + `,"x":"y"}`},
		"EscapedKey":                 {`{"tok\u0065n":"abc"}`, `{"tok\u0065n":` + gone + `}`},
		"EscapedValue":               {`{"token":"a\"b\\","c":"token"}`, `{"token":` + gone + `,"c":"token"}`},
		"Spelling":                   {`{"Session-Token":"a","SESSION_TOKEN":"b"}`, `{"Session-Token":` + gone + `,"SESSION_TOKEN":` + gone + `}`},
		"NumberAsPassword":           {`{"password":123456,"otp_code":42}`, `{"password":` + gone + `,"otp_code":` + gone + `}`},
		"Twice":                      {`{"token":"a","token":"b"}`, `{"token":` + gone + `,"token":` + gone + `}`},
		"Lines":                      {"{\"token\":\"a\"}\n{\"token\":\"b\"}\n", "{\"token\":" + gone + "}\n{\"token\":" + gone + "}\n"},
		"ByteOrderMark":              {"\ufeff{\"token\":\"a\"}", "\ufeff{\"token\":" + gone + "}"},
		"Device":                     {`{"device_code":"x","deviceCode":"y","clientId":"c"}`, `{"device_code":` + gone + `,"deviceCode":` + gone + `,"clientId":"c"}`},
		"JWT":                        {`{"jwt":"a.b.c","session_jwt":"d","sessionJwt":"e"}`, `{"jwt":` + gone + `,"session_jwt":` + gone + `,"sessionJwt":` + gone + `}`},
		"Headers":                    {`{"Authorization":"Bearer x","Cookie":["a=b"],"set-cookie":"c","host":"h"}`, `{"Authorization":` + gone + `,"Cookie":` + gone + `,"set-cookie":` + gone + `,"host":"h"}`},
		"InAnObject":                 {`{"authorization":{"roles":["a"],"token":"x"}}`, `{"authorization":{"roles":["a"],"token":` + gone + `}}`},
		"Verifier":                   {`{"code_verifier":"x","codeVerifier":"y","verifier":"Ada"}`, `{"code_verifier":` + gone + `,"codeVerifier":` + gone + `,"verifier":"Ada"}`},
		"TicketInALink":              {`{"url":"https://x.dev/?__clerk_ticket=e.y","b":["/a?r=%2F%3F__clerk_ticket%3Dx","c"]}`, `{"url":` + gone + `,"b":[` + gone + `,"c"]}`},
		"TicketOfATruncatedDocument": {`{"url":"https://x.dev/?__clerk_ticket=e`, `{"url":` + gone},
		"CutOffInValue":              {`{"user":{"token":"abc`, `{"user":{"token":` + gone},
		"CutOffInObject":             {`{"secrets":{"a":"b`, `{"secrets":` + gone},
		"LongKey": {
			`{"an_extraordinarily_long_name_of_a_field_in_a_table_of_users_reset_token":"a"}`,
			`{"an_extraordinarily_long_name_of_a_field_in_a_table_of_users_reset_token":` + gone + `}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := string(payload.Redact([]byte(tc.doc)))
			require.Equal(t, tc.want, got)
			require.Equal(t, got, string(payload.Redact([]byte(got))), "a second time changes nothing")
		})
	}
}

func TestWhatIsNoSecretStaysByteByByte(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"Nothing":          `{"token":null,"password":"","secret":false,"password_enabled":true,"secrets":{},"backup_codes":[]}`,
		"Balances":         `{"tokens":120,"token":3}`,
		"OtherNames":       `{"tokenBalance":"5","last_password_reset":"2026-01-01","passwordless":"yes","secretary":"Ada"}`,
		"NotHeaders":       `{"authorization":true,"cookie":{"analytics":"no"},"cookies":"accepted","authorizations":["a"],"device":"d","codes":["x"],"user_code":"E-7"}`,
		"TicketAsAName":    `{"__clerk_ticket":1,"public_metadata":{"url":"https://x.dev/?__clerk_ticket=e"}}`,
		"ValuesNotKeys":    `{"a":"token","b":["password","secret"]}`,
		"OwnMetadata":      `{"user_metadata":{"token":"mine"},"app_metadata":{"secret":[1]},"public_metadata":{"a":{"password":"x"}}}`,
		"ClerkMetadata":    `{"unsafe_metadata":{"token":"x"},"private_metadata":{"api_key":"x"}}`,
		"StrangeSpacing":   "{\n\t\"a\" :\r\n 1e5 , \"b\": [ ] }",
		"NoJSON":           `token=abc&password=x`,
		"OnlyAQuote":       `"`,
		"KeyWithoutValue":  `{"token":`,
		"KeyWithoutColon":  `{"token"`,
		"BackslashAtEnd":   `{"a\`,
		"InvalidEscape":    `{"tok\u00":"x"}`,
		"ClosedTooOften":   `]]}}{"a":1}`,
		"InvalidUTF8":      "{\"a\":\"\xff\xfe\"}",
		"AlreadyRemoved":   `{"token":"[removed by authsync]"}`,
		"EmptyDocument":    ``,
		"MetadataUnclosed": `{"metadata":{"token":"x"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, doc, string(payload.Redact([]byte(doc))))
		})
	}
}

func TestMoreNamesCanBeGiven(t *testing.T) {
	t.Parallel()
	doc := `{"type":"verification.created","data":{"identifier":"reset-password:abc","value":"123"}}`
	require.JSONEq(t, `{"type":"verification.created","data":{"identifier":`+gone+`,"value":`+gone+`}}`,
		string(payload.Redact([]byte(doc), "value", "identifier")))
}

// FuzzRedact: any bytes are read to their end, valid JSON stays valid, and what was
// removed once is not found again.
func FuzzRedact(f *testing.F) {
	for _, doc := range []string{
		`{"token":"a","b":[{"password":1}]}`, `{"secrets":{"a":"b`, "{\"token\":\"a\"}\n{\"token\"", `{"metadata":{"token":"x"},"token":"y"}`, `"\`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		got := payload.Redact(doc)
		require.Equal(t, before, doc, "the document itself is not written to")
		require.Equal(t, string(got), string(payload.Redact(got)))
		if json.Valid(doc) {
			require.True(t, json.Valid(got), "%s became %s", doc, got)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	doc := []byte(`{"type":"user.updated","data":{"object":{"user_id":"auth0|1","email":"a@example.com","identities":[{"connection":"db","user_id":"1"}],` +
		`"name":"Ada Lovelace","app_metadata":{"plan":"pro","roles":["a","b"]},"created_at":"2026-01-01T00:00:00Z"}}}`)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		payload.Redact(doc)
	}
}
