/** Why it cannot be told what a command runs. The words hold nothing of the command. */
const REASONS = {
  Empty: 'there is no command',
  TooLong: 'it is too long',
  TooMany: 'it has too many words or commands',
  NotText: 'it is not UTF-8',
  ControlCharacter: 'it holds a line break, a control character or a blank that shells do not agree on',
  NotAscii: 'a character beyond ASCII stands outside of quotes',
  Expansion: 'a shell would put something in place of $ or a backtick',
  Pattern: 'a shell would put the names of files in place of a pattern',
  Special: 'shells do not agree on an unquoted character in it',
  Assignment: 'it sets a variable',
  Background: 'it runs something in the background',
  Grouping: 'it groups commands, or defines a function',
  Redirection: 'it redirects to or from more than /dev/null, 1 or 2',
  Unterminated: 'a quote does not end',
  Syntax: 'an operator has no command on one side',
  ReservedWord: 'it is more than commands in a row',
  ProgramName: 'the name of a program is an unusual one',
  Builtin: 'a builtin of the shell can run something else',
  Option: 'an option or word is not known to be harmless',
  RunsOthers: 'the program can run any other, and what it runs is not told here',
  ReadsCode: 'it reads what it runs from its input',
  Nested: 'it is nested too deeply',
} as const;

/** What an agent may write in place of it, clauses; of the others: {@link PLAIN}. */
const INSTEAD: Partial<Record<keyof typeof REASONS, string>> = {
  Empty: 'name a command',
  TooLong: 'send less at once',
  TooMany: 'send one command a request',
  Background: 'send one command a request',
  Grouping: 'send one command a request',
  ReservedWord: 'send one command a request',
  Builtin: 'send each command by itself',
  ProgramName: 'call the program by its usual name',
  Option: 'leave out options and words that can make the program run or write something else',
  RunsOthers: 'send what it would run by itself',
  Nested: 'send what it would run by itself',
};
const PLAIN = 'write it with plain words and quotes, without variables, substitutions, patterns and redirections';

export type UnknownCode = keyof typeof REASONS;

/** No claim is made about what a command does. Whoever asks for it to run asks for anything. */
export interface Unknown {
  readonly kind: 'unknown';
  readonly code: UnknownCode;
  /** One clause for people, without anything of the command. */
  readonly why: string;
  /** What to write in place of it, a clause. */
  readonly instead: string;
  /** The character, from 0, that led to it, where there is one. */
  readonly at?: number;
}

/** As people and agents are told of it. */
export function untold({ why }: Unknown): string {
  return `what it runs cannot be told, since ${why}`;
}

export function unknown(code: UnknownCode, at?: number): Unknown {
  return { kind: 'unknown', code, why: REASONS[code], instead: INSTEAD[code] ?? PLAIN, ...(at !== undefined && { at }) };
}
