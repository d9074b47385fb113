/** A refusal in words for Claude: what was wrong, what the limit is, what to do next. Nothing has happened. */
export class Refusal extends Error {}
