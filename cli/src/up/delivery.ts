import type { Collector } from '@chaperone/collector';
import { createDirectDelivery } from '@chaperone/sidecar';

/** What one pod's sidecar delivers to a collector in this process. */
export function deliveryTo(collector: Collector, nkey: string): ReturnType<typeof createDirectDelivery> {
  return createDirectDelivery({
    async deliver(segment, { session, number, held }) {
      const outcome = await collector.ingest(segment);
      if (outcome.kind === 'refused') throw new Error(`the collector refused a segment (${outcome.code})`);
      collector.ask({ nkey, session, number, held });
    },
    onReceipt: (listener) =>
      collector.onReceipt((whose, receipt) => {
        if (whose === nkey) listener(receipt);
      }),
  });
}
