import type { Event } from "./event.js";
import { signingKey, type Settings } from "./options.js";

/** Result is the outcome of an attempt. A refused event would be refused every time. */
export type Result = { outcome: "sent" } | { outcome: "failed" | "refused"; reason: string };

/** Statuses that mean this very body will never be taken. All others may be ours or a setting's, and may pass. */
const refusals = new Set([400, 413, 415, 422]);

/** Sender signs by Standard Webhooks and posts. It never throws. */
export class Sender {
  #key: ReturnType<typeof crypto.subtle.importKey> | undefined;

  constructor(private readonly settings: Settings) {}

  /** send makes one attempt, which ends within settings.timeout. */
  async send(event: Event): Promise<Result> {
    try {
      // The time is that of the attempt: a receiver takes no old ones.
      const timestamp = Math.floor(Date.now() / 1000).toString();
      const answer = await fetch(this.settings.url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "webhook-id": event.id,
          "webhook-timestamp": timestamp,
          "webhook-signature": `v1,${await this.#sign(`${event.id}.${timestamp}.${event.body}`)}`,
        },
        body: event.body,
        redirect: "manual",
        signal: AbortSignal.timeout(this.settings.timeout),
      });
      await answer.body?.cancel();
      if (answer.ok) return { outcome: "sent" };
      return { outcome: refusals.has(answer.status) ? "refused" : "failed", reason: `authsync answered ${answer.status}` };
    } catch (error) {
      return { outcome: "failed", reason: `authsync could not be reached (${name(error)})` };
    }
  }

  async #sign(text: string): Promise<string> {
    this.#key ??= crypto.subtle.importKey("raw", signingKey(this.settings.secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const signature = await crypto.subtle.sign("HMAC", await this.#key, new TextEncoder().encode(text));
    return btoa(String.fromCharCode(...new Uint8Array(signature)));
  }
}

/** name is the kind of an error, such as ECONNREFUSED; its message may hold an address or data. */
export function name(error: unknown): string {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "string") return cause.code;
    if (!(cause.cause instanceof Error)) return cause.name;
  }
  return "unknown";
}
