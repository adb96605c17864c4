// Checks webhooks as a receiver in Node.js does. Reads a list of {secret, headers, body} and
// writes a list of what the library says: the type of the event, or why it refuses.
const { readFileSync } = require("node:fs");
const { Webhook } = require(process.argv[2]);

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ secret, headers, body }) => {
  try {
    return new Webhook(secret).verify(body, headers).type;
  } catch (error) {
    return `refused: ${error.message}`;
  }
});
console.log(JSON.stringify(answers));
