// Stands in until the last test has moved into its folder: see test/support.
export * from "./support/mail.ts";
