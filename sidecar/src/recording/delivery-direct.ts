import type { Delivery } from './recorder.ts';

/** Delivery to a collector in the same process: it takes a segment for good, or rejects, and gives its receipts when they are due. */
export function createDirectDelivery({
  deliver,
  onReceipt,
}: Pick<Delivery, 'deliver'> & {
  /** Returns what ends it. */
  readonly onReceipt: (listener: (receipt: Uint8Array) => void) => () => void;
}): Delivery {
  const ends: (() => void)[] = [];
  return {
    deliver,
    onReceipt: (listener) => void ends.push(onReceipt(listener)),
    close: () => {
      for (const end of ends) end();
      return Promise.resolve();
    },
  };
}
