// Stands in for `ajv` and `ajv-formats` in the bundle. The SDK imports both, to check tool results
// and answers to elicitation against JSON schemas. We have neither, and load a third less code.

/** Called as a constructor for ajv and as a function for ajv-formats. */
export default function noAjv() {}
