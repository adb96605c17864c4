// Does what `prisma db pull` does, with its engine as WebAssembly: writes pulled.prisma, which describes schemas of a
// database, with features of Prisma that are previews: pull.mjs SCHEMA,… [FEATURE,…]
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from "@prisma/driver-adapter-utils";

// What a panic of the engine says; it asks for this while it is loaded.
globalThis.PRISMA_WASM_PANIC_REGISTRY = { set_message: (message) => console.error(message) };
const engine = await import("@prisma/schema-engine-wasm/schema_engine_bg");
const binary = createRequire(import.meta.url).resolve("@prisma/schema-engine-wasm").replace(/\.js$/, "_bg.wasm");
const { instance } = await WebAssembly.instantiate(readFileSync(binary), { "./schema_engine_bg.js": engine });
engine.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

const factory = new PrismaPg({ connectionString: process.env.DATABASE_URL });

// The adapter is made for applications and refuses types of PostgreSQL's catalogs.
const adapter = await factory.connect();
const queries = Object.getPrototypeOf(Object.getPrototypeOf(adapter));
await adapter.dispose();
const { queryRaw } = queries;
queries.queryRaw = async function (query) {
  const { fields, rows } = await this.performIO(query);
  const typeOf = (field) =>
    queryRaw.call({ performIO: async () => ({ fields: [field], rows: [] }) }, query).then(
      ({ columnTypes: [type] }) => type,
      () => (field.dataTypeID === 18 ? ColumnTypeEnum.Character : ColumnTypeEnum.Text),
    );
  return { columnNames: fields.map(({ name }) => name), columnTypes: await Promise.all(fields.map(typeOf)), rows };
};

const [schemas, features] = process.argv.slice(2).map((names) => names.split(","));
const path = "pulled.prisma";
const content = `
generator client {
  provider = "prisma-client"
  output   = "generated"
  ${features ? `previewFeatures = ${JSON.stringify(features)}` : ""}
}

datasource db {
  provider = "postgresql"
  schemas  = ${JSON.stringify(schemas)}
}
`;
const puller = await engine.SchemaEngine.new({ datamodels: [[path, content]] }, () => {}, bindMigrationAwareSqlAdapterFactory(factory));
const { schema } = await puller.introspect({
  schema: { files: [{ path, content }] },
  baseDirectoryPath: ".",
  force: true,
  compositeTypeDepth: -1,
  namespaces: null,
});
writeFileSync(path, schema.files[0].content);
process.exit(0); // closes the connections
