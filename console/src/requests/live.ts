import type { AccessRequest } from '@chaperone/api';
import { auth, loadAuth, serverNow, setServerNow } from '../server.ts';
import { createStore } from '../store.ts';
import { sectionOf } from './order.ts';
import { shareStream } from './share.ts';
import type { LiveViewer, News } from './stream.ts';

export type { LiveViewer } from './stream.ts';

export interface Live {
  /** live: what is shown is what is · stale: it was so at `asOf`, and we try again. */
  readonly state: 'connecting' | 'live' | 'stale';
  readonly asOf: number | undefined;
  readonly viewer: LiveViewer | undefined;
  /** By NAMESPACE/NAME; undefined until all that there is has come. */
  readonly requests: ReadonlyMap<string, AccessRequest> | undefined;
}

const NOTHING: Live = { state: 'connecting', asOf: undefined, viewer: undefined, requests: undefined };
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
    for (const request of requests?.values() ?? []) if (sectionOf(request, viewer, now) === 'you') count++;
  waiting.set(count);
}

/** Follows requests while somebody is signed in where there are some. */
export function startLive(): void {
  let stop: (() => void) | undefined;
  const onAuth = (): void => {
    const state = auth.get();
    const wanted = state?.user !== undefined && state.requests;
    if (wanted) stop ??= follow();
    if (wanted || stop === undefined) return;
    stop();
    stop = undefined;
    // Nothing of it stays for who comes next.
    show(NOTHING);
  };
  auth.follow(onAuth);
  onAuth();
}

function follow(): () => void {
  const following = new Following();
  const stop = shareStream(
    (news) => following.hear(news),
    () => following.all(),
  );
  return () => {
    following.stop();
    stop();
  };
}

/** Makes what is shown out of what is told. */
class Following {
  #viewer: LiveViewer | undefined;
  /** What has come before all of it has. */
  #first: Map<string, AccessRequest> | undefined;
  #changed: Map<string, AccessRequest> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  stop(): void {
    clearTimeout(this.#timer);
  }

  hear(news: News): void {
    switch (news.kind) {
      case 'viewer':
        setServerNow(news.now);
        this.#viewer = news.viewer;
        this.#first = new Map();
        return;
      case 'request':
        return this.#change(news.request);
      case 'settled':
        return this.#settle(news.now);
      case 'tick':
        setServerNow(news.now);
        return show({ ...live.get(), asOf: news.now });
      default:
        show({ ...live.get(), state: 'stale' });
        // Who is signed out learns it here, and nothing is opened again.
        loadAuth().catch(() => undefined);
    }
  }

  /** What there is, as a stream that begins would tell it. */
  all(): News[] {
    const { state, viewer, requests } = live.get();
    if (state !== 'live' || viewer === undefined || requests === undefined) return [];
    const now = serverNow();
    return [
      { kind: 'viewer', viewer, now },
      ...[...requests.values()].map((request): News => ({ kind: 'request', request })),
      { kind: 'settled', now },
    ];
  }

  #settle(now: number): void {
    // A tab that came while others were told has not heard the beginning, and is told it.
    if (this.#first === undefined) return;
    setServerNow(now);
    const requests = this.#first;
    this.#first = undefined;
    this.#changed = undefined;
    show({ state: 'live', asOf: now, viewer: this.#viewer, requests });
  }

  #change(request: AccessRequest): void {
    if (this.#first !== undefined) {
      this.#first.set(keyOf(request), request);
      return;
    }
    if (this.#changed === undefined) {
      this.#changed = new Map();
      this.#timer = setTimeout(() => {
        const now = live.get();
        const changed = this.#changed ?? [];
        this.#changed = undefined;
        if (now.requests !== undefined) show({ ...now, asOf: serverNow(), requests: new Map([...now.requests, ...changed]) });
      }, TOGETHER_MS);
    }
    this.#changed.set(keyOf(request), request);
  }
}
