import { parseDuration, parseQuantity, UnitError } from '@chaperone/api';
import { PolicyError } from './errors.ts';

/** Milliseconds of a duration as the API writes it (`1h30m`). Throws PolicyError PolicyInvalid on anything else. */
export function durationMs(text: string): number {
  return readable(parseDuration, text);
}

/** Bytes of a quantity as the API writes it (`1Mi`). Throws PolicyError PolicyInvalid on anything else. */
export function byteCount(text: string): number {
  return readable(parseQuantity, text);
}

function readable(parse: (text: string) => number, text: string): number {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof UnitError)
      throw new PolicyError('PolicyInvalid', `a value cannot be read: ${error.message}`, { cause: error });
    throw error;
  }
}
