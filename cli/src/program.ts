import { Command, CommanderError, Option } from 'commander';
import type { ClusterFlags, Transport } from './collector/transport.ts';
import { asCliError, type CliError, EXIT, usage, withFix } from './errors.ts';
import type { Io } from './io.ts';
import { COLOUR_WHEN, type ColourWhen, type Paint, painter, wantsColour } from './paint.ts';
import { placed, type PlaceFlags } from './place.ts';
import { withExamples, withPages } from './verbs/common.ts';
import { addBackup, addRestore } from './verbs/backup.ts';
import { addConsole } from './verbs/console.ts';
import { addDoctor } from './verbs/doctor.ts';
import { addExplain } from './verbs/explain.ts';
import { addExport } from './verbs/export.ts';
import { addIdentity } from './verbs/identity.ts';
import { addLog } from './verbs/log.ts';
import { addOrders } from './verbs/orders.ts';
import { addPolicy } from './verbs/policy.ts';
import { addGrants } from './verbs/grants.ts';
import { addReport } from './verbs/report.ts';
import { addDecisions, addRequests } from './verbs/requests.ts';
import { addSessions } from './verbs/sessions.ts';
import { addUp } from './verbs/up.ts';
import { addVerify } from './verbs/verify.ts';
import { addSinks } from './verbs/sinks.ts';
import { addWitness } from './verbs/witness.ts';
import { VERSION } from './version.ts';

export type { ClusterFlags } from './collector/transport.ts';

export interface ProgramOptions {
  readonly io: Io;
  /** chaperone, or kubectl chaperone. */
  readonly name: string;
  /** Resolves when the person or the system asks to stop; from this call on a signal no longer ends the process by itself. */
  readonly stopped: () => Promise<void>;
  /** Reaches the collector of a cluster. */
  readonly openCluster: (flags: ClusterFlags) => Promise<Transport>;
  /** Says what the command found, as its exit code. */
  readonly exit: (code: number) => void;
}

/** What verbs are given beside. */
export interface VerbOptions extends ProgramOptions {
  /** Colours what goes to standard output, as --color says; known when a verb runs. */
  readonly paint: () => Paint;
  /** A command line of this program, about the place that this one names: it works when it is pasted. */
  readonly again: (command: string) => string;
}

/** Runs a command line. Rejects with CliError. What a verb needs is loaded when it runs: help and completion stay quick. */
export async function runProgram(argv: readonly string[], given: ProgramOptions): Promise<void> {
  const { io } = given;
  const colour = new Option('--color <WHEN>', 'colour on a terminal unless NO_COLOR is set, always, or never')
    .choices(COLOUR_WHEN)
    .default('auto' satisfies ColourWhen);
  const program = new Command(given.name)
    .description('Control and record what AI agents do.')
    .version(VERSION, '--version', 'Print the version')
    .helpOption('-h, --help', 'Show help')
    .addOption(colour)
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (command) => (command.parent === null ? [] : [colour]),
    })
    .helpCommand('help [verb]', 'Show the help of a verb')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.out.write(text),
      writeErr: (text) => void io.err.write(text),
      // Errors are written once, by whoever runs the program.
      outputError: () => undefined,
      // The same pages on every terminal, and in the file that holds them.
      getOutHelpWidth: () => 120,
      getErrHelpWidth: () => 120,
    });
  let flags: PlaceFlags = {};
  program.hook('preAction', (_, verb) => {
    flags = verb.opts();
  });
  const again = (command: string): string => placed(command, given.name, flags);
  const options: VerbOptions = {
    ...given,
    again,
    paint: () => painter(wantsColour(program.opts<{ color: ColourWhen }>().color, io.env, io.terminal.out)),
  };
  withExamples(
    program,
    'chaperone up --manifests examples/quickstart --agent agents/support-agent --labels app=support-agent',
    'chaperone sessions ls',
  );
  addUp(program, options);
  addSessions(program, options);
  addConsole(program, options);
  addDoctor(program, options);
  addExplain(program, options);
  addRequests(program, options);
  addDecisions(program, options);
  addGrants(program, options);
  addPolicy(program, options);
  addExport(program, options);
  addVerify(program, options);
  addReport(program, options);
  addLog(program, options);
  addSinks(program, options);
  addWitness(program, options);
  addIdentity(program, options);
  addOrders(program, options);
  addBackup(program, options);
  addRestore(program, options);
  withExamples(
    program
      .command('version')
      .description('Print the version of this client')
      .action(() => void io.out.write(`${VERSION}\n`)),
    'chaperone version',
    'kubectl chaperone version',
  );
  withPages(program);
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    const said = error instanceof CommanderError ? wrongUsage(error) : asCliError(error);
    if (said !== undefined) throw withHelp(pastable(said, again), verbOf(program, argv));
    if (error instanceof CommanderError && error.exitCode !== 0) options.exit(EXIT.usage);
  }
}

/** The verb that is meant, as it is typed: `chaperone sessions kill`. */
function verbOf(program: Command, argv: readonly string[]): string {
  const path = [program.name()];
  let at: Command = program;
  for (const word of argv) {
    if (word.startsWith('-')) continue;
    const next = at.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    path.push(word);
    at = next;
  }
  return path.join(' ');
}

/** What mends it, as it works when it is pasted. */
function pastable(error: CliError, again: VerbOptions['again']): CliError {
  return error.fix.length === 0 ? error : withFix(error, error.fix.map(again));
}

/** Whoever used a verb wrongly reads where its help is, unless the error says what mends it. */
function withHelp(error: CliError, verb: string): CliError {
  if (error.code !== 'Usage' || error.fix.length > 0) return error;
  return withFix(error, [`${verb} --help`]);
}

/** Commander's complaint in our words; undefined where help or the version was asked for and is written. */
function wrongUsage({ code, message, exitCode }: CommanderError): CliError | undefined {
  if (exitCode === 0 || code === 'commander.help') return undefined;
  const [first = '', suggestion = ''] = message.split('\n');
  const near = /\(Did you mean (?:one of )?(.+)\?\)/.exec(suggestion)?.[1];
  const said = first
    .replace(/^error: /, '')
    .replace(/^unknown command/, 'unknown verb')
    .replaceAll("'", '"')
    .replace(/\.$/, '');
  return usage(near === undefined ? said : `${said}; did you mean "${near.split(', ').join('" or "')}"?`);
}
