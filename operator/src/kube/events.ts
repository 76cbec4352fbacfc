import { createHash } from 'node:crypto';
import type { Code } from '@chaperone/api';
import type { Registration } from '@chaperone/evidence';
import { isNotFound, KINDS, type Kube, type KubeObject, pathOf } from '@chaperone/kube';

/** The object on which a person will look for the event. */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}
/** An object as an event names it. */
export function regardingOf(object: Pick<KubeObject, 'apiVersion' | 'kind' | 'metadata'>): Regarding {
  const { apiVersion = '', kind = '' } = object;
  const { name, namespace, uid } = object.metadata;
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }), ...(uid === undefined ? {} : { uid }) };
}
export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  readonly reason: Code;
  readonly action: string;
  readonly note: string;
}
export interface EventRecorderOptions {
  readonly kube: Kube;
  /** Pod name of this replica. */
  readonly instance: string;
  readonly now?: () => number;
  readonly onError?: (error: unknown) => void;
}

/** The API server refuses notes over 1024 bytes. */
const MAX_NOTE = 1000;
/** The same event again within this time becomes a count on the first one. */
const SERIES_MS = 300_000;
const MAX_REMEMBERED = 4096;
/** Cluster-scoped objects have their events here. */
const DEFAULT_NAMESPACE = 'default';

/** Writes events.k8s.io/v1 Events; the same one again within five minutes is counted, not repeated. Never throws. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #recent = new Map<string, { name: string; count: number; at: number }>();

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  /** A warning where people look for it: at the pod. */
  warnPod({ namespace, pod = '', podUid = '' }: Registration['agent'], reason: Code, action: string, note: string): void {
    void this.emit(regardingOf({ ...KINDS.pods, metadata: { namespace, name: pod, uid: podUid } }), {
      type: 'Warning',
      reason,
      action,
      note,
    });
  }

  async emit(regarding: Regarding, event: EventNote): Promise<void> {
    const now = (this.#options.now ?? Date.now)();
    const key = createHash('sha256')
      .update(JSON.stringify([regarding, event]))
      .digest('hex')
      .slice(0, 16);
    const time = new Date(now).toISOString().replace('Z', '000Z');
    const seen = this.#recent.get(key);
    try {
      if (seen !== undefined && now - seen.at < SERIES_MS) {
        seen.count += 1;
        await this.#count(regarding, seen, time);
        return;
      }
      const name = `${regarding.name.slice(0, 200)}.${key}${now.toString(16)}`;
      this.#remember(key, { name, count: 1, at: now });
      await this.#create(regarding, event, name, time);
    } catch (error) {
      if (isNotFound(error)) this.#recent.delete(key);
      this.#options.onError?.(error);
    }
  }

  async #create(regarding: Regarding, event: EventNote, name: string, time: string): Promise<void> {
    const namespace = regarding.namespace ?? DEFAULT_NAMESPACE;
    await this.#options.kube.request({
      method: 'POST',
      path: pathOf(KINDS.events, { namespace }),
      body: {
        apiVersion: KINDS.events.apiVersion,
        kind: KINDS.events.kind,
        metadata: { name, namespace },
        eventTime: time,
        reportingController: 'chaperone.dev/operator',
        reportingInstance: this.#options.instance,
        ...event,
        note: event.note.slice(0, MAX_NOTE),
        regarding,
      },
    });
  }

  async #count(regarding: Regarding, seen: { name: string; count: number }, time: string): Promise<void> {
    await this.#options.kube.request({
      method: 'PATCH',
      path: pathOf(KINDS.events, { namespace: regarding.namespace ?? DEFAULT_NAMESPACE, name: seen.name }),
      contentType: 'application/merge-patch+json',
      body: { series: { count: seen.count, lastObservedTime: time } },
    });
  }

  #remember(key: string, entry: { name: string; count: number; at: number }): void {
    this.#recent.delete(key);
    this.#recent.set(key, entry);
    const oldest = this.#recent.keys().next();
    if (this.#recent.size > MAX_REMEMBERED && oldest.done === false) this.#recent.delete(oldest.value);
  }
}
