// An npm registry on loopback that has one package: ours, as if it were published.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

/** Serves the package in `file` until the test is over. Resolves to the registry's address. */
export async function startRegistry(t: TestContext, file: string, json: string): Promise<string> {
  const tarball = readFileSync(file);
  const manifest: { name: string; version: string } = JSON.parse(json);
  const { name, version } = manifest;
  const server = createServer(({ url, headers: { host } }, response) => {
    const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
    const dist = { integrity, tarball: `http://${host}/${name}.tgz` };
    const versions = { [version]: { ...manifest, dist } };
    if (url === `/${name}.tgz`) response.end(tarball);
    else if (url === `/${name}`)
      response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions }));
    else response.writeHead(404).end("{}");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
