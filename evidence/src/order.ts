import { z } from 'zod';
import { EvidenceError } from './errors.ts';
import { SESSION_ID } from './ids.ts';
import { type Signer, verifySignature } from './keys.ts';
import { encodeLeaf, type Leaf } from './log/leaf.ts';
import { sha256 } from './primitives.ts';

/** Characters of a reason. */
export const MAX_REASON = 500;
/** Of an order's text: its parts at their longest, every character escaped. */
export const MAX_ORDER_BYTES = 8192;
const CONTEXTS = { erasure: 'chaperone/erasure/v1\0', hold: 'chaperone/hold/v1\0', read: 'chaperone/read/v1\0' } as const;

/**
 * What somebody ordered about a session: that its payloads are made unreadable, that they must not be, or that they may be again. The log
 * has the digest of this text alone, so that who it was and why can be forgotten too; `salt`, 32 hex digits, keeps them from being guessed.
 */
export const Order = z.strictObject({
  kind: z.enum(['erasure', 'hold', 'release']),
  session: z.string().regex(SESSION_ID),
  by: z.string().min(1).max(256),
  reason: z.string().min(1).max(MAX_REASON),
  at: z.number(),
  salt: z.string().regex(/^[0-9a-f]{32}$/),
});
export type Order = z.infer<typeof Order>;
export type OrderKind = Order['kind'];

export interface SealedOrder {
  /** The text, to be kept where it can be destroyed. */
  readonly text: Buffer;
  /** SHA-256 (hex) of the text. */
  readonly digest: string;
  /** The log's entry of it. */
  readonly leaf: Buffer;
}

/** The entry that says of an order that it was given, signed by the log's key. */
export function sealOrder(order: Order, logKey: Signer): SealedOrder {
  const { kind, session, at } = Order.parse(order);
  const state = kind === 'erasure' ? {} : { state: kind };
  const text = Buffer.from(JSON.stringify(order));
  return sealStatement(kind === 'erasure' ? kind : 'hold', text, (digest) => ({ session, order: digest, at, ...state }), logKey);
}

/** An entry about a text that can be destroyed: `statement` says what it is of the text with this digest. */
export function sealStatement(
  kind: keyof typeof CONTEXTS,
  text: Buffer,
  statement: (digest: string) => object,
  logKey: Signer,
): SealedOrder {
  const digest = sha256(text).toString('hex');
  const body = Buffer.from(JSON.stringify(statement(digest)));
  const signature = logKey.sign(Buffer.concat([Buffer.from(CONTEXTS[kind]), body]));
  return { text, digest, leaf: encodeLeaf({ kind, text: body, signature }) };
}

/** Whether this is the text of which an entry has this SHA-256 (hex). */
export function hasDigest(text: Buffer, digest: string): boolean {
  return sha256(text).toString('hex') === digest;
}

/** The order that an entry of the log is of; throws EvidenceError PayloadAltered where the text is another one. */
export function openOrder(text: Buffer, digest: string): Order {
  if (!hasDigest(text, digest)) throw new EvidenceError('PayloadAltered', 'the order is not the one that the log names');
  try {
    return Order.parse(JSON.parse(text.toString()));
  } catch (cause) {
    throw new EvidenceError('PayloadAltered', 'the order does not have the expected shape', { cause });
  }
}

/** Whether the log's key signed an entry about an order or a reading. */
export function verifyOrderLeaf(leaf: Leaf, logKey: Uint8Array): boolean {
  if (leaf.kind !== 'erasure' && leaf.kind !== 'hold' && leaf.kind !== 'read') return false;
  return verifySignature(logKey, Buffer.concat([Buffer.from(CONTEXTS[leaf.kind]), leaf.text]), leaf.signature);
}
