import type { ApiError, AuthState, SignInResult } from '@chaperone/evidence';
import { createStore } from './store.ts';

/** What the collector says no with, or `Offline` where it says nothing. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Any failure as one that a page can show. */
export function asServerError(error: unknown): ServerError {
  return error instanceof ServerError ? error : new ServerError('Unavailable', 'the page could not read the answer');
}

/** Who is signed in; undefined until the collector has said so. */
export const auth = createStore<AuthState | undefined>(undefined);

/** The collector's clock when ours, which nobody sets and which begins with the page, was at 0. */
let clockStart = Date.now() - performance.now();
/** Now, by the collector's clock: what it recorded is compared with nothing else. */
export function serverNow(): number {
  return clockStart + performance.now();
}

export function setServerNow(now: number): void {
  clockStart = now - performance.now();
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const response = await reach(path, init);
  if (response.status === 204) return undefined as T;
  const said: unknown = await response.json().catch(() => undefined);
  if (response.ok && said !== undefined) return said as T;
  throw refusal(response, said);
}

function refusal(response: Response, said: unknown): ServerError {
  const { code = 'Unavailable', message = `the collector answered ${response.status}` } = (said ?? {}) as Partial<
    Pick<ApiError, 'message'> & { code: string }
  >;
  const state = auth.get();
  if (code === 'NotSignedIn' && state?.user !== undefined) {
    const { user: _user, expiresAt: _expiresAt, ...signedOut } = state;
    auth.set(signedOut);
  }
  return new ServerError(code, message);
}

/** The bytes at a path, at most so many. @param hear - how many have come */
export async function download(path: string, most: number, signal: AbortSignal, hear: (bytes: number) => void): Promise<Blob> {
  const response = await reach(path, { signal });
  if (!response.ok || response.body === null) throw refusal(response, await response.json().catch(() => undefined));
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body.getReader();
  try {
    for (let [bytes, next] = [0, await reader.read()]; !next.done; next = await reader.read()) {
      bytes += next.value.length;
      if (bytes > most) throw new ServerError('LimitExceeded', 'there is more of it than this page takes');
      pieces.push(next.value);
      hear(bytes);
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof ServerError) throw cause;
    throw new ServerError('Offline', 'what the collector was sending ended early', { cause });
  } finally {
    await reader.cancel().catch(() => undefined);
  }
  return new Blob(pieces);
}

const AGAIN_MS = 300;

/** Reading is tried once more: a laptop that wakes, or changes its network, loses what was on its way. Nothing else is sent twice. */
async function reach(path: string, init: RequestInit, again = init.method === undefined): Promise<Response> {
  try {
    return await fetch(path, { ...init, credentials: 'same-origin', redirect: 'error' });
  } catch (cause) {
    if (init.signal?.aborted === true) throw cause;
    if (!again) throw new ServerError('Offline', 'the collector does not answer', { cause });
  }
  await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  return reach(path, init, false);
}

export function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return ask(path, signal === undefined ? {} : { signal });
}

/** Everything but reading: with the header that a foreign page cannot send. */
export function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-chaperone-console': '1' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

export async function loadAuth(): Promise<void> {
  const state = await get<AuthState>('/auth/state');
  setServerNow(state.now);
  auth.set(state);
}

/** Exchanges what a person brought for a session of this browser; the path is the server's word. */
export async function signIn(proof: string): Promise<string> {
  const { path } = await post<SignInResult>('/auth/sign-in', { proof });
  await loadAuth();
  return path;
}

export async function signOut(): Promise<void> {
  await post<undefined>('/auth/sign-out', {});
  await loadAuth();
}
