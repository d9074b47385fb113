import packageJson from "../../../package.json" with { type: "json" };
import { isFrom } from "../../agents/programs.ts";
import type { Report } from "../../agents/report.ts";
import { type Config, SERVER } from "../../config.ts";
import { reasonOf } from "../../files.ts";
import { openCache } from "../../mail/cache.ts";
import { exchangeMessage } from "../demo.ts";

export async function installation(report: Report, config: Config): Promise<void> {
  const { node } = process.versions;
  const least = packageJson.engines.node.slice(2);
  report(`Node ${node}`, !isFrom(node, least) && "too old", `install ${least} or newer`);
  await exchangeMessage().then(
    (ms) => report(`${SERVER}: a message from server to server takes ${ms.toFixed(1)} ms`),
    (error) =>
      report(
        SERVER,
        reasonOf(error),
        "npm install && npm run build in its folder, or install it anew",
      ),
  );
  const problems: string[] = [];
  openCache(config.db, (line) => problems.push(line))?.close();
  report(
    "better-sqlite3",
    problems[0],
    "only large inboxes need it: install or npm rebuild it",
    "warning",
  );
}
