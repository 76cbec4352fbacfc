import type { BindMessage } from '../wire/index.ts';
import type { Judgement } from './judgement.ts';

/** Bytes of a bound value that evidence keeps. */
const MAX_SHOWN = 4096;

/** Bound values as evidence keeps them: none where one may be of a labelled column, and binary ones as base64. */
export function shownParameters(
  { blank }: Pick<Judgement, 'blank'>,
  message: BindMessage,
): readonly (string | null)[] | undefined {
  if (message.parameters.length === 0 || blank) return undefined;
  const binary = (at: number): boolean =>
    (message.parameterFormats.length === 1 ? message.parameterFormats[0] : message.parameterFormats[at]) === 1;
  return message.parameters.map((value, at) =>
    value === null ? null : binary(at) ? `b:${value.toString('base64', 0, MAX_SHOWN)}` : shownText(value),
  );
}

/** A long value is cut, and says how long it was; the record has the bytes of the whole message. */
function shownText(value: Buffer): string {
  const shown = `t:${value.toString('utf8', 0, MAX_SHOWN)}`;
  return value.length > MAX_SHOWN ? `${shown}… (${value.length} bytes)` : shown;
}
