import type { Command } from 'commander';
import type { DocumentOutput } from '../output.ts';
import type { VerbOptions } from '../program.ts';
import { outputOption, withExamples } from './common.ts';

interface ConsoleFlags {
  readonly data?: string;
  readonly output: 'text' | DocumentOutput;
}

export function addConsole(program: Command, options: VerbOptions): void {
  const command = program
    .command('console [ID]')
    .description(
      'Print a link that opens the web page of a running chaperone up: what waits for approval, or a request or session that is named',
    )
    .option('--data <DIR>', 'the data directory of the chaperone up')
    .addOption(outputOption('console', ['text', 'json', 'yaml']))
    .addHelpText('after', '\nThe link signs in one browser, once, within ten minutes.')
    .action((id: string | undefined, flags: ConsoleFlags) => printLink(id, flags, options));
  withExamples(command, 'chaperone console', 'chaperone console ar-7f3k');
}

async function printLink(id: string | undefined, { data, output }: ConsoleFlags, { io }: VerbOptions): Promise<void> {
  const [{ defaultData }, { newConsoleLink }, { writeDocument }] = await Promise.all([
    import('../collector/local.ts'),
    import('../collector/console-link.ts'),
    import('../output.ts'),
  ]);
  const directory = data ?? defaultData(io.env);
  const named = (name: string): Promise<string> =>
    name.startsWith('ar-') ? requestPath(directory, name) : sessionPath(directory, name);
  const { url, expiresAt } = await newConsoleLink(directory, id === undefined ? '/requests' : await named(id));
  if (output === 'text') io.out.write(`${url}\n`);
  else await writeDocument(io, output, { url, expiresAt: new Date(expiresAt).toISOString() });
}

/** A link leads to what is there: of what is not, or is several, that is said here. */
async function sessionPath(data: string, typed: string): Promise<string> {
  const [{ CollectorClient }, { openLocalTransport }, { demandId }, { readAddress }] = await Promise.all([
    import('../collector/client.ts'),
    import('../collector/local.ts'),
    import('../commands/sessions.ts'),
    import('../up/data-directory.ts'),
  ]);
  const id = demandId(typed);
  // Where no chaperone up runs there is no page: its store is not opened to say so.
  if ((await readAddress(data)) === undefined) return `/sessions/${id}`;
  await using transport = await openLocalTransport(data);
  return `/sessions/${(await new CollectorClient(transport).session(id)).name}`;
}

async function requestPath(data: string, typed: string): Promise<string> {
  const [{ demandName }, { openLocalDesk }] = await Promise.all([
    import('../requests/desk.ts'),
    import('../requests/local-desk.ts'),
  ]);
  await using desk = await openLocalDesk({ data });
  const { namespace = '', name } = (await desk.get(demandName(typed))).metadata;
  return `/requests/${namespace}/${name}`;
}
