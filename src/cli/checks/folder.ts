import fs from "node:fs";
import { join } from "node:path";
import type { Report } from "../../agents/report.ts";
import type { Config } from "../../config.ts";
import { reasonOf } from "../../files.ts";
import { Inbox, readMessage } from "../../mail/inbox.ts";
import { isMessageName } from "../../mail/message.ts";
import { warnIfShared } from "../../mcp/session.ts";

export async function folder(report: Report, config: Config): Promise<void> {
  const { dir, inbox, archive, read, heartbeats } = config;
  for (const path of [dir, inbox, archive, read].filter(fs.existsSync))
    fs.accessSync(path, fs.constants.W_OK);
  const mail = new Inbox(config); // makes the folder
  await mail.reconcile();
  const stat = (path: string) => fs.lstatSync(path, { throwIfNoEntry: false });
  const uid = process.getuid?.();
  const files = ["", ...fs.readdirSync(dir, { recursive: true, encoding: "utf8" })];
  const foreign = files.find(
    (file) => uid !== undefined && (stat(join(dir, file))?.uid ?? uid) !== uid,
  );
  const chown = `sudo chown -R "$(id -un)" '${dir}'`;
  report(
    dir,
    foreign !== undefined && `another user owns ${foreign || "it"}, and maybe more`,
    chown,
  );
  warnIfShared({ ...config, log: (line) => report(dir, line, `chmod -R go= '${dir}'`, "warning") });
  const { bavail, bsize } = fs.statfsSync(dir);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  report(
    `${free} MB free`,
    free < 100 && "too little",
    "make room",
    free < 1 ? "broken" : "warning",
  );
  for (const lock of [`${inbox}.lock`, `${heartbeats}.lock`]) {
    const age = Date.now() - (stat(lock)?.mtimeMs ?? Date.now()); // a living holder touches it every 2.5 s
    if (age > 10_000)
      report(
        lock,
        "its holder was killed",
        "the next writer takes it over; else: rmdir",
        "warning",
      );
  }
  report(`${mail.files.size} messages in the inbox`);
  for (const file of fs.readdirSync(inbox).filter(isMessageName)) {
    try {
      readMessage(join(inbox, file), file);
    } catch (error) {
      report(
        `inbox/${file}`,
        reasonOf(error),
        "nobody gets it: mend it, or move it away",
        "warning",
      );
    }
  }
  await mail.close();
}
