// Reads a mirror with the code that sqlc made.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/jackc/pgx/v5"

	"example.com/shop/orders"
)

func main() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	check(err)
	queries := orders.New(conn)
	listed, err := queries.ListOrders(ctx, "user_1")
	check(err)
	user, err := queries.FindUser(ctx, "user_1")
	check(err)
	addresses, err := queries.ListAddresses(ctx, "user_1")
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"order": listed[0], "session": []any{user.CapydbAuthUser.Email, user.CapydbAuthSession.ID}, "addresses": len(addresses),
	}))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
