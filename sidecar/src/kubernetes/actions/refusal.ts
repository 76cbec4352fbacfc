/** Why a request is not read: what it says could be read in two ways, or is nothing that is judged. The words hold nothing of it. */
const REASONS = {
  TargetTooLong: [414, 'its address is too long; use a smaller selector, or a file in place of a long command'],
  TargetForm: [400, 'its address is no path beginning with a single /; send the path alone'],
  TargetCharacter: [400, 'its address holds a character that addresses cannot have; encode it, or leave it out'],
  PathEncoded: [400, 'its path has an encoded character; write the name as it is'],
  PathSegment: [
    400,
    'its path has an empty part, . or .., or a name that cannot stand there; write each name once, without a / at the end',
  ],
  PathUnknown: [404, 'its path leads to nothing that is judged here; use the paths that kubectl uses'],
  Method: [405, 'its method has no meaning there; use GET, POST, PUT, PATCH or DELETE as the API has them'],
  Encoding: [400, 'a parameter is not encoded as it must be; encode it in UTF-8 as URLs have it'],
  ParameterUnknown: [400, 'it has a parameter that means nothing there; leave it out'],
  ParameterRepeated: [400, 'it has a parameter twice; keep one'],
  ParameterValue: [400, 'a parameter has a value that cannot stand there; write it as kubectl does'],
  ParametersTooMany: [400, 'it has too many parameters'],
  OptionsTwice: [400, 'it has options in its parameters and in its body; keep one'],
  Body: [400, 'it has a body and its method takes none; leave it out'],
  BodyMissing: [400, 'it has no body and its method takes one'],
  BodyTooLarge: [413, 'its body is too long, nested too deeply, or holds too many values'],
  BodyUnreadable: [
    400,
    'its body is not JSON in UTF-8; YAML that is not JSON too is not read, nor protobuf of a kind or field that is not known, so send JSON',
  ],
  BodyAmbiguous: [
    400,
    'its body could be read in two ways: a key twice in one object, half a character, or a number that is not exact; write each once',
  ],
  BodyShape: [400, 'its body is not what is written there: an object, or the operations of a JSON Patch'],
  HeaderRepeated: [400, 'it has a header twice that says how it is read; keep one'],
  HeadersTooLarge: [431, 'its headers are too many or too long'],
  MethodOverride: [400, 'it asks for another method in a header; send that method itself'],
  Impersonation: [403, 'it asks to be somebody else, and agents act as themselves; leave out --as'],
  MediaType: [415, 'its body is neither JSON, YAML nor protobuf; send it as application/json'],
  Accept: [406, 'it takes no answer in JSON; add application/json to Accept'],
  Upgrade: [400, 'it asks for a connection of its own where there is none, or for none where there must be one'],
} as const satisfies Readonly<Record<string, readonly [status: number, why: string]>>;

export type RefusalCode = keyof typeof REASONS;

/** A request that goes nowhere, whatever rules say. */
export interface Refused {
  readonly kind: 'refused';
  readonly code: RefusalCode;
  /** HTTP status to answer with. */
  readonly status: number;
  /** One clause for the agent, without anything of the request. */
  readonly why: string;
}

/** Thrown and caught within this room. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  constructor(code: RefusalCode) {
    super(code);
    this.code = code;
  }
}

/** What `read` returns, or how it was refused. */
export function refusable<T>(read: () => T): T | Refused {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refusal) return refused(error.code);
    throw error;
  }
}

export function refused(code: RefusalCode): Refused {
  const [status, why] = REASONS[code];
  return { kind: 'refused', code, status, why };
}
