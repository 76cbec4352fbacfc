import {
  generateSigner,
  type HeldCheckpoint,
  leafHash,
  newSessionId,
  parseReceipt,
  parseSegment,
  segmentLeaf,
  type SegmentPlace,
  trustIn,
  verifyReceipt,
} from '@chaperone/evidence';
import { temporaryDirectory } from '@chaperone/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createTokenAccess } from '../src/access.ts';
import { type Collector, createCollector } from '../src/collector.ts';
import { aPod, aSession, type FixtureSegment, readers, silent, trust } from '../src/evidence.fixture.ts';

async function aCollector() {
  const directory = await temporaryDirectory();
  onTestFinished(() => directory[Symbol.asyncDispose]());
  const logKey = generateSigner();
  const errors: string[] = [];
  const logger = { ...silent, error: (message: string) => void errors.push(message) };
  const open = async (): Promise<Collector> => {
    const collector = await createCollector({
      directory: directory.path,
      trust,
      logKey,
      readers,
      access: createTokenAccess('t'),
      logger,
    });
    onTestFinished(() => collector.close());
    return collector;
  };
  return { open, errors };
}

/** A pod that believes receipts as its sidecar would. */
class Pod {
  readonly identity = aPod();
  readonly receipts: Buffer[] = [];
  readonly #sealed = new Map<string, FixtureSegment>();
  held: HeldCheckpoint | undefined;
  nkey = '';

  session(segments: number): FixtureSegment[] {
    const { sealed, session, nkey } = aSession({ session: newSessionId(), segments, pod: this.identity });
    this.nkey = nkey;
    for (const [number, each] of sealed.entries()) this.#sealed.set(`${session}/${number}`, each);
    return sealed;
  }
  follow(collector: Collector): this {
    collector.onReceipt((nkey, receipt) => void (nkey === this.nkey && this.receipts.push(receipt)));
    return this;
  }
  async send(collector: Collector, segment: FixtureSegment, held = this.held?.checkpoint.size ?? 0): Promise<void> {
    const outcome = await collector.ingest(segment.parcel);
    if (outcome.kind === 'refused') throw new Error(outcome.code);
    collector.ask({ nkey: this.nkey, session: outcome.session, number: outcome.number, held });
  }
  /** What the receipts that came so far prove; throws where one of them is not to be believed. */
  believe(collector: Collector): SegmentPlace[] {
    const leafOf = ({ session, number }: SegmentPlace): Buffer | undefined => {
      const sealed = this.#sealed.get(`${session}/${number}`);
      return sealed === undefined ? undefined : leafHash(segmentLeaf(parseSegment(sealed.bytes)));
    };
    const policy = trustIn(collector.logKey);
    return this.receipts.splice(0).flatMap((receipt) => {
      const { held, proved, unproved } = verifyReceipt(receipt, { origin: trust.origin, policy, held: this.held, leafOf });
      expect(unproved).toEqual([]);
      this.held = held;
      return proved;
    });
  }
}

describe('receipts of a collector', () => {
  test('prove every segment, one after the other, each from what was shown before', async () => {
    const { open } = await aCollector();
    const collector = await open();
    const [pod, other] = [new Pod().follow(collector), new Pod().follow(collector)];
    const proved: SegmentPlace[] = [];
    for (const segment of pod.session(5)) {
      await other.send(collector, other.session(1)[0] ?? segment);
      await pod.send(collector, segment);
      await collector.receipted();
      proved.push(...pod.believe(collector));
    }
    expect(proved.map(({ number }) => number)).toEqual([0, 1, 2, 3, 4]);
    expect(other.believe(collector)).toHaveLength(5);
    expect(pod.held?.checkpoint.size).toBe(10);
  });

  test('of many that are asked for at once are few, and are believed in the order in which they come', async () => {
    const { open } = await aCollector();
    const collector = await open();
    const pod = new Pod().follow(collector);
    const sealed = Array.from({ length: 7 }, () => pod.session(10)).flat();
    await Promise.all(sealed.map(({ parcel }) => collector.ingest(parcel)));
    for (const { bytes } of sealed) {
      const { session, number } = parseSegment(bytes).header;
      collector.ask({ nkey: pod.nkey, session, number, held: 0 });
    }
    await collector.receipted();
    expect(pod.receipts.length).toBeLessThan(10);
    const places = pod.believe(collector).map(({ session, number }) => `${session}/${number}`);
    expect(new Set(places).size).toBe(70);
    expect(pod.held?.checkpoint.size).toBe(70);
  });

  test('that were lost, or are of a collector that was started anew, are asked for again and go on from what the pod holds', async () => {
    const { open } = await aCollector();
    const first = await open();
    const pod = new Pod().follow(first);
    const [one, two, three] = pod.session(3);
    if (one === undefined || two === undefined || three === undefined) throw new Error('a session of three');
    await pod.send(first, one);
    await first.receipted();
    expect(pod.believe(first)).toHaveLength(1);
    await pod.send(first, two);
    await first.receipted();
    // It never arrived.
    expect(pod.receipts.splice(0)).toHaveLength(1);
    await pod.send(first, three);
    await first.receipted();
    expect(pod.believe(first)).toMatchObject([{ number: 2 }]);
    await first.close();
    const second = await open();
    pod.follow(second);
    await pod.send(second, two);
    await second.receipted();
    expect(pod.believe(second)).toMatchObject([{ number: 1 }]);
  });

  test('are given to nobody but the pod whose session it is, and of nothing that is not stored', async () => {
    const { open } = await aCollector();
    const collector = await open();
    const [pod, thief] = [new Pod().follow(collector), new Pod().follow(collector)];
    const [segment] = pod.session(2);
    thief.session(1);
    const { session } = parseSegment(segment?.bytes ?? Buffer.alloc(0)).header;
    await collector.ingest(segment?.parcel ?? Buffer.alloc(0));
    collector.ask({ nkey: thief.nkey, session, number: 0, held: 0 });
    collector.ask({ nkey: pod.nkey, session, number: 1, held: 0 });
    await collector.receipted();
    expect([...pod.receipts, ...thief.receipts]).toEqual([]);
  });

  test('of a log that is smaller than what a sidecar was shown say so here too', async () => {
    const { open, errors } = await aCollector();
    const collector = await open();
    const pod = new Pod().follow(collector);
    await pod.send(collector, pod.session(1)[0] as FixtureSegment, 1_000_000);
    await collector.receipted();
    expect(errors).toEqual(['a sidecar was shown a larger log than this one, which was rolled back or forked']);
    expect(parseReceipt(pod.receipts[0] ?? Buffer.alloc(0)).consistency).toEqual([]);
  });
});
