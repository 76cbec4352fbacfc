import { isIPv4, isIPv6 } from 'node:net';
import { type Effect, judge, type Verdict } from '@chaperone/policy';
import type { ChannelHandler, ChannelRequest } from '../wire/channel.ts';
import type { Channel } from '../wire/channel.ts';
import { encode, type Forward, OPEN_FAILURE, parse } from '../wire/channel-messages.ts';
import type { Offer } from '../wire/channels.ts';
import type { Approved } from '../../session/approval.ts';
import type { ProgramContext } from './program-context.ts';
import { standing } from '../../running/standing.ts';
import type { Refusal } from '../../session/refusal.ts';
import { refusalOfSsh, textOf } from './texts.ts';

export interface ForwardContext extends ProgramContext {
  /** Whether an address is one that agents reach in another way, or not at all, whatever rules say. */
  readonly isProtected: (address: { host: string; port: number }) => Promise<boolean>;
}

const UNIT = 'forward';
/** The verdict on the upstream of a protected resource. */
export const PROTECTED: Verdict = {
  verdict: 'deny',
  code: 'NotGranted',
  reason: 'it is the upstream of a protected resource',
  effects: [],
};

/**
 * A connection that an agent wants through the server (`ssh -L`, `ssh -W`; RFC 4254, section 7.2). It is judged by the address as the
 * agent wrote it, and opened on neither side before that is allowed. What goes through it is opaque: bytes are counted.
 */
export async function serveForward(context: ForwardContext, offer: Offer): Promise<void> {
  const forward = parse.forward(offer.payload);
  const object = addressOf(forward);
  if (object === undefined)
    return offer.refuse({ code: OPEN_FAILURE.administrativelyProhibited, text: 'chaperone: this is no address' });
  const effect: Effect = { verb: 'forward', object, via: 'direct', kind: 'address' };
  const { records, access, approval, shown } = context;
  const judged = shown.verdict(judge(access(), { effects: [effect] }));
  const verdict = judged.verdict !== 'deny' && (await context.isProtected(forward)) ? PROTECTED : judged;
  const text = `forward to ${object}`;
  const action = await records.judged({ text, bytes: offer.payload.length, verdict, writes: true });
  const refuse = (refusal: Refusal): void => {
    const { line } = textOf(access(), refusal, { unit: UNIT, reference: `${context.session}/${action}` });
    offer.refuse({ code: OPEN_FAILURE.administrativelyProhibited, text: line });
  };
  if (verdict.verdict === 'deny') return refuse(refusalOfSsh(access(), { effects: [effect] }, verdict));
  let answered: Extract<Approved, { kind: 'released' }> | undefined;
  if (verdict.verdict === 'approve') {
    const asked = { action, unit: UNIT, verdict, text, state: {}, once: `a ${UNIT} is another one each time` } as const;
    // Nothing tells that a client gave up a channel that is not open yet, but the end of its connection.
    const answer = await approval.ask(asked, context.gone, () => undefined);
    if (answer.kind === 'gone') return;
    if (answer.kind === 'refused') return refuse(answer.refusal);
    answered = answer;
  }
  const stands = standing(access, { effects: [effect] }, answered !== undefined);
  const tunnel = new Tunnel(context, object, stands, (state, result) => answered?.ended(state, result));
  const { port, originatorHost, originatorPort } = forward;
  const host = object.slice(0, object.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  // What was judged is what is asked for, and asked again at the last moment.
  if (answered?.isCurrent() === false || (answered === undefined && !stands()))
    return tunnel.never({ code: 'ResourceNotReady', reason: 'the policy changed before it was opened; ask again' }, refuse);
  context.openUpstream(
    'direct-tcpip',
    encode.forward({ host, port, originatorHost, originatorPort }),
    tunnel.server,
    (result) => {
      if (result.kind === 'opened') return tunnel.join(offer.accept(tunnel.agent), result.channel);
      tunnel.fail();
      return offer.refuse({ code: result.code, text: 'chaperone: the host does not connect there' });
    },
  );
}

/** `host:port` as rules name it; undefined: no name and no address in its one usual form, so that somebody could read another into it. */
export function addressOf({ host, port }: Pick<Forward, 'host' | 'port'>): string | undefined {
  const name = host.toLowerCase().replace(/[.]$/, '');
  if (isIPv6(name)) {
    const address = URL.parse(`http://[${name}]`)?.hostname;
    return address === undefined || address.startsWith('[::ffff:') ? undefined : `${address}:${port}`;
  }
  const isName = /^[a-z0-9_-]+([.][a-z0-9_-]+)*$/.test(name) && !/(^|[.])(0x[0-9a-f]*|[0-9]+)$/.test(name);
  return isIPv4(name) || isName ? `${name}:${port}` : undefined;
}

/** Both sides of a forwarded connection, once it is open. */
class Tunnel {
  readonly agent: ChannelHandler;
  readonly server: ChannelHandler;
  readonly #c: ForwardContext;
  readonly #host: string;
  readonly #stands: () => boolean;
  readonly #ended: (state: 'Ran' | 'Failed', result: string) => void;
  #toAgent: Channel | undefined;
  #toServer: Channel | undefined;
  #sent = 0;
  #received = 0;
  #isOver = false;

  constructor(
    context: ForwardContext,
    host: string,
    stands: () => boolean,
    ended: (state: 'Ran' | 'Failed', result: string) => void,
  ) {
    this.#c = context;
    this.#host = host;
    this.#stands = stands;
    this.#ended = ended;
    this.agent = this.#side(
      () => this.#toServer,
      () => this.#toAgent,
      (bytes) => {
        this.#sent += bytes;
      },
    );
    this.server = this.#side(
      () => this.#toAgent,
      () => this.#toServer,
      (bytes) => {
        this.#received += bytes;
      },
    );
  }

  join(agent: Channel, server: Channel): void {
    this.#toAgent = agent;
    this.#toServer = server;
    if (agent.isClosed) server.close();
  }

  /** The host did not connect; what it says of that is not looked into. */
  fail(): void {
    this.#over('Failed', 'the host did not connect');
  }

  /** Nothing was opened. */
  never(refusal: Refusal, refuse: (refusal: Refusal) => void): void {
    this.#isOver = true;
    this.#ended('Failed', refusal.reason ?? 'it was not opened');
    refuse(refusal);
  }

  #side(other: () => Channel | undefined, own: () => Channel | undefined, count: (bytes: number) => void): ChannelHandler {
    return {
      onData: (data) => {
        if (!this.#stands()) return this.#cut();
        count(data.length);
        this.#c.onActivity(data.length);
        return other()?.write(data, 'data', (bytes) => own()?.consumed(bytes));
      },
      onEof: () => other()?.eof(),
      onRequest: ({ reply }: ChannelRequest) => reply?.(false),
      onClose: () => {
        other()?.close();
        this.#over();
      },
    };
  }

  /** The policy changed, and does not let it through any more. */
  #cut(): void {
    this.#toAgent?.close();
    this.#toServer?.close();
    this.#over('Failed', 'the policy changed');
  }

  #over(state: 'Ran' | 'Failed' = 'Ran', result = `${this.#sent} bytes sent, ${this.#received} received`): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#c.records.note([{ type: 'bytes', host: this.#host, sent: this.#sent, received: this.#received }]);
    this.#ended(state, result);
  }
}
