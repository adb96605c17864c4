// Has the providers' own libraries verify what authsync signs as them: the messages in its input. Prints the types of the events, and
// whether another body is refused.
import { readFileSync } from "node:fs";
import { verifyWebhook } from "@clerk/backend/webhooks";
import { WorkOS } from "@workos-inc/node";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const workos = new WorkOS("sk_test_only");
const libraries = {
  clerk: ({ headers, body, secret }) =>
    verifyWebhook(new Request("https://app.example.com", { method: "POST", headers, body }), { signingSecret: secret }),
  svix: ({ headers, body, secret }) => new SvixWebhook(secret).verify(body, headers),
  standardwebhooks: ({ headers, body, secret }) => new StandardWebhook(secret).verify(body, headers),
  workos: async ({ headers, body, secret }) => {
    const payload = JSON.parse(body);
    await workos.webhooks.verifyHeader({ payload, sigHeader: headers["workos-signature"], secret });
    return { type: payload.event };
  },
};

const answers = [];
for (const message of JSON.parse(readFileSync(0, "utf8"))) {
  const verify = libraries[message.library];
  const { type, event_type, action } = await verify(message);
  const changed = { ...message, body: message.body.replace("user-", "uSer-") };
  let refused = false;
  try {
    await verify(changed);
  } catch {
    refused = true;
  }
  answers.push({ type: type ?? event_type ?? action, refused });
}
process.stdout.write(JSON.stringify(answers));
