import { Transform } from "node:stream";
import type { Log } from "../config.ts";

/** A longer line is no tool call (a body has 10,240 characters): it is dropped. */
const MAX_LINE_BYTES = 32 << 20;

/** Hands on whole lines: the SDK's transport copies all it has of a line at every piece, and gives up at 10 MB. */
export function wholeLines(log: Log): Transform {
  let pieces: Buffer[] = [];
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const first = chunk.indexOf(10) + 1;
      const end = chunk.lastIndexOf(10) + 1;
      if (end > 0) {
        if (bytes + first > MAX_LINE_BYTES) log(`protocol: a line of over ${MAX_LINE_BYTES} bytes was dropped`);
        else this.push(Buffer.concat([...pieces, chunk.subarray(0, first)]));
        if (end > first) this.push(chunk.subarray(first, end));
        pieces = [];
        bytes = 0;
      }
      bytes += chunk.length - end;
      if (bytes > MAX_LINE_BYTES) pieces = [];
      else pieces.push(chunk.subarray(end));
      done();
    },
  });
}
