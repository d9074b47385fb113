// The fake waker of other tests passes the contract of the real ones.

import { FakeWaker } from "../support/fake-waker.ts";
import { testWaker } from "../support/waker-contract.ts";

testWaker("a fake", async () => {
  const waker = new FakeWaker();
  return {
    waker,
    received: () => waker.notices,
    act: () => waker.answer(),
    breakDown() {
      waker.failure = new Error("gone");
      waker.reasonAfterFailure = "silent";
    },
  };
});
