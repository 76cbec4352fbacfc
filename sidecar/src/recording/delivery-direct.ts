import type { Receipt } from '@chaperone/evidence';
import type { Delivery } from './recorder.ts';

/** Delivery to a collector in the same process. `ingest` resolves with a receipt where there is one, and rejects otherwise. */
export function createDirectDelivery(ingest: (segment: Buffer) => Promise<Receipt | undefined>): Delivery {
  const listeners: ((receipt: Receipt) => void)[] = [];
  return {
    async deliver(segment) {
      const receipt = await ingest(segment);
      if (receipt !== undefined) for (const listener of listeners) listener(receipt);
    },
    onReceipt: (listener) => void listeners.push(listener),
    close: () => Promise.resolve(),
  };
}
