// Stands in for `zod-to-json-schema` in the bundle. The SDK imports it for schemas of zod 3, and
// ours are of zod 4, which makes JSON schemas itself.

export function zodToJsonSchema() {
  throw new Error("a schema of zod 3 has no JSON schema here");
}
