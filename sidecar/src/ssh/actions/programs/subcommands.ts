import { type Finding, type Judge, OPTION, PLAIN, runs } from './finding.ts';
import { type OptionTable, parseArguments } from './options.ts';

/**
 * A program whose first operand says what it does. `git -C /srv log` counts as `git log` too, so that a rule about `git push` meets
 * it wherever options stand.
 * @param subcommands - those that are known; others may be extensions or aliases
 */
export function withSubcommands(global: OptionTable, subcommands: Readonly<Record<string, Judge>>): Judge {
  return (args, name): Finding => {
    const found = parseArguments(args, { ...global, inFront: true });
    if (found === undefined) return OPTION;
    const [subcommand, ...rest] = found.operands;
    if (subcommand === undefined) return found.options.every(([option]) => option === 'version') ? PLAIN : OPTION;
    const judge = Object.hasOwn(subcommands, subcommand) ? subcommands[subcommand] : undefined;
    if (judge === undefined) return OPTION;
    const finding = judge(rest, subcommand);
    return finding.kind === 'plain' && found.options.length > 0 ? runs([name, subcommand, ...rest]) : finding;
  };
}
