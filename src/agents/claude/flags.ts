/** True if `--channels` or the development flag names us. Both take several values. */
export function hasChannelFlag(args: readonly string[]): boolean {
  let isInFlag = false;
  for (const arg of args.flatMap((each) => (each.startsWith("-") ? each.split("=") : each))) {
    if (arg.startsWith("-")) {
      isInFlag = /^--(dangerously-load-development-)?channels$/.test(arg);
    } else if (isInFlag && /^(server|plugin):t9-ipc(@|$)/.test(arg)) {
      return true;
    }
  }
  return false;
}

/** The conversation that `--resume …/ID.jsonl --fork-session` goes on with under another id. */
export function forkedConversation(args: readonly string[]): string | undefined {
  if (!args.includes("--fork-session")) return undefined;
  const resumed = args[args.indexOf("--resume") + 1];
  return /([^/\\]+?)(?:\.jsonl)?$/.exec(resumed ?? "")?.[1];
}
