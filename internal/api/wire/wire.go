// Package wire has the JSON documents of the management API, each of them once: package api
// makes them of what the domain knows, package client reads them. docs/openapi.yaml describes
// them. Ids are strings, and times are in UTC.
package wire

// Page is a part of a list, and where the next part begins; nil: there is none.
type Page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}
