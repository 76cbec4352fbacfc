import type { Channel, ChannelHandler } from '../wire/channel.ts';
import { encode } from '../wire/channel-messages.ts';
import type { Clock } from '../../platform.ts';
import { nobodyCanSay, PathLookup, type Place, type Resolve, followsLinks } from './path-lookup.ts';
import type { OpenUpstream } from './program-context.ts';

/** For one question, its channel included. */
const ANSWER_MS = 10_000;
/** For the host's program to end. */
const END_MS = 2_000;

export interface LookupOptions {
  readonly open: OpenUpstream;
  readonly clock: Clock;
  /** What the host calls itself, once it is there. */
  readonly hostIdent: () => string;
  /** What is said of a path where the host has no SFTP. */
  readonly withoutSftp: Resolve;
}

/** A channel beside the one on which paths are used, opened with the first question. */
export class LookupChannel {
  readonly #o: LookupOptions;
  readonly #gone = Promise.withResolvers<undefined>();
  readonly #closed = Promise.withResolvers<undefined>();
  #isGone = false;
  #isEnding = false;
  /** The host has begun to answer questions there. */
  #runs = false;
  #channel: Channel | undefined;
  #asking: Promise<Resolve> | undefined;

  constructor(options: LookupOptions) {
    this.#o = options;
  }

  /** Where a path leads; undefined: nobody can say, or not in time. */
  async resolve(path: string): Promise<Place | undefined> {
    const late = this.#o.clock.after(ANSWER_MS).then(() => undefined);
    this.#asking ??= this.#begin();
    const asked = this.#asking.then((resolve) => resolve(path));
    return Promise.race([asked, late, this.#gone.promise]);
  }

  /** Closes it once the host has ended what ran there: some let no other session begin before. */
  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#runs) {
      this.#channel?.eof();
      await Promise.race([this.#closed.promise, this.#o.clock.after(END_MS)]);
    }
    this.close();
  }

  close(): void {
    this.#isGone = true;
    this.#gone.resolve(undefined);
    this.#channel?.close();
  }

  #begin(): Promise<Resolve> {
    const { promise, resolve } = Promise.withResolvers<Resolve>();
    void this.#gone.promise.then(() => resolve(nobodyCanSay));
    let lookup: PathLookup | undefined;
    const handler: ChannelHandler = {
      onData: (data, stream) => {
        this.#channel?.consumed(data.length);
        if (stream === 'data') this.#receive(lookup, data);
      },
      onEof: () => (this.#isEnding ? undefined : this.close()),
      onRequest: ({ reply }) => reply?.(false),
      onClose: () => {
        this.#closed.resolve(undefined);
        this.close();
      },
    };
    this.#o.open('session', Buffer.alloc(0), handler, (result) => {
      // As many channels as may be are open, say: that is no server without SFTP, and links are there all the same.
      if (result.kind === 'refused') return this.close();
      const { channel } = result;
      if (this.#isGone) return channel.close();
      this.#channel = channel;
      return channel.request('subsystem', encode.subsystem('sftp'), (isGranted) => {
        if (!isGranted) return resolve(channel.isClosed ? nobodyCanSay : this.#o.withoutSftp);
        this.#runs = true;
        lookup = new PathLookup((bytes) => channel.write(bytes), followsLinks(this.#o.hostIdent()));
        const asked = lookup;
        return resolve((path) => asked.resolve(path));
      });
    });
    return promise;
  }

  /** Before it runs nobody has anything to say. */
  #receive(lookup: PathLookup | undefined, data: Buffer): void {
    try {
      if (lookup === undefined) return this.close();
      return lookup.fromServer(data);
    } catch {
      return this.close();
    }
  }
}
