import { createHash } from 'node:crypto';
import { createIfAbsent, getObject, isConflict, KINDS, type Kube, pathOf } from '@chaperone/kube';

/** 16 ConfigMaps hold about 150,000 pods. */
const SHARDS = 16;
const ATTEMPTS = 5;

/**
 * Which nkey each pod registered. One nkey per pod and one pod per nkey, for the pod's whole life: a change of leader or a
 * restart must not let a pod take a second one, so it is written down before the enrolment is answered.
 */
export class Enrolments {
  readonly #kube: Kube;
  readonly #namespace: string;
  readonly #nkeys = new Map<string, string>();
  readonly #pods = new Map<string, string>();

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
      if (gone.length > 0) await this.#patch(shard, Object.fromEntries(gone), map?.metadata.resourceVersion);
    }
  }

  /** False if the pod has another nkey, or the nkey another pod. Throws if it could not be written down. */
  async bind(podUid: string, nkey: string): Promise<boolean> {
    if (this.#nkeys.get(podUid) === nkey) return true;
    if (this.#nkeys.has(podUid) || this.#pods.has(nkey)) return false;
    // Taken before the write, so that two requests at once cannot both pass.
    this.#keep(podUid, nkey);
    try {
      await this.#write(podUid, nkey);
      return true;
    } catch (error) {
      this.#drop(podUid);
      throw error;
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
    await this.#patch(shardOf(podUid), { [podUid]: null });
  }

  async #write(podUid: string, nkey: string): Promise<void> {
    const shard = shardOf(podUid);
    const at = { namespace: this.#namespace, name: nameOf(shard) };
    for (let attempt = 1; ; attempt += 1) {
      const map = await createIfAbsent(this.#kube, KINDS.configMaps, at, () => Promise.resolve({ data: {} }));
      const theirs = (map.data as Record<string, string> | undefined)?.[podUid];
      if (theirs === nkey) return;
      if (theirs !== undefined) throw new Error('the pod was enrolled by another leader meanwhile');
      try {
        await this.#patch(shard, { [podUid]: nkey }, map.metadata.resourceVersion);
        return;
      } catch (error) {
        if (!isConflict(error) || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  async #patch(shard: number, data: Record<string, string | null>, resourceVersion?: string): Promise<void> {
    await this.#kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.configMaps, { namespace: this.#namespace, name: nameOf(shard) }),
      contentType: 'application/merge-patch+json',
      body: { ...(resourceVersion === undefined ? {} : { metadata: { resourceVersion } }), data },
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

const nameOf = (shard: number): string => `chaperone-enrolments-${shard.toString(16)}`;
const shardOf = (podUid: string): number => (createHash('sha256').update(podUid).digest()[0] ?? 0) % SHARDS;
