import { runHook } from "../agents/claude/hook.ts";
import type { Config } from "../config.ts";
import { WakeSignal } from "./errors.ts";

/** Runs one of the plugin's hooks. Rejects with a WakeSignal if the session is to be woken. */
export async function hook(config: Config): Promise<void> {
  const { output, notice } = await runHook(config);
  if (output !== undefined) console.log(output);
  if (notice !== undefined) throw new WakeSignal(notice);
}
