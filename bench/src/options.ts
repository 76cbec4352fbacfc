import { parseArgs } from 'node:util';
import { POINT_KEYS, type PointKey } from './loads.ts';

export interface Options {
  readonly quick: boolean;
  readonly profile: boolean;
  /** Only start and memory. */
  readonly memory: boolean;
  /** Only what a rule that asks people costs statements which it does not hold. */
  readonly approvals: boolean;
  /** Only the speed of detectors, which needs no server. */
  readonly detectors: boolean;
  /** Only SSH, beside OpenSSH alone. */
  readonly ssh: boolean;
  /** Of SSH, only these loads; undefined: all. */
  readonly loads: readonly string[] | undefined;
  /** Only the Kubernetes API, beside a stand-in for an API server alone. */
  readonly kubernetes: boolean;
  /** Only what SSH's transport costs, in memory. */
  readonly packets: boolean;
  /** Only what recording costs, alone. */
  readonly recording: boolean;
  /** Only these loads of the data path; 'all' of them, or names with commas. */
  readonly bulk: string | undefined;
  /** Only these loads of short statements. */
  readonly points: readonly PointKey[] | undefined;
  /** Where the JSON goes; undefined: bench/results/ by date and commit. */
  readonly output: string | undefined;
  /** Each load is measured this often on every path, in turn. */
  readonly rounds: number;
  readonly secondsPerRun: number;
  /** Load before the first measurement: a process whose hot code is not compiled yet is not what serves all day. */
  readonly warmUpSeconds: number;
  readonly connects: number;
  /** Large results take seconds each, so they get rounds of their own. */
  readonly bulkRounds: number;
  readonly bulkRows: number;
  readonly idleSessions: number;
  readonly starts: number;
  /** Of SSH: what goes through one command. */
  readonly sshMib: number;
}

export const HELP = `Usage: node bench/src/main.ts [--quick] [--memory] [--profile] [--detectors] [--ssh] [--kubernetes] [--packets] [--recording] [--approvals] [--bulk NAMES] [--points NAMES] [--output FILE]

Measures Chaperone beside a direct connection and PgBouncer, in one run, on this machine. Prints a table and keeps it as
JSON. A path that cannot be measured is named; the exit code says only whether the program itself could run.

  --quick        some 6 minutes: fewer, shorter rounds and 200,000 rows (default: under 25 minutes)
  --memory       only start and memory, which are printed and not kept
  --profile      write a CPU profile of Chaperone under point selects and print where its time went; no comparison
  --detectors    how fast text is looked through, beside regular expressions; no server, no comparison
  --ssh          only SSH: OpenSSH's client and server directly, by a bare relay and by the sidecar; kept as …-ssh.json
                 (with --profile, also where the time of the sidecar goes; with --loads NAMES only some of download,upload,text,get,put,true,live)
  --kubernetes   only the Kubernetes API: a get, a list of 5,000 pods, watches, directly and by chaperone up; kept as …-kubernetes.json
                 (with --profile, also where the time of chaperone up goes; with --loads NAMES only some of get,list,events,watches,real,exec)
  --packets      what SSH's packets cost, in memory, beside the ciphers alone; no server, no comparison
  --recording    what recording costs, alone: statements, output, idle sessions; no server, no comparison; needs a disk
  --approvals    only what a rule that asks people costs statements that need nobody, beside the same path twice; printed and not kept
  --bulk NAMES   only large results, printed and not kept: all, or some of masked,wide,untouched,copy,detectors,value,first,unseen
                 (with --profile, also where the time of each goes)
  --points NAMES only short statements, kept as local-…: all, or some of ${POINT_KEYS.join(',')}
                 (with --profile, the profiles of these)
  --output FILE  where the JSON goes (default: bench/results/DATE-COMMIT.json; local-… with --quick)
  --help         this text
`;

const FULL = {
  rounds: 9,
  secondsPerRun: 1,
  warmUpSeconds: 8,
  connects: 40,
  bulkRounds: 7,
  bulkRows: 1_000_000,
  idleSessions: 1_000,
  starts: 3,
  sshMib: 256,
};
const QUICK = {
  rounds: 3,
  secondsPerRun: 1,
  warmUpSeconds: 3,
  connects: 10,
  bulkRounds: 3,
  bulkRows: 200_000,
  idleSessions: 200,
  starts: 1,
  sshMib: 128,
};

/** Reads the command line; 'help' where that was asked for. Throws TypeError for flags that do not exist. */
export function parseOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      memory: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      detectors: { type: 'boolean', default: false },
      ssh: { type: 'boolean', default: false },
      kubernetes: { type: 'boolean', default: false },
      packets: { type: 'boolean', default: false },
      recording: { type: 'boolean', default: false },
      loads: { type: 'string' },
      approvals: { type: 'boolean', default: false },
      bulk: { type: 'string' },
      points: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const { quick, memory, profile, detectors, ssh, kubernetes, packets, recording, approvals, bulk, output } = values;
  const loads = values.loads?.split(',');
  const points = values.points === undefined ? undefined : pointKeys(values.points);
  return {
    quick,
    memory,
    profile,
    detectors,
    ssh,
    kubernetes,
    packets,
    recording,
    loads,
    approvals,
    bulk,
    points,
    output,
    ...(quick ? QUICK : FULL),
  };
}

function pointKeys(names: string): readonly PointKey[] {
  if (names === 'all') return POINT_KEYS;
  return names.split(',').map((name) => {
    const key = POINT_KEYS.find((known) => known === name);
    if (key === undefined) throw new TypeError(`--points knows no ${name}`);
    return key;
  });
}
