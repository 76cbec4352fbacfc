import { KINDS, MESSAGES } from './protobuf-schema.ts';

/** Before each body: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding */
const MAGIC = Buffer.from('k8s\0');
/** Characters of JSON. A server reads 3 MiB of a body; names, which protobuf does not carry, make more of it. */
const MAX_TEXT = 16 * 1024 * 1024;

/** A body that is not one of Kubernetes' protobuf, or says what this version does not know. The message is for its sender. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

type Shape = { readonly form: 'value'; readonly read: Value } | { readonly form: 'message'; readonly place: number } | Many;
interface Many {
  /** `items` is a list that is a message of its own. */
  readonly form: 'list' | 'map' | 'items';
  readonly of: Shape;
}
interface Field {
  /** Empty: its fields are those of what holds it. */
  readonly name: string;
  readonly shape: Shape;
}
type Message = ReadonlyMap<number, Field>;
/** Reads one value of its wire type, as JSON. */
interface Value {
  readonly wire: 0 | 2;
  readonly json: (reader: Reader) => string;
}

/**
 * What a body in Kubernetes' protobuf says, as the JSON that says the same to a server. Whoever judges it and whoever sends it on has
 * that one text. What a server would pass over in silence is refused: fields that nobody knows, and those that come twice.
 *
 * @throws ProtobufError
 */
export function jsonOfProtobuf(body: Buffer): string {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) throw new ProtobufError('it does not begin as protobuf of Kubernetes does');
  const { apiVersion, kind, object } = envelopeOf(new Reader(body.subarray(MAGIC.length)));
  const place =
    tables().kinds.get(`${apiVersion} ${kind}`) ??
    (kind === 'DeleteOptions' ? tables().kinds.get('v1 DeleteOptions') : undefined);
  if (place === undefined) throw new ProtobufError(`${kind} of ${apiVersion} is not known in protobuf; send JSON`);
  const type = [`"apiVersion":${JSON.stringify(apiVersion)}`, `"kind":${JSON.stringify(kind)}`];
  return `{${[...type, ...new Decoder().members(new Reader(object), place)].join(',')}}`;
}

/** runtime.Unknown, in which every object is wrapped. */
function envelopeOf(reader: Reader): { apiVersion: string; kind: string; object: Buffer } {
  let type: readonly (string | undefined)[] = [];
  let object: Buffer = Buffer.alloc(0);
  for (const number of reader.fields()) {
    if (number === 1) type = reader.parts('ss');
    else if (number === 2) object = reader.bytes();
    else if (reader.bytes().length > 0) throw new ProtobufError('it is encoded once more within');
  }
  const [apiVersion = '', kind = ''] = type;
  return { apiVersion, kind, object };
}

/** Reads one body. */
class Decoder {
  #length = 0;

  /** The members of a message's object: `"name":value`. */
  members(reader: Reader, place: number): string[] {
    const message = tables().messages[place] as Message;
    const whole = new Map<number, string[]>();
    const inlined: string[] = [];
    const keys = new Set<string>();
    for (const number of reader.fields()) {
      const field = message.get(number);
      if (field === undefined) throw new ProtobufError(`a field ${number} in it is not known; send JSON`);
      const { name, shape } = field;
      const isMany = shape.form === 'list' || shape.form === 'map';
      this.#grow(name.length + 4);
      const seen = whole.get(number);
      if (seen !== undefined && !isMany) throw new ProtobufError(`${name || `field ${number}`} comes twice in it`);
      const found = seen ?? [];
      whole.set(number, found);
      if (name === '' && shape.form === 'message') inlined.push(...this.members(reader.within(), shape.place));
      else if (shape.form === 'list') this.#list(reader, shape.of, found);
      else if (shape.form === 'map') found.push(this.#entry(reader, shape.of, (key) => isNew(keys, `${number} ${key}`)));
      else found.push(this.#value(reader, shape));
    }
    const own = [...whole].flatMap(([number, found]) => {
      const { name, shape } = message.get(number) as Field;
      return name === '' ? [] : [`"${name}":${this.#joined(shape, found)}`];
    });
    return [...own, ...inlined];
  }

  #joined({ form }: Shape, found: readonly string[]): string {
    if (form === 'list') return `[${found.join(',')}]`;
    return form === 'map' ? `{${found.join(',')}}` : (found[0] as string);
  }

  #value(reader: Reader, shape: Shape): string {
    switch (shape.form) {
      case 'value':
        reader.expect(shape.read.wire);
        return this.#scalar(shape.read, reader);
      case 'message':
        return `{${this.members(reader.within(), shape.place).join(',')}}`;
      default: {
        const inner = reader.within();
        const found: string[] = [];
        for (const number of inner.fields()) {
          if (number !== 1) throw new ProtobufError(`a field ${number} in it is not known; send JSON`);
          this.#list(inner, shape.of, found);
        }
        return `[${found.join(',')}]`;
      }
    }
  }

  /** One element; or several, since numbers may be packed. */
  #list(reader: Reader, of: Shape, found: string[]): void {
    if (of.form !== 'value' || of.read.wire !== 0 || reader.wire === 0) found.push(this.#value(reader, of));
    else for (const packed = reader.within(); !packed.isAtEnd; ) found.push(this.#scalar(of.read, packed));
  }

  #entry(reader: Reader, of: Shape, isNewKey: (key: string) => boolean): string {
    const entry = reader.within();
    const parts = new Map<number, string>();
    for (const number of entry.fields()) {
      if (number > 2 || parts.has(number)) throw new ProtobufError('an entry of a map in it is none');
      parts.set(number, number === 1 ? this.#scalar(TEXT, entry) : this.#value(entry, of));
    }
    const key = parts.get(1) ?? '""';
    if (!isNewKey(key)) throw new ProtobufError(`${key} comes twice in it`);
    return `${key}:${parts.get(2) ?? this.#value(Reader.zero(of.form === 'value' ? of.read.wire : 2), of)}`;
  }

  #scalar(value: Value, reader: Reader): string {
    const text = value.json(reader);
    this.#grow(text.length);
    return text;
  }

  /** Each of what is written once. */
  #grow(length: number): void {
    this.#length += length;
    if (this.#length > MAX_TEXT) throw new ProtobufError('it is too large');
  }
}

function isNew(keys: Set<string>, key: string): boolean {
  const before = keys.size;
  return keys.add(key).size > before;
}

const MANY: Readonly<Record<string, Many['form']>> = { '[': 'list', '{': 'map', '(': 'items' };
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads fields of protobuf: https://protobuf.dev/programming-guides/encoding/ */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  #wire = 2;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** A value that is left out. */
  static zero(wire: number): Reader {
    const reader = new Reader(Buffer.of(0));
    reader.#wire = wire;
    return reader;
  }

  /** Wire type of the field under way. */
  get wire(): number {
    return this.#wire;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The number of each field in turn; its value has to be read meanwhile. */
  *fields(): Generator<number> {
    while (!this.isAtEnd) {
      const tag = this.#count();
      this.#wire = tag & 7;
      yield tag >>> 3;
    }
  }

  expect(wire: number): void {
    if (this.#wire !== wire) throw new ProtobufError('a field in it has a type that is not its own');
  }

  /** A number of 64 bits with a sign, in digits. */
  integer(): string {
    const first = this.#byte();
    if (first < 0x80) return `${first}`;
    let value = BigInt(first & 0x7f);
    for (let shift = 7n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return `${BigInt.asIntN(64, value)}`;
    }
    throw new ProtobufError('a number in it has no end');
  }

  bytes(): Buffer {
    this.expect(2);
    const length = this.#count();
    if (length > this.#bytes.length - this.#at) throw new ProtobufError('it is cut off');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  string(): string {
    const bytes = this.bytes();
    try {
      return UTF8.decode(bytes);
    } catch {
      throw new ProtobufError('a text in it is no UTF-8');
    }
  }

  within(): Reader {
    return new Reader(this.bytes());
  }

  /** A message of few fields, which have the numbers from 1 on: integers in digits, and texts. */
  parts(types: string): (string | undefined)[] {
    const reader = this.within();
    const parts: (string | undefined)[] = [];
    for (const number of reader.fields()) {
      const type = types[number - 1];
      if (type === undefined || parts[number] !== undefined)
        throw new ProtobufError(`a field ${number} in it is not known; send JSON`);
      reader.expect(type === 'i' ? 0 : 2);
      parts[number] = type === 'i' ? reader.integer() : reader.string();
    }
    return parts.slice(1);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) throw new ProtobufError('it is cut off');
    return byte;
  }

  /** A length or a tag. */
  #count(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new ProtobufError('a length in it is too large');
  }
}

const TEXT: Value = { wire: 2, json: (reader) => JSON.stringify(reader.string()) };
const VALUES: Readonly<Record<string, Value>> = {
  s: TEXT,
  b: { wire: 0, json: (reader) => `${reader.integer() !== '0'}` },
  i: { wire: 0, json: (reader) => reader.integer() },
  y: { wire: 2, json: (reader) => JSON.stringify(reader.bytes().toString('base64')) },
  t: { wire: 2, json: (reader) => time(reader, 0) },
  m: { wire: 2, json: (reader) => time(reader, 6) },
  q: { wire: 2, json: (reader) => JSON.stringify(reader.parts('s')[0] ?? '') },
  o: { wire: 2, json: intOrString },
  r: { wire: 2, json: within },
};

/** metav1.Time and MicroTime, as RFC 3339; nothing in it is no time. */
function time(reader: Reader, digits: 0 | 6): string {
  const [seconds, nanos = '0'] = reader.parts('ii');
  if (seconds === undefined) return 'null';
  const date = new Date(Number(seconds) * 1000);
  if (!(date.getUTCFullYear() >= 0 && date.getUTCFullYear() <= 9999) || !(Number(nanos) >= 0 && Number(nanos) < 1e9))
    throw new ProtobufError('a time in it is none');
  const fraction = digits === 0 ? '' : `.${nanos.padStart(9, '0').slice(0, digits)}`;
  return `"${date.toISOString().slice(0, 19)}${fraction}Z"`;
}

function intOrString(reader: Reader): string {
  const [type = '0', number = '0', text = ''] = reader.parts('iis');
  if (type === '0') return number;
  if (type !== '1') throw new ProtobufError('a number or text in it is neither');
  return JSON.stringify(text);
}

/** JSON within: runtime.RawExtension and metav1.FieldsV1. */
function within(reader: Reader): string {
  const [text] = reader.parts('s');
  if (text === undefined || text === '') return 'null';
  try {
    JSON.parse(text);
  } catch {
    throw new ProtobufError('what it holds as JSON is none');
  }
  return text;
}

let known: { readonly kinds: ReadonlyMap<string, number>; readonly messages: readonly Message[] } | undefined;

/** The tables, read when somebody needs them first. */
function tables(): NonNullable<typeof known> {
  known ??= {
    kinds: new Map(
      KINDS.trim()
        .split('\n')
        .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    ),
    messages: MESSAGES.slice(1, -1)
      .split('\n')
      .map((line) => new Map(line === '' ? [] : line.split(',').map(fieldOf))),
  };
  return known;
}

function fieldOf(text: string): [number, Field] {
  const [number = '', name = '', shape = ''] = text.split(' ');
  return [Number(number), { name: name === '-' ? '' : name, shape: shapeOf(shape) }];
}

function shapeOf(text: string): Shape {
  const form = MANY[text.slice(0, 1)];
  if (form !== undefined) return { form, of: shapeOf(text.slice(1)) };
  const read = VALUES[text];
  return read === undefined ? { form: 'message', place: Number(text) } : { form: 'value', read };
}
