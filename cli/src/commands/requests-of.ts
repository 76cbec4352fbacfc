import { clientText, objectText, resourceText } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
import { table } from '../io.ts';
import { bytesText, decidedText, type ShownCommand, verdictText } from './commands-of.ts';

/** Lines of a body, or of a change, that are shown of one request. */
const MAX_LINES = 40;
const MAX_LINE = 160;

/** Requests to the Kubernetes API as a table, and what each wrote in lines. `again` is how all of a session is read. */
export function requestTables(requests: readonly ShownCommand[], again: string): string[] {
  if (requests.length === 0) return [];
  const rows = requests.map((each) => {
    const [status = '', audit = ''] = (each.ended ?? '').split(' audit-id ');
    return [
      String(each.action),
      verdictText(each),
      each.verdict === 'deny' ? each.code : status,
      bytesText(each),
      decidedText(each),
      each.kubernetes?.verb ?? 'get',
      visible(each.kubernetes === undefined ? pathOf(each) : resourceText(each.kubernetes)),
      visible(each.kubernetes === undefined ? '' : objectText(each.kubernetes)),
      visible(audit),
      visible(each.kubernetes === undefined ? '' : clientText(each.kubernetes)),
    ];
  });
  const head = ['ACTION', 'VERDICT', 'STATUS', 'BYTES', 'DECIDED', 'VERB', 'RESOURCE', 'OBJECT', 'AUDIT-ID', 'CLIENT'];
  return [table(head, rows), ...requests.flatMap((each) => writtenText(each, again))];
}

/** Without its parameters: those of discovery are long, and say nothing to people. */
function pathOf({ text = '' }: ShownCommand): string {
  return /^\S+ ([^ ?\n]*)/.exec(text)?.[1] ?? '';
}

/** What one request changed when people were asked; else its body. */
function writtenText({ action, kubernetes, text, change }: ShownCommand, again: string): string[] {
  const lines = change ?? text?.split('\n').slice(1) ?? [];
  if (kubernetes === undefined || lines.length === 0) return [];
  const words = change === undefined ? 'sent' : 'was to change';
  const head = `${action}  ${kubernetes.verb} ${resourceText(kubernetes)} ${objectText(kubernetes)} ${words}:`;
  const shown = lines.slice(0, MAX_LINES).map((line) => `    ${visible(line, MAX_LINE)}`);
  const isAll = shown.length === lines.length && (change !== undefined || (text ?? '').length < OUTLINED);
  return [[visible(head), ...shown, ...(isAll ? [] : [`    … ${again}`])].join('\n')];
}

/** Characters that an outline has of a text. */
const OUTLINED = 500;
