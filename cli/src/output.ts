import { safeJson } from '@chaperone/api/text';
import { type Io, writeLine } from './io.ts';

/** Forms for programs: one document as JSON or YAML. */
export type DocumentOutput = 'json' | 'yaml';
/** Forms for a sequence: a line of JSON or a document of YAML for each. */
export type StreamOutput = 'json' | 'jsonl' | 'yaml';

export function isStream(output: string): output is StreamOutput {
  return output === 'json' || output === 'jsonl' || output === 'yaml';
}

/** Writes the one document that a command answers with. */
export async function writeDocument({ out }: Io, output: DocumentOutput, value: unknown): Promise<void> {
  // Loaded where it is wanted: JSON and tables start without it.
  if (output === 'yaml') await writeLine(out, (await import('./yaml.ts')).safeYaml(value).trimEnd());
  else await writeLine(out, safeJson(value, 2));
}

/** Writes one document of a sequence, which need not be known to its end. */
export async function writeNext({ out }: Io, output: StreamOutput, value: unknown): Promise<void> {
  if (output === 'yaml') await writeLine(out, `---\n${(await import('./yaml.ts')).safeYaml(value).trimEnd()}`);
  else await writeLine(out, safeJson(value));
}
