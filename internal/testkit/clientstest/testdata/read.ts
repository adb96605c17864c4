// Reads the mirror with each of the generated models for TypeScript.
import { eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { Kysely, PostgresDialect } from "kysely";
import { Pool } from "pg";
import * as auth from "./drizzle";
import type { AuthsyncDatabase } from "./kysely";
import * as app from "./orders";
import type { AuthUser } from "./typescript";
import { authUser } from "./zod";

async function main() {
  const pool = new Pool({ connectionString: process.env.DATABASE_URL });
  const db = drizzle(pool, { schema: { ...auth, ...app } });
  const users = await db.query.authUsers.findMany({
    where: eq(auth.authUsers.id, "user_1"),
    with: { memberships: { with: { organization: true } }, sessions: true },
  });
  const active = await db.select().from(auth.authActiveUsers);
  const kysely = new Kysely<AuthsyncDatabase>({ dialect: new PostgresDialect({ pool }) });
  const emails = await kysely.selectFrom("capydb_auth.user_emails").select(["user_id", "email"]).execute();
  const members = await kysely.selectFrom("capydb_auth.active_memberships").select(["organization_id", "roles"])
    .orderBy("organization_id").execute();
  const { rows } = await pool.query<AuthUser>("SELECT * FROM capydb_auth.users ORDER BY id");
  const created: Date | null = rows[0].created_at;
  console.log(JSON.stringify({
    memberships: users[0].memberships.map((m) => [m.organizationId, m.organization?.name ?? null, m.roles]),
    sessions: users[0].sessions.map((s) => s.id),
    active: active.map((u) => u.id),
    emails,
    members,
    created: created?.toISOString(),
    zod: rows.map((row) => authUser.parse(JSON.parse(JSON.stringify(row)))).map((u) => [u.id, u.created_at?.getTime() ?? null]),
  }));
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

// The mirror is not to be written: this must not compile.
export async function refused(kysely: Kysely<AuthsyncDatabase>) {
  // @ts-expect-error
  await kysely.updateTable("capydb_auth.users").set({ email: "x" }).execute();
}
