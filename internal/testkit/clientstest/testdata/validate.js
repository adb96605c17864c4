// Validates a Prisma schema of the files that are named.
const { readFileSync } = require("node:fs");
const { validate } = require("@prisma/prisma-schema-wasm");

const files = process.argv.slice(2).map((name) => [name, readFileSync(name, "utf8")]);
try {
  validate(JSON.stringify({ prismaSchema: files, noColor: true }));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
