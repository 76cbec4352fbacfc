import type { Channel, ChannelHandler } from '../wire/channel.ts';
import { encode } from '../wire/channel-messages.ts';
import { asWritten, PathLookup, type Place } from './path-lookup.ts';
import type { OpenUpstream } from './program.ts';

type Resolve = (path: string) => Promise<Place | undefined>;

const nobodyCanSay: Resolve = () => Promise.resolve(undefined);

/** A channel beside the one on which paths are used, opened with the first question. */
export class LookupChannel {
  readonly #open: OpenUpstream;
  readonly #resolvesLinks: boolean;
  readonly #gone = Promise.withResolvers<undefined>();
  #channel: Channel | undefined;
  #asking: Promise<Resolve> | undefined;

  /** @param resolvesLinks - as of {@link PathLookup} */
  constructor(open: OpenUpstream, resolvesLinks: boolean) {
    this.#open = open;
    this.#resolvesLinks = resolvesLinks;
  }

  /** Where a path leads; undefined: nobody can say. */
  async resolve(path: string): Promise<Place | undefined> {
    this.#asking ??= this.#begin();
    const resolve = await this.#asking;
    return Promise.race([resolve(path), this.#gone.promise]);
  }

  close(): void {
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
      onEof: () => this.close(),
      onRequest: ({ reply }) => reply?.(false),
      onClose: () => this.close(),
    };
    this.#open('session', Buffer.alloc(0), handler, (result) => {
      // As many channels as may be are open, say: that is no server without SFTP, and links are there all the same.
      if (result.kind === 'refused') return this.close();
      const { channel } = result;
      this.#channel = channel;
      return channel.request('subsystem', encode.subsystem('sftp'), (isGranted) => {
        if (!isGranted) return resolve(channel.isClosed ? nobodyCanSay : asWritten);
        lookup = new PathLookup((bytes) => channel.write(bytes), this.#resolvesLinks);
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
