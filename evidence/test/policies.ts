import { POLICY } from './world.ts';

/*
 * Trust policies, whole and broken, of the log and the witnesses of world.ts; the first two of these have cosigned what its files have.
 */
const [, logLine = '', ...more] = POLICY.split('\n');
const [, log = ''] = logLine.split(' ');
const [w1 = '', w2 = '', w3 = ''] = more.map((line) => line.split(' ')[2] ?? '');
const WITNESSES = `witness w1 ${w1}\nwitness w2 ${w2}\nwitness w3 ${w3}\n`;
const KEYS = `log ${log}\n${WITNESSES}`;
const renamed = (key: string): string => `x${key}`;

/** What a policy says of the quorum; undefined: it is none. */
export const POLICIES: readonly (readonly [name: string, text: string, quorum: 'met' | 'missing' | undefined])[] = [
  ['that asks for no witness', `log ${log}\nquorum none\n`, 'met'],
  ['with blanks, tabs, addresses and remarks', `#\n\n \tlog\t${log} https://x \n  # x\nquorum none\n`, 'met'],
  ['that asks for a witness that cosigned', `${KEYS}quorum w2\n`, 'met'],
  ['that asks for a witness that did not', `${KEYS}quorum w3\n`, 'missing'],
  ['that asks for any of a group', `${KEYS}group g any w1 w3\nquorum g\n`, 'met'],
  ['that asks for two of three', `${KEYS}group g 2 w1 w2 w3\nquorum g\n`, 'met'],
  ['that asks for all of three', `${KEYS}group g all w1 w2 w3\nquorum g\n`, 'missing'],
  ['that asks for groups of groups', `${KEYS}group g any w2 w3\ngroup h all w1 g\nquorum h\n`, 'met'],
  ['that asks for a group that is not met in a group', `${KEYS}group g all w2 w3\ngroup h all w1 g\nquorum h\n`, 'missing'],
  ['of 1024 lines', `${KEYS}${'\n'.repeat(1019)}quorum w1\n`, 'met'],
  ['of 1025 lines', `${KEYS}${'\n'.repeat(1020)}quorum w1\n`, undefined],
  ['whose last line does not end', `${KEYS}quorum w1`, undefined],
  ['of nothing', '', undefined],
  ['without a quorum', KEYS, undefined],
  ['with two quorums', `${KEYS}quorum w1\nquorum w1\n`, undefined],
  ['with a quorum of two words', `${KEYS}quorum w1 w2\n`, undefined],
  ['with a quorum of nothing', `${KEYS}quorum\n`, undefined],
  ['with a quorum that nobody is', `${KEYS}quorum w4\n`, undefined],
  ['with a quorum before its line', `quorum w1\n${KEYS}`, undefined],
  ['with a control character', `${KEYS}# \u0001\nquorum w1\n`, undefined],
  ['with a carriage return', `${KEYS}quorum w1\r\n`, undefined],
  ['with a character that deletes', `${KEYS}# \u007f\nquorum w1\n`, undefined],
  ['with a word that is none', `${KEYS}witnesses w1\nquorum w1\n`, undefined],
  ['with a log without a key', `log\n${WITNESSES}quorum w1\n`, undefined],
  ['with a log of three words', `log ${log} x y\nquorum none\n`, undefined],
  ['with a log by a key for witnesses', `log ${w1}\nquorum none\n`, undefined],
  ['with a witness by a key for logs', `witness w ${log}\nquorum none\n`, undefined],
  ['with a log twice', `log ${log}\nlog ${log}\nquorum none\n`, undefined],
  ['with a witness under two names', `${KEYS}witness w ${w1}\nquorum none\n`, undefined],
  ['with two witnesses of a name', `log ${log}\nwitness w ${w1}\nwitness w ${w2}\nquorum none\n`, undefined],
  ['with a witness called none', `log ${log}\nwitness none ${w1}\nquorum none\n`, undefined],
  ['with a witness of four words', `log ${log}\nwitness w ${w1} x y\nquorum none\n`, undefined],
  ['with a witness without a key', `log ${log}\nwitness w\nquorum none\n`, undefined],
  ['with a group called none', `${KEYS}group none any w1\nquorum none\n`, undefined],
  ['with a group of the name of a witness', `${KEYS}group w1 any w2\nquorum w1\n`, undefined],
  ['with a group of nobody', `${KEYS}group g any\nquorum w1\n`, undefined],
  ['with a group of somebody unknown', `${KEYS}group g any w1 w4\nquorum g\n`, undefined],
  ['with a group of none', `${KEYS}group g any w1 none\nquorum g\n`, undefined],
  ['with a group of one twice', `${KEYS}group g 2 w1 w1\nquorum g\n`, undefined],
  ['with a witness in two groups', `${KEYS}group g any w1\ngroup h any w1\nquorum g\n`, undefined],
  ...['0', '3', '01', '-1', '1.5', 'x', 'ALL', 'constructor'].map(
    (threshold) => [`with a group of ${threshold} of two`, `${KEYS}group g ${threshold} w1 w2\nquorum g\n`, undefined] as const,
  ),
  ['with a key under another name', `log ${renamed(log)}\nquorum none\n`, undefined],
  ['with a key without its id', `log ${log.replace(/\+[0-9a-f]{8}\+/, '+')}\nquorum none\n`, undefined],
  ['with a key with a shorter id', `log ${log.replace(/\+[0-9a-f]/, '+')}\nquorum none\n`, undefined],
  ['with a key that is cut', `log ${log.slice(0, -4)}\nquorum none\n`, undefined],
  ['with a key with a byte more', `log ${log}AAAA\nquorum none\n`, undefined],
  ['with a key in another alphabet', `log ${log.slice(0, -1)}-\nquorum none\n`, undefined],
];
