/** What a customer may say; every option has a default that suits most. */
export interface AuthsyncOptions {
  /** The URL of the receiver, `config.webhook_receiver`. Default: `process.env.AUTHSYNC_WEBHOOK_URL`. */
  url?: string | undefined;
  /** The integration's `webhook_signing_secret`, `whsec_…`. Default: `process.env.AUTHSYNC_SECRET`. */
  secret?: string | undefined;
  /** Also send sessions, without their tokens. Default: false. */
  sessions?: boolean | undefined;
  /**
   * Keep what has not been sent in the table `authsyncOutbox` of your database, which Better Auth's own migrations
   * create, and send it later, in order. Default: false.
   */
  outbox?: boolean | OutboxOptions | undefined;
  /** Fields that are not sent, by model: `{ user: ["phoneNumber"] }`. Fields with `returned: false` never are. */
  exclude?: Partial<Record<Model, string[]>> | undefined;
  /**
   * The longest that one request to your server waits for authsync, in milliseconds, however much it changes. What is
   * not sent by then is sent in the background. Default: 1000. With `advanced.backgroundTasks` no request waits.
   */
  maxWait?: number | undefined;
  /** The longest that one attempt to send may take, in milliseconds. Default: 10000. */
  timeout?: number | undefined;
}

export interface OutboxOptions {
  /** Rows that the table may hold; what comes beyond is sent at once or, if that fails, lost. Default: 10000. */
  maxRows?: number | undefined;
  /** Milliseconds between looks for rows that another process left behind; 0 leaves it to `flush`. Default: 30000. */
  flushInterval?: number | undefined;
}

/** The tables that are sent, by their names in Better Auth's schema. */
export type Model = "user" | "organization" | "member" | "invitation" | "session";

/** The same, with everything decided. */
export interface Settings {
  url: string;
  secret: string;
  models: ReadonlySet<string>;
  exclude: Partial<Record<string, readonly string[]>>;
  maxWait: number;
  timeout: number;
  outbox: { maxRows: number; flushInterval: number } | null;
}

/** settle fills in the defaults. Environments without `process` have no defaults for url and secret. */
export function settle(options: AuthsyncOptions): Settings {
  const env = typeof process === "undefined" ? {} : process.env;
  const models: Model[] = ["user", "organization", "member", "invitation"];
  if (options.sessions) models.push("session");
  const outbox = options.outbox === true ? {} : options.outbox || null;
  return {
    url: options.url ?? env.AUTHSYNC_WEBHOOK_URL ?? "",
    secret: options.secret ?? env.AUTHSYNC_SECRET ?? "",
    models: new Set<string>(models),
    exclude: options.exclude ?? {},
    maxWait: options.maxWait ?? 1000,
    timeout: options.timeout ?? 10_000,
    outbox: outbox && { maxRows: outbox.maxRows ?? 10_000, flushInterval: outbox.flushInterval ?? 30_000 },
  };
}

/** complaint says what is wrong with the settings, without a value of theirs; undefined if nothing is. */
export function complaint(settings: Settings): string | undefined {
  if (!settings.url) return "url is not set: give the plugin a url, or set AUTHSYNC_WEBHOOK_URL";
  if (!/^https?:\/\/\S+$/.test(settings.url)) return "url is not an address that begins with https://";
  if (!settings.secret) return "secret is not set: give the plugin a secret, or set AUTHSYNC_SECRET";
  if (signingKey(settings.secret).length === 0) return "secret is not valid base64 after whsec_: copy it again";
  return undefined;
}

/**
 * signingKey returns the bytes that authsync verifies with: those that are encoded after whsec_, otherwise those of
 * the secret itself. It is empty for a secret that cannot be decoded.
 */
export function signingKey(secret: string): Uint8Array<ArrayBuffer> {
  if (!secret.startsWith("whsec_")) return new TextEncoder().encode(secret);
  try {
    return Uint8Array.from(atob(secret.slice("whsec_".length)), (letter) => letter.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
