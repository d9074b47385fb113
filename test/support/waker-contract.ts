// What every way to wake a session has to do, whichever agent it belongs to.

import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import { Notifier } from "../../src/notify/notifier.ts";
import type { Waker } from "../../src/notify/waker.ts";
import { createWorld, fakeAgent, startSession, type World } from "./fake-system.ts";

export interface WakerSetup {
  readonly waker: Waker;
  /** The notices that have reached the session. */
  received(): readonly string[] | Promise<readonly string[]>;
  /** The session acts on the notice, in the way that the waker can see. */
  act(): void;
  /** From now on the session cannot be reached. */
  breakDown(): void;
  /** Resolves when the notice has arrived that is under way; undefined if that takes no time. */
  settle?(): Promise<void>;
}

/** Runs a kind of waker through the rules of the notifier. */
export function testWaker(
  kind: string,
  create: (t: TestContext, world: World) => Promise<WakerSetup>,
): void {
  describe(`a session that is woken by ${kind}`, () => {
    async function start(t: TestContext) {
      const world = createWorld();
      const ann = await startSession(world, "ann");
      const bob = await startSession(world, "bob", fakeAgent({ pid: 7 }));
      const setup = await create(t, world);
      const { waker } = setup;
      const notifier = new Notifier(
        {
          sendToChannel: undefined,
          expectsChannel: false,
          wakers: [waker],
          fallback: "tool-result",
          toolPrefix: "",
          isIdle: () => true,
        },
        bob.system,
        bob.mailbox,
        bob.presence,
      );
      notifier.start();
      notifier.onToolsListed();
      await world.time.advance(1000);
      const send = async (
        subject: string,
        priority: "low" | "normal" = "normal",
      ): Promise<void> => {
        const request = { to: ["bob"], subject, body: subject, priority };
        await world.time.wait(ann.mailbox.send(request));
        await world.time.settle();
      };
      /** Lets virtual time pass, and real time for the notice that is under way. */
      const pass = async (ms: number): Promise<void> => {
        for (let passed = 0; passed < ms; passed += 500) {
          await world.time.advance(500);
          await setup.settle?.();
        }
      };
      const count = async (): Promise<number> => (await setup.received()).length;
      return { ...setup, world, bob, notifier, send, pass, count };
    }

    test("gets one notice for a message, and none for one of low priority", async (t) => {
      const { send, pass, received, count, notifier } = await start(t);
      await send("low", "low");
      await pass(5000);
      assert.equal(await count(), 0);
      await send("news");
      await pass(5000);
      assert.match((await received())[0] ?? "", /^t9-ipc: 1 new message, from ann: “news”\. Read/);
      assert.equal(await count(), 1);
      notifier.close();
    });

    test("gets one notice for many messages, and the next one after it has acted", async (t) => {
      const { send, pass, count, act, waker, notifier } = await start(t);
      for (const n of [1, 2, 3]) await send(`${n}`);
      await pass(5000);
      await send("4");
      await pass(10_000);
      assert.deepEqual([await count(), waker.isPending()], [1, true]);
      act();
      assert.equal(waker.isPending(), false);
      await pass(5000);
      assert.equal(await count(), 2);
      notifier.close();
    });

    test("may act before the waker knows that its notice has arrived", async (t) => {
      const { waker, act, notifier } = await start(t);
      const woken = waker.wake("t9-ipc: 1 new message, from ann: “news”. Read it.");
      act();
      await woken;
      assert.equal(waker.isPending(), false);
      notifier.close();
    });

    test("gets no second notice for what it has read", async (t) => {
      const { send, pass, count, act, bob, notifier } = await start(t);
      await send("news");
      await pass(1000);
      act();
      bob.mailbox.markRead(bob.mailbox.unread().headers);
      await pass(10_000);
      assert.equal(await count(), 1);
      notifier.close();
    });

    test("is not waited for if its notice has not reached it", async (t) => {
      const { waker, breakDown, notifier } = await start(t);
      breakDown();
      await assert.rejects(waker.wake("t9-ipc: 1 new message, from ann: “news”. Read it."));
      assert.equal(waker.isPending(), false);
      notifier.close();
    });

    test("is told on its next tool result if it cannot be reached", async (t) => {
      const { send, pass, breakDown, notifier, waker } = await start(t);
      breakDown();
      await send("news");
      await pass(5000);
      assert.notEqual(waker.problem(), undefined);
      assert.match(notifier.noticeForToolResult() ?? "", /“news”/);
      notifier.close();
    });
  });
}
