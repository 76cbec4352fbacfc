import { isIP } from 'node:net';
import { ipv6Words } from './guard.ts';

/** What one query asks. `question` are its bytes as they came, to be repeated in the answer. */
export interface DnsQuery {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  /** Lower case, without the final dot. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly question: Buffer;
  /** The query carries an OPT record, so the answer may carry one. */
  readonly edns: boolean;
}

/** Codes of RFC 1035 §4.1.1 that we answer with. */
export const RCODE = { noError: 0, formatError: 1, nameError: 3, notImplemented: 4, refused: 5 } as const;
export const TYPE = { A: 1, AAAA: 28, OPT: 41 } as const;
export const CLASS_IN = 1;

/** A query is a header, one question and perhaps an OPT record; no stub resolver sends more. */
export const MAX_QUERY_BYTES = 1232;
const HEADER_BYTES = 12;
/** RFC 1035 §2.3.4. */
const MAX_LABEL_BYTES = 63;
const MAX_NAME_BYTES = 255;
/** RFC 8914 §2: extended error, and §4.19: the answer is withheld by policy. */
const EXTENDED_ERROR = 15;
const PROHIBITED = 18;

const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;

/**
 * Reads one DNS query (RFC 1035 §4).
 *
 * ignore: it is no query (too short, too long, or an answer) and gets no reply, so two servers cannot be made to talk to each
 * other · malformed: a query that cannot be read, answered FORMERR.
 */
export function decodeQuery(
  message: Buffer,
): { kind: 'query'; query: DnsQuery } | { kind: 'malformed'; id: number } | { kind: 'ignore' } {
  if (message.length < HEADER_BYTES || message.length > MAX_QUERY_BYTES) return { kind: 'ignore' };
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return { kind: 'ignore' };
  const id = message.readUInt16BE(0);
  const [questions, answers, authorities] = [4, 6, 8].map((offset) => message.readUInt16BE(offset));
  const name = questions === 1 && answers === 0 && authorities === 0 ? readName(message) : undefined;
  if (name === undefined || message.length < name.end + 4) return { kind: 'malformed', id };
  const question = message.subarray(HEADER_BYTES, name.end + 4);
  return {
    kind: 'query',
    query: {
      id,
      opcode: (flags >> 11) & 15,
      recursionDesired: (flags & FLAG_RECURSION_DESIRED) !== 0,
      name: name.text,
      type: message.readUInt16BE(name.end),
      class: message.readUInt16BE(name.end + 2),
      question,
      edns: startsWithOpt(message, name.end + 4),
    },
  };
}

/** The name behind the header. No compression: nothing stands before it that it could point to. */
function readName(message: Buffer): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > MAX_LABEL_BYTES || at + 1 + length > message.length) return undefined;
    at += 1 + length;
    if (at - HEADER_BYTES > MAX_NAME_BYTES) return undefined;
    if (length === 0) return { text: labels.join('.').toLowerCase(), end: at };
    const label = message.toString('latin1', at - length, at);
    // A dot inside a label would read like two labels, so "a.b" as one label could pass for the granted name a.b.
    if (!/^[\x21-\x2d\x2f-\x7e]+$/.test(label)) return undefined;
    labels.push(label);
  }
}

function startsWithOpt(message: Buffer, at: number): boolean {
  return (
    message.readUInt16BE(10) > 0 && message.length >= at + 11 && message[at] === 0 && message.readUInt16BE(at + 1) === TYPE.OPT
  );
}

/** One answer: addresses of the family that was asked for, or a code. `note` is added as an extended error under EDNS. */
export function encodeReply(
  query: DnsQuery,
  reply: { rcode: number; addresses?: readonly string[]; ttlS?: number; note?: string },
): Buffer {
  const records = (reply.addresses ?? []).map((address) => addressRecord(address, reply.ttlS ?? 0));
  const opt = query.edns ? [optRecord(reply.note)] : [];
  return Buffer.concat([header(query, reply.rcode, 1, records.length, opt.length), query.question, ...records, ...opt]);
}

/** FORMERR with the header alone: nothing of what could not be read is repeated. */
export function encodeFormatError(id: number): Buffer {
  return header({ id, opcode: 0, recursionDesired: false }, RCODE.formatError, 0, 0, 0);
}

function header(
  query: Pick<DnsQuery, 'id' | 'opcode' | 'recursionDesired'>,
  rcode: number,
  questions: number,
  answers: number,
  additionals: number,
): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.writeUInt16BE(query.id, 0);
  const flags = FLAG_RESPONSE | FLAG_AUTHORITATIVE | FLAG_RECURSION_AVAILABLE | (query.opcode << 11) | rcode;
  bytes.writeUInt16BE(flags | (query.recursionDesired ? FLAG_RECURSION_DESIRED : 0), 2);
  bytes.writeUInt16BE(questions, 4);
  bytes.writeUInt16BE(answers, 6);
  bytes.writeUInt16BE(additionals, 10);
  return bytes;
}

/** A or AAAA, its name a pointer to the question (RFC 1035 §4.1.4). */
function addressRecord(address: string, ttlS: number): Buffer {
  const data = isIP(address) === 4 ? Buffer.from(address.split('.').map(Number)) : ipv6Bytes(address);
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(0xc000 | HEADER_BYTES, 0);
  bytes.writeUInt16BE(data.length === 4 ? TYPE.A : TYPE.AAAA, 2);
  bytes.writeUInt16BE(CLASS_IN, 4);
  bytes.writeUInt32BE(ttlS, 6);
  bytes.writeUInt16BE(data.length, 10);
  return Buffer.concat([bytes, data]);
}

function ipv6Bytes(address: string): Buffer {
  const bytes = Buffer.alloc(16);
  for (const [index, word] of ipv6Words(address).entries()) bytes.writeUInt16BE(word, index * 2);
  return bytes;
}

/** OPT (RFC 6891 §6.1.2), with the extended error (RFC 8914 §2) where there is something to say. */
function optRecord(note: string | undefined): Buffer {
  const text = note === undefined ? Buffer.alloc(0) : Buffer.from(note, 'ascii');
  const option = note === undefined ? Buffer.alloc(0) : Buffer.alloc(6);
  if (note !== undefined) {
    option.writeUInt16BE(EXTENDED_ERROR, 0);
    option.writeUInt16BE(2 + text.length, 2);
    option.writeUInt16BE(PROHIBITED, 4);
  }
  const bytes = Buffer.alloc(11);
  bytes.writeUInt16BE(TYPE.OPT, 1);
  bytes.writeUInt16BE(MAX_QUERY_BYTES, 3);
  bytes.writeUInt16BE(option.length + text.length, 9);
  return Buffer.concat([bytes, option, text]);
}
