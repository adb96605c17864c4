import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "postgresql",
  schema: "./orders.ts",
  out: "./migrations",
  schemaFilter: (process.env.SCHEMAS ?? "public").split(","),
  dbCredentials: { url: process.env.DATABASE_URL! },
});
