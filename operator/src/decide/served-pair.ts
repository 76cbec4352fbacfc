import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';

/** Kubelets bring a changed Secret within about a minute. */
const CHECK_MS = 60_000;

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Certificate and key from files, read again each minute, so that a renewed one needs no restart. */
export class ServedPair {
  readonly #files: { readonly certFile: string; readonly keyFile: string };
  readonly #onError: (error: unknown) => void;
  readonly #checkMs: number;
  #server: Server | undefined;
  #current: Pair = { cert: '', key: '' };
  #timer: NodeJS.Timeout | undefined;

  constructor(
    files: { readonly certFile: string; readonly keyFile: string },
    onError: (error: unknown) => void,
    checkMs = CHECK_MS,
  ) {
    this.#files = files;
    this.#onError = onError;
    this.#checkMs = checkMs;
  }

  /** The pair; undefined while it cannot be read, which keeps nothing else from starting. */
  async start(): Promise<Pair | undefined> {
    this.#timer = setInterval(() => void this.#look(), this.#checkMs).unref();
    try {
      this.#current = await this.#read();
      return this.#current;
    } catch (error) {
      this.#onError(error);
      return undefined;
    }
  }
  attach(server: Server): void {
    this.#server = server;
  }
  stop(): void {
    clearInterval(this.#timer);
  }

  async #read(): Promise<Pair> {
    const [cert, key] = await Promise.all([readFile(this.#files.certFile, 'utf8'), readFile(this.#files.keyFile, 'utf8')]);
    return { cert, key };
  }

  /** Half of a new pair is refused by TLS itself, and the old one stays. */
  async #look(): Promise<void> {
    try {
      const pair = await this.#read();
      if (pair.cert === this.#current.cert && pair.key === this.#current.key) return;
      this.#server?.setSecureContext(pair);
      this.#current = pair;
    } catch (error) {
      this.#onError(error);
    }
  }
}
