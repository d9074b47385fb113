/**
 * The next step that a refusal suggests. Tools and the command line word it, each in its own terms:
 * `t9_ipc_who` for a model is `t9-ipc who` for a person.
 *
 * - `list-sessions`: look up the names that exist
 * - `allow-unknown`: repeat, and allow a name that nobody has used yet
 * - `copy-file-name`: copy the file name from the message or from the answer to the send
 */
export type Hint = "list-sessions" | "allow-unknown" | "copy-file-name";

/** Refuses what a tool or a command was asked for. The message is written for whoever asked. */
export class UserError extends Error {
  constructor(
    message: string,
    readonly hint?: Hint,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const errorCode = (error: unknown): string | undefined =>
  (error as NodeJS.ErrnoException | null)?.code;

/** One line, without the system call and the path that Node appends. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/(, \w+ '|\n).*$/s, "");
}

const NETWORK_ERRORS = new Set([
  "EIO",
  "ENOTCONN",
  "ESTALE",
  "ENODEV",
  "ENXIO",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ETIMEDOUT",
  "EREMOTEIO",
]);
const SHORTAGES = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EBUSY"]);

/** True if the file system does not answer, like a network mount whose line is down. */
export const isUnreachable = (error: unknown): boolean =>
  NETWORK_ERRORS.has(errorCode(error) ?? "");

/** Refuses a call because the data folder cannot be read or written just now. */
export const unreachableFolder = (dir: string, error: unknown, outcome: string): UserError =>
  new UserError(
    `${outcome} The data folder ${dir} does not answer: ${messageOf(error)}. Nothing is lost. If it is on a network mount, mount it again, then call again.`,
  );

/** Runs `work`. If it throws, the data folder does not answer: throws a UserError that says so. */
export function reachFolder<T>(dir: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw unreachableFolder(dir, error, "Nothing was done.");
  }
}

/**
 * True for system errors that pass. They say nothing about a file's content, so the call is tried
 * again later and nothing is concluded meanwhile.
 */
export const isTransient = (error: unknown): boolean =>
  isUnreachable(error) || SHORTAGES.has(errorCode(error) ?? "");

/** True if the file is missing, or if one of its folders is a file. */
export const isMissing = (error: unknown): boolean =>
  errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR";
