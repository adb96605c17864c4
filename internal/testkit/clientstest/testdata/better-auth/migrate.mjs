// Creates the tables, as `npx auth migrate` does.
import { getMigrations } from "better-auth/db/migration";
import { auth, pool } from "./auth.mjs";

await (await getMigrations(auth.options)).runMigrations();
await pool.end();
