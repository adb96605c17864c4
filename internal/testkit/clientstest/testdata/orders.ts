// What an application has of its own, beside the generated models.
import { pgTable, text } from "drizzle-orm/pg-core";
import { authUsers } from "./drizzle";

export const orders = pgTable("orders", {
  id: text("id").primaryKey(),
  ownerId: text("owner_id").notNull().references(() => authUsers.id),
});
