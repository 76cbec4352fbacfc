import type { AccessRequest } from '@chaperone/api';
import { isOpen, type Viewer } from '@chaperone/api/requests';
import { auth, loadAuth, serverNow, setServerNow } from '../server.ts';
import { createStore } from '../store.ts';
import { sectionOf } from './order.ts';

/** Who looks, as the collector knows them. `decides`: decisions are taken here. */
export type LiveViewer = Viewer & { readonly decides: boolean };

export interface Live {
  /** live: what is shown is what is · stale: it was so at `asOf`, and we try again. */
  readonly state: 'connecting' | 'live' | 'stale';
  readonly asOf: number | undefined;
  readonly viewer: LiveViewer | undefined;
  /** By NAMESPACE/NAME; undefined until all that there is has come. */
  readonly requests: ReadonlyMap<string, AccessRequest> | undefined;
}

const NOTHING: Live = { state: 'connecting', asOf: undefined, viewer: undefined, requests: undefined };
/** The collector gives a sign of life every 15 s. */
const SILENCE_MS = 35_000;
const CHECK_MS = 5_000;
const [MIN_AGAIN_MS, MAX_AGAIN_MS] = [1_000, 30_000];
/** Changes that come together are drawn together. */
const TOGETHER_MS = 20;

export const live = createStore<Live>(NOTHING);
/** How many requests wait for this person. */
export const waiting = createStore(0);

export function keyOf({ metadata }: AccessRequest): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

/** What was read otherwise, such as the answer to a decision, unless something newer is known. */
export function learn(request: AccessRequest): void {
  const now = live.get();
  const known = now.requests?.get(keyOf(request));
  if (now.requests === undefined || (known !== undefined && versionOf(known) >= versionOf(request))) return;
  show({ ...now, requests: new Map(now.requests).set(keyOf(request), request) });
}

function versionOf({ metadata }: AccessRequest): number {
  return Number(metadata.resourceVersion ?? 0);
}

function show(next: Live): void {
  live.set(next);
  const { viewer, requests } = next;
  let count = 0;
  const now = serverNow();
  if (viewer !== undefined)
    for (const request of requests?.values() ?? [])
      if (isOpen(request.status?.state) && sectionOf(request, viewer, now) === 'you') count++;
  waiting.set(count);
}

/** Follows requests while somebody is signed in where there are some. */
export function startLive(): void {
  let following: Following | undefined;
  const onAuth = (): void => {
    const state = auth.get();
    const wanted = state?.user !== undefined && state.requests;
    if (wanted && following === undefined) following = new Following();
    if (wanted || following === undefined) return;
    following.stop();
    following = undefined;
    // Nothing of it stays for who comes next.
    show(NOTHING);
  };
  auth.follow(onAuth);
  onAuth();
}

/** One stream of requests, opened again whenever it is cut. */
class Following {
  #source: EventSource | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #heardAt = 0;
  #viewer: LiveViewer | undefined;
  /** What has come before all of it has. */
  #first: Map<string, AccessRequest> | undefined;
  #changed: Map<string, AccessRequest> | undefined;
  readonly #watchdog: ReturnType<typeof setInterval>;

  constructor() {
    this.#open();
    this.#watchdog = setInterval(this.#check, CHECK_MS);
    document.addEventListener('visibilitychange', this.#check);
    addEventListener('online', this.#check);
  }

  stop(): void {
    clearInterval(this.#watchdog);
    clearTimeout(this.#again);
    this.#source?.close();
    document.removeEventListener('visibilitychange', this.#check);
    removeEventListener('online', this.#check);
  }

  #open(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#first = new Map();
    this.#heardAt = performance.now();
    const source = new EventSource('/v1/requests?watch=1');
    this.#source = source;
    const on = (name: string, hear: (data: unknown) => void): void =>
      source.addEventListener(name, ({ data }: MessageEvent<string>) => {
        this.#heardAt = performance.now();
        hear(JSON.parse(data));
      });
    on('viewer', (data) => {
      const { now, ...viewer } = data as LiveViewer & { now: number };
      setServerNow(now);
      this.#viewer = viewer;
    });
    on('request', (data) => this.#hear(data as AccessRequest));
    on('settled', (data) => {
      const { now } = data as { now: number };
      setServerNow(now);
      const requests = this.#first;
      this.#first = undefined;
      this.#failures = 0;
      show({ state: 'live', asOf: now, viewer: this.#viewer, requests });
    });
    on('tick', (data) => {
      const { now } = data as { now: number };
      setServerNow(now);
      show({ ...live.get(), asOf: now });
    });
    // An answer other than 200 ends it for good, and of one that is cut the browser tells no more either.
    source.addEventListener('error', () => this.#cut());
  }

  #hear(request: AccessRequest): void {
    if (this.#first !== undefined) {
      this.#first.set(keyOf(request), request);
      return;
    }
    if (this.#changed === undefined)
      setTimeout(() => {
        const now = live.get();
        const requests = new Map([...(now.requests ?? []), ...(this.#changed ?? [])]);
        this.#changed = undefined;
        show({ ...now, asOf: serverNow(), requests });
      }, TOGETHER_MS);
    this.#changed ??= new Map();
    this.#changed.set(keyOf(request), request);
  }

  #cut(): void {
    this.#source?.close();
    this.#source = undefined;
    show({ ...live.get(), state: 'stale' });
    const most = Math.min(MAX_AGAIN_MS, MIN_AGAIN_MS * 2 ** this.#failures++);
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#open(), most * (0.5 + Math.random() / 2));
    // Who is signed out learns it here, and nothing is opened again.
    loadAuth().catch(() => undefined);
  }

  /** A stream that says nothing may be dead, and a device that slept does not know. */
  readonly #check = (): void => {
    if (this.#source !== undefined && performance.now() - this.#heardAt > SILENCE_MS) this.#cut();
    if (this.#source === undefined && document.visibilityState === 'visible' && this.#failures > 1) {
      this.#failures = 1;
      this.#open();
    }
  };
}
