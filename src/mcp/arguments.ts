import * as z from "zod";
import { UserError } from "../core/errors.ts";
import { quoteInput } from "../core/text.ts";

/** Words of other systems for our values. */
const SYNONYMS: Readonly<Record<string, string>> = {
  urgent: "critical",
  emergency: "critical",
  important: "high",
  medium: "normal",
  default: "normal",
  message: "ipc",
  direct: "ipc",
};

/** Names of other systems for our parameters. They are suggested and not accepted. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  message: ["body"],
  text: ["body"],
  content: ["body"],
  title: ["subject"],
  summary: ["subject"],
  topic: ["subject"],
  recipient: ["to"],
  recipients: ["to"],
  target: ["to"],
  session: ["to", "session_id", "name"],
  sessionid: ["to", "name"],
  sessionname: ["to", "session_id", "name"],
  name: ["to", "session_id"],
  inreplyto: ["reply_to"],
  filename: ["file", "reply_to"],
  messageid: ["file", "reply_to"],
  id: ["file", "reply_to"],
  urgency: ["priority"],
  status: ["working_on"],
  task: ["working_on"],
};

/** Parameters that take several names. */
const NAME_LISTS = new Set(["to", "notify_when_idle"]);

/**
 * The advice for a parameter that is missing or of another type, and that has no usual value. It
 * works word for word.
 */
const ADVICE: Readonly<Record<string, string>> = {
  to: 'For example "to": "api-tests"; t9_ipc_who lists the names.',
  subject: 'For example "subject": "schema moved".',
  body: 'For example "body": "run the migration first".',
  name: 'For example "name": "api-tests".',
  working_on: 'For example "working_on": "the parser".',
  notify_when_idle: 'For example "notify_when_idle": "api-tests"; t9_ipc_who lists the names.',
  session_id: "Leave it out to read your own mail; t9_ipc_who lists the other names.",
  file: "Copy the file name from the message, or leave it out to read your unread mail.",
  reply_to: "Copy the file name from the message, or leave it out.",
};

/**
 * Takes a tool's arguments as models send them, and returns what the schema makes of them.
 *
 * The SDK's McpServer would answer unknown and mistyped arguments by itself, in words that name no
 * next step. So the handlers of its public `server` are used, and this is the one place where
 * arguments are normalized and validated. Throws UserError.
 */
export function parseArguments<Schema extends z.ZodObject>(
  tool: string,
  schema: Schema,
  raw: unknown,
): z.output<Schema> {
  const given = toObject(tool, schema, raw);
  const normalized: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(schema.shape, key)) throw unknownArgument(tool, schema, key);
    const meant = normalize(key, schema.shape[key] as z.ZodType, value);
    // Many models fill in every parameter: `""` and `null` mean "not given".
    if (meant !== null && meant !== "") normalized[key] = meant;
  }
  const { success, data, error } = schema.safeParse(normalized);
  if (success) return data;
  const wrong = [...new Set(error.issues.map(({ path }) => String(path[0])))];
  throw new UserError(
    `${tool}: ${wrong.map((key) => explain(key, schema, normalized[key])).join(" ")}`,
  );
}

/** Some clients send the arguments as a JSON string. */
function toObject(tool: string, schema: z.ZodObject, raw: unknown): object {
  const value = typeof raw === "string" ? tryParse(raw) : raw;
  if (value === undefined || value === null || value === "") return {};
  if (typeof value === "object" && !Array.isArray(value)) return value;
  throw new UserError(
    `${tool}: the arguments are ${typeName(value)} and have to be an object. ${whatItTakes(schema)}`,
  );
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function normalize(key: string, parameter: z.ZodType, value: unknown): unknown {
  const type = unwrap(parameter);
  if (type instanceof z.ZodString && NAME_LISTS.has(key)) return joinNames(value);
  if (typeof value !== "string") return value;
  const word = value.trim().toLowerCase();
  if (type instanceof z.ZodBoolean) {
    return word === "true" ? true : word === "false" ? false : word && value;
  }
  if (type instanceof z.ZodEnum) {
    const values = type.options as readonly string[];
    return values.includes(word) ? word : (values.find((each) => each === SYNONYMS[word]) ?? word);
  }
  return value;
}

/** Several names come as a text with commas, as a list, or as a list in a text. */
function joinNames(value: unknown): unknown {
  const list = typeof value === "string" && value.trim().startsWith("[") ? tryParse(value) : value;
  const isList = Array.isArray(list) && list.every((each) => typeof each === "string");
  return isList ? list.join(",") : list;
}

function unwrap(type: z.ZodType): z.ZodType {
  if (type instanceof z.ZodOptional || type instanceof z.ZodDefault) {
    return unwrap(type.unwrap() as z.ZodType);
  }
  return type;
}

function unknownArgument(tool: string, schema: z.ZodObject, key: string): UserError {
  const nearest = nearestParameter(key, Object.keys(schema.shape));
  const remedy = nearest ? `Use ${nearest} instead.` : "Leave it out.";
  return new UserError(
    `${tool}: there is no parameter ${quoteInput(key)}. ${whatItTakes(schema)} ${remedy}`,
  );
}

const whatItTakes = ({ shape }: z.ZodObject): string =>
  `It takes: ${Object.keys(shape).join(", ")}.`;

function nearestParameter(key: string, known: readonly string[]): string | undefined {
  const plain = (name: string): string => name.toLowerCase().replace(/[^a-z]/g, "");
  const wanted = plain(key);
  const others = Object.hasOwn(OTHER_NAMES, wanted) ? OTHER_NAMES[wanted] : undefined;
  return (
    known.find((name) => plain(name) === wanted) ??
    known.find((name) => others?.includes(name)) ??
    known.find((name) => wanted.length > 2 && plain(name).includes(wanted)) ??
    known.find((name) => plain(name).length > 2 && wanted.includes(plain(name)))
  );
}

function explain(key: string, schema: z.ZodObject, value: unknown): string {
  const parameter = schema.shape[key] as z.ZodType;
  const type = unwrap(parameter);
  const { data: usual } = parameter.safeParse(undefined);
  const example = `For example "${key}": "${usual}".`;
  if (type instanceof z.ZodEnum) {
    return `${key} is one of ${type.options.join(", ")}. ${example}`;
  }
  if (type instanceof z.ZodBoolean) return `${key} is true or false. For example "${key}": true.`;
  const problem = value === undefined ? "is missing" : `is ${typeName(value)} and has to be a text`;
  return `${key} ${problem}. ${usual ? example : ADVICE[key]}`;
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? "a text" : `a ${typeof value}`;
}
