import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  decodeParcel,
  leafHash,
  parseSegment,
  segmentLeaf,
  type Trust,
  type TrustPolicy,
  verifyReceipt,
} from '@chaperone/evidence';
import type { Collector } from '../src/collector.ts';
import { ask, verdictOf } from './offline.ts';
import type { Frame, Link } from './tapped-nats.ts';

/** Of a session, with room. */
const MAX_RECORDS = 50;

interface Dump {
  readonly segments: readonly { readonly session: string; readonly number: number }[];
  readonly findings: readonly unknown[];
}
interface Page {
  readonly items: readonly { readonly seq: number; readonly type: string; readonly message?: string }[];
}

export interface ModelOptions {
  readonly spool: string;
  readonly trust: Pick<Trust, 'origin' | 'enrolmentKeys'>;
  readonly policy: TrustPolicy;
}

/**
 * What must exist, known from nothing but what a recorder promised, what passed between sidecar and broker, and the names in the spool:
 * every promised record is in the log once and in order, and nothing leaves the spool whose receipt did not arrive and prove it.
 */
export class DeliveryModel {
  readonly #options: ModelOptions;
  /** Of each session the messages of its notes, as they were promised. */
  readonly promised = new Map<string, string[]>();
  readonly #leaves = new Map<string, Buffer>();
  readonly #proved = new Set<string>();
  readonly #spooled = new Set<string>();
  /** The largest checkpoint of which a receipt went on. */
  #shown: { readonly note: Buffer; readonly size: number } | undefined;
  readonly faults: string[] = [];

  constructor(options: ModelOptions) {
    this.#options = options;
  }

  /** How many segments went to the broker. */
  get sent(): number {
    return this.#leaves.size;
  }

  /** Whether one was proved that was sent for the first time when `sent` others had been. */
  provedAfter(sent: number): boolean {
    return [...this.#leaves.keys()].slice(sent).some((place) => this.#proved.has(place));
  }

  /** To be told of each message before it passes. */
  readonly watch = (link: Link, way: 'up' | 'down', { verb, subject, body }: Frame): void => {
    if (link !== 'sidecar') return;
    if (way === 'up' && verb === 'HPUB' && subject.startsWith('evidence.')) this.#sent(body);
    if (way === 'down' && verb === 'MSG' && subject.startsWith('receipt.')) this.#receipted(body);
  };

  #sent(body: Buffer): void {
    const parcel = body.subarray(body.indexOf('\r\n\r\n') + 4);
    if (parcel.length === 0) return;
    const segment = parseSegment(decodeParcel(Buffer.from(parcel)).segment);
    const { session, number } = segment.header;
    const [place, leaf] = [`${session}.${number}`, leafHash(segmentLeaf(segment))];
    if (this.#leaves.get(place)?.equals(leaf) === false) this.faults.push(`${place} was sent with two contents`);
    this.#leaves.set(place, leaf);
  }

  #receipted(body: Buffer): void {
    const { origin } = this.#options.trust;
    const leafOf = ({ session, number }: { session: string; number: number }) => this.#leaves.get(`${session}.${number}`);
    const { held, proved, unproved } = verifyReceipt(body, { origin, policy: this.#options.policy, held: undefined, leafOf });
    for (const { session, number } of proved) this.#proved.add(`${session}.${number}`);
    for (const { session, number } of unproved) this.faults.push(`a receipt does not prove ${session}.${number}`);
    const { size } = held.checkpoint;
    if (size > (this.#shown?.size ?? 0)) this.#shown = { note: held.note, size };
  }

  /** Looks at the spool: a segment that was there and is not, or is empty, must have been proved before. */
  look(): void {
    const { spool } = this.#options;
    const there = new Set<string>();
    for (const name of readdirSync(spool)) {
      const place = /^(.*)\.seg$/.exec(name)?.[1];
      if (place !== undefined && statSync(join(spool, name), { throwIfNoEntry: false })?.size) there.add(place);
    }
    for (const place of there) this.#spooled.add(place);
    for (const place of this.#spooled) {
      if (there.has(place)) continue;
      this.#spooled.delete(place);
      if (!this.#proved.has(place)) this.faults.push(`${place} left the spool without a receipt`);
    }
  }

  /** Holds the collector, which has everything by now, against what was promised. */
  async judge(collector: Collector): Promise<void> {
    const { segments, findings } = (await collector.dump()) as Dump;
    if (findings.length > 0) this.faults.push(`findings: ${JSON.stringify(findings)}`);
    const stored = segments.map(({ session, number }) => `${session}.${number}`);
    const checkpoint = await (await ask(collector, 'log/checkpoint')).text();
    if (new Set(stored).size !== stored.length || checkpoint.split('\n')[1] !== String(stored.length))
      this.faults.push(`the log has ${checkpoint.split('\n')[1]} entries of ${new Set(stored).size} segments`);
    for (const place of new Set(stored).symmetricDifference(this.#proved))
      this.faults.push(`${place} is stored or proved, not both`);
    const { policy, trust } = this.#options;
    for (const [session, messages] of this.promised) {
      const said = await verdictOf(collector, session, { policy, since: this.#shown?.note, enrolment: trust });
      if (said !== 'sound complete append-only verified kept') this.faults.push(`${session}: ${said}`);
      const { items } = (await (await ask(collector, `sessions/${session}/records?limit=${MAX_RECORDS}`)).json()) as Page;
      const kept = items.flatMap(({ type, message = '' }) => (type === 'note' ? [message] : []));
      if (kept.join('\n') !== messages.join('\n') || items.some(({ seq }, at) => seq !== at))
        this.faults.push(`${session}: ${kept.length} notes are not the ${messages.length} that were promised`);
    }
    const before = JSON.stringify(await collector.dump());
    await collector.reindex();
    if (JSON.stringify(await collector.dump()) !== before) this.faults.push('an index built again is another');
  }
}
