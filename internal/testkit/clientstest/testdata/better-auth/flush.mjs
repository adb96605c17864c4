// Sends what the outbox holds, until it is empty: also what a killed process claimed, once its claim expires.
import { flush } from "@authsync/better-auth";
import { auth, pool } from "./auth.mjs";

let sent = 0;
for (let waiting = 1; waiting > 0; ) {
  const flushed = await flush(auth);
  sent += flushed.sent;
  waiting = flushed.waiting;
  if (waiting > 0) await new Promise((on) => setTimeout(on, 50));
}
await pool.end();
process.stdout.write(`${sent}\n`, () => process.exit(0));
