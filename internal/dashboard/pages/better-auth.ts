import { createHmac, randomUUID } from "node:crypto";
import { betterAuth, type BetterAuthOptions } from "better-auth";
import { parseUserOutput } from "better-auth/db";

const options = {
  // … your own: database, plugins and so on
} satisfies BetterAuthOptions;

const key = Buffer.from(process.env.AUTHSYNC_SECRET!.replace("whsec_", ""), "base64"); // whsec_…

async function send(type: string, row: object) {
  try {
    const id = `msg_${randomUUID()}`;
    const timestamp = Math.floor(Date.now() / 1000).toString();
    // Hooks see everything; this leaves out the fields of users that are marked `returned: false`, and the token of a session.
    const { token, ...data } = (type.startsWith("user.")
      ? parseUserOutput(options, row as Parameters<typeof parseUserOutput>[1]) : row) as Record<string, unknown>;
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
    const answer = await fetch(process.env.AUTHSYNC_WEBHOOK_URL!, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}`,
      },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    if (!answer.ok) console.error("authsync answered", answer.status);
  } catch (error) {
    console.error("could not reach authsync", error);
  }
}

// A request waits at most two seconds for authsync, however many hooks it runs, and never fails
// because of it: a hook that throws would make the sign-up fail.
const deadlines = new WeakMap<object, Promise<unknown>>();

async function notify(type: string, row: unknown, request: object | null) {
  if (!row || typeof row !== "object") return; // an update that matched no row
  const sent = send(type, row);
  const limit = deadlines.get(request ?? sent) ?? new Promise((resolve) => setTimeout(resolve, 2000));
  deadlines.set(request ?? sent, limit);
  await Promise.race([sent, limit]);
}

export const auth = betterAuth({
  ...options,
  databaseHooks: {
    user: {
      create: { after: (user, request) => notify("user.created", user, request) },
      update: { after: (user, request) => notify("user.updated", user, request) },
      delete: { after: (user, request) => notify("user.deleted", user, request) },
    },
  },
});
