import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { SinkError } from '../errors.ts';
import { asciiJson, type Batch, type Sink } from '../sink.ts';
import { readOptional, readSecret } from './files.ts';
import { demandSuccess, parseJson, Poster } from './http.ts';

export interface SplunkSettings {
  /** Up to the port: https://splunk.corp:8088 */
  readonly url: string;
  readonly tokenFile: string;
  readonly caFile?: string | undefined;
  readonly index?: string | undefined;
  readonly sourcetype: string;
  /** Whether the token has indexer acknowledgement: then nothing counts before it is indexed. */
  readonly acknowledge: boolean;
}

const LIMITS = { events: 1_000, bytes: 1_000_000 };
/** Splunk asks for no more than one question in some seconds; what is not indexed by then is sent again. */
const ACK_EVERY_MS = 1_000;
const ACK_WITHIN_MS = 300_000;
/** The longest between two questions. */
const MAX_ACK_EVERY_MS = 10_000;

const Accepted = z.object({ code: z.int(), ackId: z.int().optional() });
const Acks = z.object({ acks: z.record(z.string(), z.boolean()) });
/** Codes of HEC that are about what was sent; the index is a matter of settings, and the rest one of time. */
const REFUSED: ReadonlySet<number> = new Set([5, 6, 12, 13, 15]);
const MISCONFIGURED: ReadonlySet<number> = new Set([7, 10, 11, 14, 16]);

/**
 * Splunk's HTTP Event Collector, with indexer acknowledgement: 200 says that a batch was taken, and only its ackId that it was indexed
 * (docs.splunk.com, "About HTTP Event Collector Indexer Acknowledgment").
 */
export function openSplunk(settings: SplunkSettings, ackEveryMs = ACK_EVERY_MS, limits = LIMITS): Sink {
  const { url, tokenFile, caFile, acknowledge } = settings;
  const poster = new Poster();
  const channel = randomUUID();
  const host = hostname();
  const post = async (path: string, body: string, signal: AbortSignal): Promise<unknown> => {
    const headers = {
      authorization: `Splunk ${await readSecret(tokenFile)}`,
      'content-type': 'application/json',
      'x-splunk-request-channel': channel,
    };
    const answer = await poster.post({ url: `${url}${path}`, headers, body, ca: await readOptional(caFile) }, signal);
    const said = parseJson(answer.body);
    if (answer.status === 400) demandKnown(said);
    demandSuccess(answer);
    return said;
  };
  const deliver: Sink['deliver'] = async (batch, signal) => {
    const accepted = Accepted.safeParse(await post('/services/collector/event', bodyOf(batch, settings, host), signal)).data;
    if (accepted?.code !== 0) throw new SinkError('SinkMisconfigured', 'the receiver does not answer as Splunk does');
    if (!acknowledge) return;
    if (accepted.ackId === undefined)
      throw new SinkError('SinkMisconfigured', 'the token has no indexer acknowledgement; switch it on, or acknowledge off');
    await indexed(accepted.ackId, (body) => post('/services/collector/ack', body, signal), ackEveryMs, signal);
  };
  return {
    limits,
    deliver,
    probe: (checkpoint, signal) => deliver({ events: [], checkpoint }, signal),
    close: () => Promise.resolve(poster.close()),
  };
}

async function indexed(id: number, ask: (body: string) => Promise<unknown>, everyMs: number, signal: AbortSignal): Promise<void> {
  let waited = 0;
  for (let wait = everyMs; waited < ACK_WITHIN_MS; wait = Math.min(wait * 2, MAX_ACK_EVERY_MS)) {
    await delay(wait, undefined, { signal });
    waited += wait;
    const { acks } = Acks.safeParse(await ask(JSON.stringify({ acks: [id] }))).data ?? { acks: {} };
    if (acks[id] === true) return;
  }
  throw new SinkError('SinkUnconfirmed', `not indexed within ${ACK_WITHIN_MS / 1_000} s`);
}

/** Throws SinkError where a 400 is about something else than what was sent. */
function demandKnown(said: unknown): void {
  const { code = 0 } = z.object({ code: z.int() }).safeParse(said).data ?? {};
  if (REFUSED.has(code)) throw new SinkError('SinkRefused', `HEC code ${code}`);
  if (MISCONFIGURED.has(code)) throw new SinkError('SinkMisconfigured', `HEC code ${code}`);
}

/** Events one behind the other, as HEC takes them; the checkpoint is the last of them. */
function bodyOf({ events, checkpoint }: Batch, { index, sourcetype }: SplunkSettings, host: string): string {
  const about = { host, source: 'chaperone', ...(index === undefined ? {} : { index }) };
  const lines = events.map(({ id, leaf, event, text }) => {
    const fields = { event_id: id, leaf, class_uid: event.class_uid };
    const head = asciiJson({ time: event.time / 1_000, ...about, sourcetype, fields });
    return `${head.slice(0, -1)},"event":${text}}`;
  });
  return [...lines, asciiJson({ ...about, sourcetype: 'chaperone:checkpoint', event: checkpoint })].join('\n');
}
