import { broken, type Finding, ok, warning } from "../../agents/finding.ts";
import { LEAST_NODE } from "../../agents/node.ts";
import { isAtLeast } from "../../agents/programs.ts";
import { type Config, SERVER } from "../../config.ts";
import { messageOf } from "../../core/errors.ts";
import { checkCache } from "../../upkeep/header-cache.ts";
import { exchangeMessage } from "../demo.ts";

/** Node, our own build, and the optional dependency. */
export async function* checkInstallation(config: Config): AsyncGenerator<Finding> {
  const { node } = process.versions;
  if (isAtLeast(node, LEAST_NODE)) yield ok(`Node ${node}`);
  else yield broken(`Node ${node}`, "too old", `install ${LEAST_NODE} or newer`);

  yield await checkServer();
  yield checkSqlite(config);
}

async function checkServer(): Promise<Finding> {
  try {
    const ms = await exchangeMessage();
    return ok(`${SERVER}: a message from server to server takes ${ms.toFixed(1)} ms`);
  } catch (error) {
    const remedy = "npm install && npm run build in its folder, or install it anew";
    return broken(SERVER, messageOf(error), remedy);
  }
}

function checkSqlite({ db }: Config): Finding {
  const found = checkCache(db);
  return found ? warning("better-sqlite3", found.problem, found.remedy) : ok("better-sqlite3");
}
