/** Writes one line for people who look for the cause of something. */
export type Log = (line: string) => void;
