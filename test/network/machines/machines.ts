// Two machines and a network between them: a dev box that serves a folder with an sshd of its own,
// and laptops that mount it with sshfs and have no other way to it. Each machine has namespaces of
// its own (processes, mounts, host name).

import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { homeOf, tempDir } from "../../support/folder.ts";
import { Process, SERVE, works } from "../../support/process.ts";
import { startSession, type TestSession } from "../../support/session.ts";
import { waitFor } from "../../support/wait.ts";

const SSHD = "/usr/sbin/sshd";
/** What the README says to mount with. `idmap` and the paths are each user's own. */
export const OPTIONS = [
  "reconnect,ServerAliveInterval=5,ServerAliveCountMax=2,ConnectTimeout=5",
  "dir_cache=no,attr_timeout=0",
];
const UNSHARE = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];

/** Why these tests cannot run here; false where they can. */
export const skip = whyNot();

function whyNot(): string | false {
  const lacks = [
    !existsSync("/dev/fuse") && "/dev/fuse",
    !existsSync(SSHD) && "sshd",
    !works("sshfs", "--version") && "sshfs",
    !works("unshare", ...UNSHARE, "true") && "root on Linux, for namespaces",
  ].filter(Boolean);
  return lacks.length > 0 && `needs ${lacks.join(", ")}`;
}

/**
 * Namespaces with a first process that waits for our end, so that all in them ends with this test.
 */
class Machine {
  readonly #first: ChildProcess;

  /** Runs the script, then waits. */
  static async start(t: TestContext, script: string): Promise<Machine> {
    const first = spawn("unshare", [...UNSHARE, "sh", "-ec", `${script}; echo up; exec cat`]);
    t.after(() => first.kill("SIGKILL"));
    let said = "";
    for (const stream of [first.stdout, first.stderr]) stream.on("data", (text) => (said += text));
    await waitFor(
      () => said.endsWith("up\n"),
      () => `a machine, which says: ${said}`,
    );
    return new Machine(first);
  }

  constructor(first: ChildProcess) {
    this.#first = first;
  }

  /** What a command starts with that is to run on this machine. */
  get enter(): string[] {
    const { pid } = this.#first;
    return ["nsenter", "-t", `${pid}`, "-m", "-u", `--pid=/proc/${pid}/ns/pid_for_children`];
  }

  /** A path of this machine, as it can be opened from outside. */
  path(path: string): string {
    return `/proc/${this.#first.pid}/root${path}`;
  }

  /** What is mounted on it, one a line. */
  get mounts(): string {
    return readFileSync(`/proc/${this.#first.pid}/mounts`, "utf8");
  }

  /** Runs a shell script on it and gives what it printed. */
  async run(script: string): Promise<string> {
    const [program = "", ...args] = [...this.enter, "sh", "-ec", script];
    const { stdout } = await promisify(execFile)(program, args);
    return stdout;
  }

  /** All its processes end at once, with no time to tidy up. */
  async vanish(): Promise<void> {
    this.#first.kill("SIGKILL");
    if (this.#first.exitCode === null && this.#first.signalCode === null)
      await once(this.#first, "exit");
  }
}

export class DevBox {
  /** The data folder on its own disk. */
  readonly dir: string;
  readonly root: string;
  readonly #sshd: Machine;

  /** A dev box with its sshd on loopback; nothing is read or written of the machine's own ssh. */
  static async start(t: TestContext): Promise<DevBox> {
    const dir = tempDir(t);
    const root = dirname(dir);
    const port = await freePort();
    mkdirSync(dir, { mode: 0o700 });
    for (const key of ["host-key", "user-key"]) {
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(root, key)]);
    }
    const config = `
      Port ${port}
      ListenAddress 127.0.0.1
      HostKey ${root}/host-key
      AuthorizedKeysFile ${root}/user-key.pub
      PidFile none
      StrictModes no
      UsePAM no
      PasswordAuthentication no
      PermitRootLogin yes
      Subsystem sftp internal-sftp`;
    writeFileSync(join(root, "sshd_config"), config);
    const client = `
      Host devbox
      HostName 127.0.0.1
      Port ${port}
      User root
      IdentityFile ${root}/user-key
      IdentitiesOnly yes
      BatchMode yes
      StrictHostKeyChecking no
      UserKnownHostsFile ${root}/laptop/known_hosts`;
    writeFileSync(join(root, "ssh_config"), client);
    // sshd wants a folder of its own in /run.
    const sshd = await Machine.start(
      t,
      `mount -t tmpfs run /run; mkdir /run/sshd; ${listen(root)}`,
    );
    const answers = () =>
      new Promise((done) =>
        connect(port, "127.0.0.1")
          .on("connect", () => done(true))
          .on("error", () => done(false)),
      );
    await waitFor(answers, "sshd");
    return new DevBox(root, dir, sshd);
  }

  constructor(root: string, dir: string, sshd: Machine) {
    this.root = root;
    this.dir = dir;
    this.#sshd = sshd;
  }

  session(name: string): Promise<TestSession> {
    return startSession(name, { dir: this.dir, env: { TZ: "America/New_York" } });
  }

  /** The line goes silent, as in a tunnel: what is sent is not answered, and nothing says so. */
  goSilent = (): Promise<string> => this.#sshd.run("kill -STOP -1");
  comeBack = (): Promise<string> => this.#sshd.run("kill -CONT -1");
  /** The line is reset, and nobody answers. */
  hangUp = (): Promise<string> => this.#sshd.run("kill -KILL -1");
  answer = (): Promise<string> => this.#sshd.run(listen(this.root));
}

const listen = (root: string): string => `${SSHD} -f '${root}/sshd_config' -E '${root}/sshd.log'`;

export class Laptop {
  /** Where the dev box's data folder is mounted on it. */
  readonly dir: string;
  readonly box: DevBox;
  readonly #machine: Machine;

  /** A laptop with the folder mounted, that does not see the dev box's disk. */
  static async start(t: TestContext, box: DevBox, options?: readonly string[]): Promise<Laptop> {
    const dir = join(box.root, "laptop", "ipc");
    mkdirSync(homeOf(dir), { recursive: true });
    mkdirSync(dir, { recursive: true });
    const machine = await Machine.start(t, `hostname laptop; mount -t tmpfs none '${box.dir}'`);
    const laptop = new Laptop(box, dir, machine);
    await laptop.mount(options);
    return laptop;
  }

  constructor(box: DevBox, dir: string, machine: Machine) {
    this.box = box;
    this.dir = dir;
    this.#machine = machine;
  }

  async mount(options: readonly string[] = OPTIONS): Promise<void> {
    const all = options.map((each) => `-o ${each}`).join(" ");
    const { root, dir } = this.box;
    const what = `-F '${root}/ssh_config' ${all} devbox:'${dir}' '${this.dir}'`;
    await this.run(`sshfs ${what} </dev/null >/dev/null 2>&1`);
  }

  /** As `umount` does while somebody still has a file open there. */
  async unmount(): Promise<void> {
    await this.run(`umount -l '${this.dir}'`);
  }

  session(name: string): Promise<TestSession> {
    const env = { IPC_DB_PATH: this.#database, IPC_POLL: "500", TZ: "Asia/Seoul" };
    return startSession(name, { dir: this.dir, env, command: [...this.#machine.enter, ...SERVE] });
  }

  /** What `doctor --json` prints. */
  async doctor(env: Record<string, string>): Promise<string> {
    const own = {
      PATH: process.env.PATH ?? "",
      HOME: homeOf(this.dir),
      IPC_DIR: this.dir,
      IPC_DB_PATH: this.#database,
    };
    const doctor = new Process([...this.#machine.enter, ...SERVE, "doctor", "--json"], {
      cwd: dirname(this.dir),
      env: { ...own, ...env },
    });
    doctor.child.stdin.end();
    await doctor.ended;
    return doctor.stdout;
  }

  get #database(): string {
    return join(homeOf(this.dir), "cache.db");
  }

  /** Its data folder, whatever is mounted there, as it can be opened from outside. */
  get seen(): string {
    return this.#machine.path(this.dir);
  }

  get isMounted(): boolean {
    return this.#machine.mounts.includes(` ${this.dir} `);
  }

  run = (script: string): Promise<string> => this.#machine.run(script);
  vanish = (): Promise<void> => this.#machine.vanish();
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Waits until `who` lists that name. */
export async function lists(session: TestSession, name: string): Promise<void> {
  let text = "";
  const isListed = async (): Promise<boolean> => {
    ({ text } = await session.call("who"));
    return new RegExp(`^- ${name}:`, "m").test(text);
  };
  await waitFor(isListed, () => `${name} in ${text}`);
}

/** The subjects of all unread mail, in the order it is read in, until none is left. */
export async function readAll(session: TestSession): Promise<string[]> {
  const subjects: string[] = [];
  for (;;) {
    const { text, isError } = await session.call("unread");
    if (isError) throw new Error(text);
    const found = [...text.matchAll(/^subject: (.*)$/gm)].map(([, subject = ""]) => subject);
    if (found.length === 0) return subjects;
    subjects.push(...found);
  }
}
