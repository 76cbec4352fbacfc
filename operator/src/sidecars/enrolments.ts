import { createHash } from 'node:crypto';
import { createIfAbsent, getObject, isConflict, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';

/** 16 ConfigMaps hold about 150,000 pods. */
const SHARDS = 16;
const ATTEMPTS = 5;
/** Changes of one write, some 110 bytes each. */
const MAX_CHANGES = 1_000;

interface Change {
  readonly podUid: string;
  /** Null: the pod is gone. */
  readonly nkey: string | null;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** One ConfigMap. One write of it is on its way at a time; what comes meanwhile is written together: many pods start at once. */
interface Shard {
  /** As it was after the last write; undefined where somebody has to look. */
  map: KubeObject | undefined;
  changes: Change[];
  isWriting: boolean;
}

/**
 * Which nkey each pod registered. One nkey per pod and one pod per nkey, for the pod's whole life: a change of leader or a
 * restart must not let a pod take a second one, so it is written down before the enrolment is answered.
 */
export class Enrolments {
  readonly #kube: Kube;
  readonly #namespace: string;
  readonly #nkeys = new Map<string, string>();
  readonly #pods = new Map<string, string>();
  /** Bindings that are not written down yet. */
  readonly #writes = new Map<string, Promise<void>>();
  readonly #shards: readonly Shard[] = Array.from({ length: SHARDS }, () => ({
    map: undefined,
    changes: [],
    isWriting: false,
  }));

  constructor(kube: Kube, namespace: string) {
    this.#kube = kube;
    this.#namespace = namespace;
  }

  /** Reads what earlier leaders wrote, and forgets pods that are gone. */
  async load(exists: (podUid: string) => boolean): Promise<void> {
    this.#nkeys.clear();
    this.#pods.clear();
    for (let shard = 0; shard < SHARDS; shard += 1) {
      const map = await getObject(this.#kube, KINDS.configMaps, { namespace: this.#namespace, name: nameOf(shard) });
      const entries = Object.entries((map?.data ?? {}) as Record<string, string>);
      for (const [podUid, nkey] of entries) if (exists(podUid)) this.#keep(podUid, nkey);
      const gone = entries.filter(([podUid]) => !exists(podUid)).map(([podUid]) => [podUid, null] as const);
      if (gone.length > 0) await this.#patch(shard, gone, map?.metadata.resourceVersion);
    }
  }

  /** False if the pod has another nkey, or the nkey another pod. Throws if it could not be written down. */
  async bind(podUid: string, nkey: string): Promise<boolean> {
    if (this.#nkeys.get(podUid) === nkey) {
      await this.#writes.get(podUid);
      return true;
    }
    if (this.#nkeys.has(podUid) || this.#pods.has(nkey)) return false;
    // Taken before the write, so that two requests at once cannot both pass.
    this.#keep(podUid, nkey);
    const write = this.#write(podUid, nkey);
    this.#writes.set(podUid, write);
    try {
      await write;
      return true;
    } catch (error) {
      this.#drop(podUid);
      throw error;
    } finally {
      this.#writes.delete(podUid);
    }
  }

  /** The nkey that the pod registered. */
  nkeyOf(podUid: string): string | undefined {
    return this.#nkeys.get(podUid);
  }

  /** The pod is gone for good. */
  async forget(podUid: string): Promise<void> {
    if (!this.#nkeys.has(podUid)) return;
    this.#drop(podUid);
    await this.#write(podUid, null);
  }

  #write(podUid: string, nkey: string | null): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const at = shardOf(podUid);
    this.#shards[at]?.changes.push({ podUid, nkey, resolve, reject });
    void this.#flush(at);
    return promise;
  }

  async #flush(at: number): Promise<void> {
    const shard = this.#shards[at];
    if (shard === undefined || shard.isWriting) return;
    shard.isWriting = true;
    while (shard.changes.length > 0) {
      const changes = shard.changes.splice(0, MAX_CHANGES);
      try {
        await this.#apply(at, shard, changes);
        for (const { resolve } of changes) resolve();
      } catch (error) {
        shard.map = undefined;
        for (const { reject } of changes) reject(error);
      }
    }
    shard.isWriting = false;
  }

  async #apply(at: number, shard: Shard, changes: readonly Change[]): Promise<void> {
    const name = { namespace: this.#namespace, name: nameOf(at) };
    for (let attempt = 1; ; attempt += 1) {
      shard.map ??= await createIfAbsent(this.#kube, KINDS.configMaps, name, () => Promise.resolve({ data: {} }));
      const wanted = stillWanted(changes, (shard.map.data ?? {}) as Record<string, string>);
      if (wanted.length === 0) return;
      try {
        shard.map = await this.#patch(at, wanted, shard.map.metadata.resourceVersion);
        return;
      } catch (error) {
        if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
        shard.map = undefined;
      }
    }
  }

  #patch(
    at: number,
    changes: readonly (readonly [podUid: string, nkey: string | null])[],
    resourceVersion?: string,
  ): Promise<KubeObject> {
    return this.#kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.configMaps, { namespace: this.#namespace, name: nameOf(at) }),
      contentType: 'application/merge-patch+json',
      body: { ...(resourceVersion === undefined ? {} : { metadata: { resourceVersion } }), data: Object.fromEntries(changes) },
    });
  }

  #keep(podUid: string, nkey: string): void {
    this.#nkeys.set(podUid, nkey);
    this.#pods.set(nkey, podUid);
  }
  #drop(podUid: string): void {
    const nkey = this.#nkeys.get(podUid);
    this.#nkeys.delete(podUid);
    if (nkey !== undefined) this.#pods.delete(nkey);
  }
}

/** The changes that are to be made to what is there; rejects those of pods that another leader enrolled by another key. */
function stillWanted(
  changes: readonly Change[],
  there: Readonly<Record<string, string>>,
): [podUid: string, nkey: string | null][] {
  const wanted: [string, string | null][] = [];
  for (const { podUid, nkey, reject } of changes) {
    const theirs = there[podUid];
    if (nkey !== null && theirs !== undefined && theirs !== nkey)
      reject(new Error('the pod was enrolled by another leader meanwhile'));
    else if (theirs !== (nkey ?? undefined)) wanted.push([podUid, nkey]);
  }
  return wanted;
}

const nameOf = (shard: number): string => `chaperone-enrolments-${shard.toString(16)}`;
const shardOf = (podUid: string): number => (createHash('sha256').update(podUid).digest()[0] ?? 0) % SHARDS;
