import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseSinks, SinksInvalid, type SinkSettings } from '@chaperone/collector';
import { parse } from 'yaml';
import { CliError, fileUnread } from '../errors.ts';

/** Aliases that a file of sinks may use: YAML of a few lines could else be one of gigabytes. */
const MAX_ALIASES = 16;

/** The sinks that a file of YAML or JSON names. Throws CliError SinksInvalid, NotFound. */
export async function readSinks(path: string): Promise<SinkSettings[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw fileUnread(path, error);
  });
  try {
    return parseSinks(parse(text, { maxAliasCount: MAX_ALIASES }), resolve(path));
  } catch (cause) {
    throw new CliError('SinksInvalid', cause instanceof SinksInvalid ? cause.message : `${path} is not YAML`, { cause });
  }
}
