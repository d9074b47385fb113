/** Prints a line for the user. The command line hands it in. */
export type Print = (line: string) => void;
