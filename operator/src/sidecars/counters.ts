import { createHash } from 'node:crypto';
import {
  COUNTER_MAPS,
  type Counted,
  countsOn,
  type CounterStatement,
  EvidenceError,
  orUndefined,
  Registration,
  type Signed,
  type SignedCounter,
  StoredCounter,
  verifyCounter,
} from '@chaperone/evidence';
import { createIfAbsent, getObject, isConflict, KINDS, type Kube, pathOf } from '@chaperone/kube';
import { Refusal } from './refusal.ts';

/** ConfigMaps hold 1 MiB each: with 2 kB for most pods all of them hold about 28,000. */
const MAX_SHARD_CHARS = 900_000;
/** What the pods of one namespace may take of a ConfigMap: whoever makes many pods leaves half of each to others. */
const NAMESPACE_SHARE = 0.5;
/** Each ConfigMap is written so often at most, with all that changed in it. */
const WRITE_MS = 10_000;
const ATTEMPTS = 5;
/** What is missing of a pod that is gone is shown for so long. */
const KEEP_MS = 7 * 86_400_000;
const MAX_POLICIES = 16;

/** The newest counter of one pod, and whether the pod is there. */
export interface KeptCounter extends Counted {
  readonly podUid: string;
  readonly agent: Registration['agent'];
  readonly statement: CounterStatement;
  readonly receivedAt: number;
  readonly goneAt: number | undefined;
  readonly policies: readonly string[];
}

interface Shard {
  version: string | undefined;
  /** Characters that its pods take: in all, of each, and of each namespace. */
  used: number;
  readonly sizes: Map<string, number>;
  readonly namespaces: Map<string, number>;
  /** Pods of which something is not written yet. */
  readonly dirty: Set<string>;
  writtenAt: number;
  timer: NodeJS.Timeout | undefined;
  writing: Promise<void> | undefined;
}

export interface PodCountersOptions {
  readonly kube: Kube;
  readonly namespace: string;
  readonly origin: string;
  /** Names of the policies that are in force for a pod. */
  readonly policiesOf: (podUid: string) => readonly string[];
  readonly now?: () => number;
  readonly writeMs?: number;
  readonly maxShardChars?: number;
  /** A pod's counter was refused, because there is no room for it. */
  readonly onFull?: (agent: Registration['agent']) => void;
  readonly onError?: (error: unknown) => void;
}

/**
 * How much evidence each pod said there is, as it signed it last: in ConfigMaps `chaperone-counters-*`, which the collector can read and not
 * write, so that it outlives pod and operator. What is taken is written at once where nothing was written lately, and else within
 * {@link WRITE_MS}: who takes over from a leader that crashed hears from every sidecar that still lives.
 */
export class PodCounters {
  readonly #o: PodCountersOptions;
  readonly #now: () => number;
  readonly #kept = new Map<string, KeptCounter>();
  readonly #enrolled = new Map<string, { readonly nkey: string; readonly registration: Signed }>();
  readonly #shards: readonly Shard[];
  /** Pods that are gone of which the collector said that nothing is missing. */
  readonly #settled = new Set<string>();
  #closed = false;

  constructor(options: PodCountersOptions) {
    this.#o = options;
    this.#now = options.now ?? Date.now;
    this.#shards = COUNTER_MAPS.map(() => ({
      version: undefined,
      used: 0,
      sizes: new Map<string, number>(),
      namespaces: new Map<string, number>(),
      dirty: new Set<string>(),
      writtenAt: Number.NEGATIVE_INFINITY,
      timer: undefined,
      writing: undefined,
    }));
  }

  /** Reads what earlier leaders wrote. */
  async load(exists: (podUid: string) => boolean): Promise<void> {
    for (const [at, shard] of this.#shards.entries()) {
      const map = await getObject(this.#o.kube, KINDS.configMaps, this.#at(at));
      shard.version = map?.metadata.resourceVersion;
      for (const [podUid, text] of Object.entries((map?.data ?? {}) as Record<string, string>)) {
        const kept = this.#read(podUid, text);
        if (kept !== undefined) this.#keep(kept);
        else this.#o.onError?.(new Error(`the counter of pod ${podUid} cannot be read`));
        if (kept !== undefined && !exists(podUid)) this.gone(podUid);
      }
    }
  }

  /** Who a pod is; before it, nothing is taken of it. */
  enrolled(podUid: string, nkey: string, registration: Signed): void {
    this.#enrolled.set(podUid, { nkey, registration });
  }

  /** Takes a statement over. @throws Refusal NotEnrolled, CounterRefused, CountersFull */
  take(podUid: string, signed: SignedCounter): void {
    const enrolled = this.#enrolled.get(podUid);
    if (enrolled === undefined) throw new Refusal('NotEnrolled', 'enrol first');
    const counted = this.#verified(signed, enrolled.nkey);
    const before = this.#kept.get(podUid);
    const isSame = before?.statement.counter.body === signed.counter.body;
    if (before !== undefined && !isSame && !countsOn(before, counted))
      throw new Refusal('CounterRefused', 'the counter goes back behind one that was taken');
    const { agent } = Registration.parse(JSON.parse(enrolled.registration.body));
    const policies = this.#o.policiesOf(podUid).slice(0, MAX_POLICIES);
    const statement = { registration: enrolled.registration, ...signed };
    this.#room({ podUid, agent, ...counted, statement, receivedAt: this.#now(), goneAt: undefined, policies });
    this.#changed(podUid);
  }

  #verified(signed: SignedCounter, nkey: string): Counted {
    try {
      return verifyCounter(signed, { nkey, origin: this.#o.origin });
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      throw new Refusal('CounterRefused', error.message);
    }
  }

  /**
   * Keeps it where its ConfigMap has room and its namespace's share is not used up. Pods that are gone and of which nothing is missing make
   * place, first those of the namespace that takes the most, the oldest first; what may be missing of others stays, whoever makes pods.
   * @throws Refusal CountersFull
   */
  #room(kept: KeptCounter): void {
    const shard = this.#shards[shardOf(kept.podUid)];
    if (shard === undefined) return;
    const { namespace } = kept.agent;
    const grows = sizeOf(kept) - (shard.sizes.get(kept.podUid) ?? 0);
    const most = this.#o.maxShardChars ?? MAX_SHARD_CHARS;
    const ofShare = (): number => (shard.namespaces.get(namespace) ?? 0) + grows - most * NAMESPACE_SHARE;
    const ofAll = (): number => shard.used + grows - most;
    if (ofShare() > 0) this.#clear(shard, ofShare, (each) => each.agent.namespace === namespace);
    if (ofAll() > 0) this.#clear(shard, ofAll, () => true);
    const isFull = grows > 0 && (ofShare() > 0 || ofAll() > 0);
    if (!isFull) return this.#keep(kept);
    this.#o.onFull?.(kept.agent);
    throw new Refusal('CountersFull', `there is no room for more counters of namespace ${namespace}`);
  }

  /** Forgets pods that make place until enough is there, or none is left that does. */
  #clear(shard: Shard, over: () => number, mayGo: (kept: KeptCounter) => boolean): void {
    const taken = ({ agent }: KeptCounter): number => shard.namespaces.get(agent.namespace) ?? 0;
    const gone = [...shard.sizes.keys()]
      .flatMap((podUid) => this.#kept.get(podUid) ?? [])
      .filter((kept) => this.#isSettled(kept) && mayGo(kept))
      .toSorted((a, b) => taken(b) - taken(a) || (a.goneAt ?? 0) - (b.goneAt ?? 0));
    for (const { podUid } of gone) if (over() > 0) this.forget(podUid);
  }

  /** Whether the pod is gone and nothing of it is missing: it named nothing, or the collector has all that it named. */
  #isSettled({ podUid, goneAt, counter }: KeptCounter): boolean {
    return goneAt !== undefined && (this.#settled.has(podUid) || counter.pending.length + counter.more === 0);
  }

  /** By the collector's word nothing is missing of a pod that is gone. It stays for whom that word is no proof, for as long as there is room. */
  settle(podUid: string): void {
    if (this.#kept.get(podUid)?.goneAt !== undefined) this.#settled.add(podUid);
  }

  /** How full the fullest ConfigMap is, from 0 to 1. */
  get fill(): number {
    return Math.max(...this.#shards.map(({ used }) => used)) / (this.#o.maxShardChars ?? MAX_SHARD_CHARS);
  }

  /** The pod is gone for good; what it said stays until all of it has arrived. */
  gone(podUid: string): void {
    this.#enrolled.delete(podUid);
    const kept = this.#kept.get(podUid);
    if (kept === undefined || kept.goneAt !== undefined) return;
    this.#keep({ ...kept, goneAt: this.#now() });
    this.#changed(podUid);
  }

  /** All of it has arrived, or it was shown long enough. */
  forget(podUid: string): void {
    const kept = this.#kept.get(podUid);
    if (kept === undefined) return;
    this.#kept.delete(podUid);
    this.#settled.delete(podUid);
    this.#resize(kept, 0);
    this.#changed(podUid);
  }

  list(): KeptCounter[] {
    return [...this.#kept.values()];
  }

  /** Forgets what was shown for long enough. */
  sweep(): void {
    for (const { podUid, goneAt } of this.list()) if (goneAt !== undefined && this.#now() - goneAt > KEEP_MS) this.forget(podUid);
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const shard of this.#shards) clearTimeout(shard.timer);
    await Promise.all(
      this.#shards.map(async (shard, at) => {
        await shard.writing;
        await this.#write(at);
      }),
    );
  }

  #keep(kept: KeptCounter): void {
    this.#kept.set(kept.podUid, kept);
    this.#resize(kept, sizeOf(kept));
  }

  #resize({ podUid, agent: { namespace } }: KeptCounter, size: number): void {
    const shard = this.#shards[shardOf(podUid)];
    if (shard === undefined) return;
    const grows = size - (shard.sizes.get(podUid) ?? 0);
    const ofNamespace = (shard.namespaces.get(namespace) ?? 0) + grows;
    shard.used += grows;
    shard.namespaces.set(namespace, ofNamespace);
    shard.sizes.set(podUid, size);
    if (size === 0) shard.sizes.delete(podUid);
    if (ofNamespace === 0) shard.namespaces.delete(namespace);
  }

  #changed(podUid: string): void {
    const at = shardOf(podUid);
    const shard = this.#shards[at];
    shard?.dirty.add(podUid);
    this.#plan(at);
  }

  #plan(at: number): void {
    const shard = this.#shards[at];
    if (shard === undefined || this.#closed || shard.timer !== undefined || shard.writing !== undefined) return;
    const wait = Math.max(0, shard.writtenAt + (this.#o.writeMs ?? WRITE_MS) - performance.now());
    shard.timer = setTimeout(() => {
      shard.timer = undefined;
      shard.writing = this.#write(at).finally(() => {
        shard.writing = undefined;
        if (shard.dirty.size > 0) this.#plan(at);
      });
    }, wait);
  }

  /** Never rejects: what could not be written is written with what comes next. */
  async #write(at: number): Promise<void> {
    const shard = this.#shards[at];
    if (shard === undefined || shard.dirty.size === 0) return;
    shard.writtenAt = performance.now();
    const dirty = [...shard.dirty];
    shard.dirty.clear();
    try {
      for (let attempt = 1; !(await this.#patched(shard, at, dirty)); attempt += 1)
        if (attempt >= ATTEMPTS) throw new Error('others write the counters too');
    } catch (error) {
      for (const podUid of dirty) shard.dirty.add(podUid);
      this.#o.onError?.(error);
    }
  }

  /** False: somebody else wrote meanwhile. */
  async #patched(shard: Shard, at: number, dirty: readonly string[]): Promise<boolean> {
    if (shard.version === undefined) {
      await createIfAbsent(this.#o.kube, KINDS.configMaps, this.#at(at), () => Promise.resolve({ data: {} }));
      await this.#reread(shard, at);
    }
    try {
      await this.#patch(shard, at, dirty);
      return true;
    } catch (error) {
      if (!isConflict(error)) throw error;
      await this.#reread(shard, at);
      return false;
    }
  }

  async #patch(shard: Shard, at: number, dirty: readonly string[]): Promise<void> {
    const data = Object.fromEntries(
      dirty.map((podUid) => {
        const kept = this.#kept.get(podUid);
        return [podUid, kept === undefined ? null : textOf(kept)];
      }),
    );
    const { metadata } = await this.#o.kube.request<{ metadata: { resourceVersion?: string } }>({
      method: 'PATCH',
      path: pathOf(KINDS.configMaps, this.#at(at)),
      contentType: 'application/merge-patch+json',
      // The version keeps a leader that was replaced from putting back what its successor was told.
      body: { metadata: { resourceVersion: shard.version }, data },
    });
    shard.version = metadata.resourceVersion;
  }

  /** Somebody else wrote: what counts further stands. */
  async #reread(shard: Shard, at: number): Promise<void> {
    const map = await getObject(this.#o.kube, KINDS.configMaps, this.#at(at));
    shard.version = map?.metadata.resourceVersion;
    for (const [podUid, text] of Object.entries((map?.data ?? {}) as Record<string, string>)) {
      const [theirs, ours] = [this.#read(podUid, text), this.#kept.get(podUid)];
      if (theirs !== undefined && ours !== undefined && countsOn(ours, theirs)) this.#keep(theirs);
    }
  }

  #at(shard: number): { namespace: string; name: string } {
    return { namespace: this.#o.namespace, name: COUNTER_MAPS[shard] ?? '' };
  }

  #read(podUid: string, text: string): KeptCounter | undefined {
    const parsed = StoredCounter.safeParse(jsonOf(text));
    if (!parsed.success) return undefined;
    const { receivedAt, goneAt, policies, ...statement } = parsed.data;
    const registration = Registration.safeParse(jsonOf(statement.registration.body));
    if (!registration.success) return undefined;
    const { nkey, agent, origin } = registration.data;
    const counted = orUndefined(() => verifyCounter(statement, { nkey, origin }));
    return counted && { podUid, agent, ...counted, statement, receivedAt, goneAt, policies };
  }
}

function textOf({ statement, receivedAt, goneAt, policies }: KeptCounter): string {
  const stored: StoredCounter = {
    ...statement,
    receivedAt,
    ...(goneAt === undefined ? {} : { goneAt }),
    policies: [...policies],
  };
  return JSON.stringify(stored);
}

const sizeOf = (kept: KeptCounter): number => textOf(kept).length + kept.podUid.length;

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const shardOf = (podUid: string): number => (createHash('sha256').update(podUid).digest()[0] ?? 0) % COUNTER_MAPS.length;
