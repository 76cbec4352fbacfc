import { safeJson, visible } from '@chaperone/api/text';
import type { Logger } from '@chaperone/sidecar';

/** JSON lines, one per event that somebody should look at. */
export function jsonLogger(err: NodeJS.WritableStream, now: () => number): Logger {
  const write =
    (level: string): Logger['warn'] =>
    (event, fields = {}) =>
      void err.write(`${safeJson({ time: new Date(now()).toISOString(), level, event, ...fields })}\n`);
  return { info: write('info'), warn: write('warn'), error: write('error') };
}

/** The same events as sentences for the person who watches the terminal. */
export function textLogger(err: NodeJS.WritableStream): Logger {
  const write =
    (word: string): Logger['warn'] =>
    (event, fields = {}) => {
      // Files with mistakes are somebody's to mend, though the proxy goes on.
      const prefix = fields['code'] === 'ManifestInvalid' ? 'error: ' : word;
      for (const line of sentences(event, fields)) err.write(`${prefix}${visible(line)}\n`);
    };
  return { info: write(''), warn: write('warn: '), error: write('error: ') };
}

function asSentence(text: string): string {
  return /[.?!]$/.test(text) ? text : `${text}.`;
}

function sentences(event: string, fields: Readonly<Record<string, unknown>>): string[] {
  const { code, message, resource, ...others } = fields;
  const named = typeof code === 'string' ? ` (${code})` : '';
  if (typeof message !== 'string') {
    const rest = Object.entries(others).map(([name, value]) => `, ${name} ${String(value)}`);
    return [`${typeof resource === 'string' ? `${resource}: ` : ''}${event}${rest.join('')}${named}`];
  }
  if (code === 'ManifestInvalid')
    return message
      .split('\n')
      .map((line) => `${asSentence(line.replace(/ \(ManifestInvalid\)$/, ''))} Still running the last good version.${named}`);
  return [`${typeof resource === 'string' && !message.includes(resource) ? `${resource}: ` : ''}${message}${named}`];
}
