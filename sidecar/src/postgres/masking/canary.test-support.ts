import { createHash } from 'node:crypto';

/** The labelled values of testdata/schema.sql. Nothing else in it, and nothing that we say, has four characters of them in a row. */
export const SECRETS: readonly string[] = ['271-82-8459', 'zebra.canary@secret.example'];
const NUMBER = 271_828_459;

const base64 = (text: string): string[] =>
  // At each of the three alignments, without the characters that neighbours change.
  [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), Buffer.from(text)])
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, -4),
  );
const reversed = (text: string): string => Array.from(text).toReversed().join('');

const TEXTS: readonly string[] = SECRETS.flatMap((secret) => {
  const bare = secret.replaceAll('-', '');
  const hashes = ['md5', 'sha256'].map((name) => createHash(name).update(secret).digest('hex'));
  return [
    secret,
    bare,
    reversed(secret),
    reversed(bare),
    secret.slice(2),
    secret.slice(0, -3),
    bare.slice(0, 7),
    ...[secret, bare, reversed(secret)].map((text) => Buffer.from(text).toString('hex')),
    ...base64(secret),
    ...hashes,
    Buffer.from(secret, 'utf16le').toString('latin1'),
  ];
}).map((text) => text.toLowerCase());

/** The number in the binary form of int4, int8 and numeric. */
const BINARY: readonly Buffer[] = [
  Buffer.from(NUMBER.toString(16).padStart(8, '0'), 'hex'),
  Buffer.from([0, 2, 0x1c, 0x0e, 0x21, 0x0b]),
  ...SECRETS.map((secret) => createHash('sha256').update(secret).digest()),
];
/** Four characters from the beginning or the end: enough to be sure where only errors are looked at. */
const PIECES: readonly string[] = SECRETS.flatMap((secret) =>
  [secret.slice(0, 4), secret.slice(-4)].map((text) => text.toLowerCase()),
)
  .concat('2718', '8459')
  .filter((piece) => piece !== 'mple');

const has = (text: string): string | undefined => TEXTS.find((form) => text.includes(form));

/** Whether a text holds a secret in any of its forms. */
export const showsCanary = (text: string): boolean => has(text.toLowerCase()) !== undefined;

/** What a column spells when its cells are put one behind the other: as they are, as character codes, as bits. */
function spelled(cells: readonly string[]): string[] {
  const joined = cells.join('');
  const codes = joined.match(/\d+/g)?.map(Number) ?? [];
  const numbers = cells.length > 1 ? cells.map(Number) : codes;
  const characters = [codes, numbers].map((list) =>
    list.map((code) => (code > 31 && code < 127 ? String.fromCharCode(code) : ' ')).join(''),
  );
  if (!/^[01]+$/.test(joined)) return [joined, ...characters];
  const octets = joined.match(/.{8}/g) ?? [];
  return octets.length === 0
    ? [joined]
    : [joined, octets.map((bits) => String.fromCharCode(Number.parseInt(reversed(bits), 2))).join('')];
}

/**
 * Where a secret stands in what was sent to a client: in any byte as text, without dashes, reversed, as hex, base64, UTF-16, hash
 * or binary number, whatever the case; put together from the cells of a column; four characters of it in a field of an error.
 */
export function canaryIn(
  bytes: Buffer,
  parts: { readonly errors: readonly string[]; readonly columns: readonly (readonly string[])[] },
): string | undefined {
  const text = has(bytes.toString('latin1').toLowerCase());
  if (text !== undefined) return `bytes: ${text}`;
  if (BINARY.some((form) => bytes.includes(form))) return 'a binary number or hash';
  const column = parts.columns.find((cells) => spelled(cells).some((word) => has(word.toLowerCase()) !== undefined));
  if (column !== undefined) return 'a column that spells it';
  const piece = PIECES.find((form) => parts.errors.some((field) => field.toLowerCase().includes(form)));
  return piece === undefined ? undefined : `an error: ${piece}`;
}
