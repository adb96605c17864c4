// What a customer writes, which compiles with the types of the package and leaves those of Better Auth as they are.
import { betterAuth } from "better-auth";
import { organization } from "better-auth/plugins";
import { authsync, flush, type AuthsyncOptions } from "@authsync/better-auth";

const options: AuthsyncOptions = { sessions: true, outbox: { maxRows: 5, flushInterval: 0 }, exclude: { session: ["ipAddress"] } };

const auth = betterAuth({
  user: { additionalFields: { plan: { type: "string", required: true } } },
  plugins: [organization(), authsync(options), authsync(), authsync({ outbox: true })],
});

type User = (typeof auth.$Infer.Session)["user"];
export const plan = (user: User): string => user.plan;
export const organizations: Promise<{ id: string }[]> = auth.api.listOrganizations({ headers: new Headers() });
export const left: Promise<number> = flush(auth, Date.now()).then(({ waiting }) => waiting);

// @ts-expect-error: no table has this name
authsync({ exclude: { users: ["name"] } });
