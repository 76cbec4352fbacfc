import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { eventually } from '@chaperone/testing';
import type { Cluster } from './cluster.ts';
import type { Result } from './run.ts';

/** What the agent was given; it opens nothing. */
const PASSWORD = 'what-the-agent-was-given';
const TARGET = 'host=orders-db dbname=orders user=bot';
const psql = (target: string): string[] => ['env', `PGPASSWORD=${PASSWORD}`, 'psql', target, '-X', '-A', '-t'];
/** Longest time in which a pod that is ready is served, on a host with other work: a sidecar asks again after 30 s at most. */
const SERVED_MS = 60_000;

/** Sends a byte to HOST PORT and prints what comes: `answer TEXT`, `closed`, `timeout` or the system's code. */
const DIAL = `const [host, port] = process.argv.slice(1);
const socket = require('node:net').connect({ host, port: Number(port), timeout: 5000 });
const end = (what) => { console.log(what); process.exit(0); };
socket.on('connect', () => socket.write('GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'));
socket.on('data', (data) => end('answer ' + data.toString('latin1').slice(0, 40)));
socket.on('end', () => end('closed'));
socket.on('error', (error) => end(error.code));
socket.on('timeout', () => end('timeout'));`;
const SEND = `const [host, port] = process.argv.slice(1);
require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4').send('x', Number(port), host, (error) => { console.log(error ? error.code : 'sent'); process.exit(0); });`;

/** One agent's container, as somebody who has a shell in it. */
export class Agent {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #exec: readonly string[];

  constructor(cluster: Cluster, name: string, namespace: string) {
    this.#cluster = cluster;
    this.name = name;
    this.#exec = ['exec', '-i', name, '-n', namespace, '-c', 'bot', '--'];
  }

  run(...command: string[]): Promise<Result> {
    return this.feed('', ...command);
  }

  /** Runs a command with `input` as its standard input. */
  feed(input: string, ...command: string[]): Promise<Result> {
    return this.#cluster.kubectl([...this.#exec, ...command], input);
  }

  /** A command that goes on until its standard input ends. */
  begin(...command: string[]): ChildProcessWithoutNullStreams {
    return this.#cluster.begin([...this.#exec, ...command]);
  }

  /** Stock psql that stays open: reads its standard input until that ends. */
  startPsql(target = TARGET): ChildProcessWithoutNullStreams {
    return this.begin(...psql(target));
  }

  /** Stock psql over one connection; every statement by itself. */
  psql(sql: string, target = TARGET, ...args: string[]): Promise<Result> {
    return this.feed(sql, ...psql(target), ...args);
  }

  /** A Python program in the agent's container; psycopg2 is there. */
  python(source: string): Promise<Result> {
    return this.feed(source, 'env', `PGPASSWORD=${PASSWORD}`, 'python3', '-u', '-');
  }

  /** A JavaScript program in the agent's container; must succeed. @returns What it printed. */
  async node(script: string, ...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run('/usr/local/bin/node', '-e', script, '--', ...args);
    if (status !== 0) throw new Error(`a script in ${this.name} ended with ${status}: ${stderr.slice(-1_000)}`);
    return stdout.trim();
  }

  /** What a TCP connection brings: `answer …`, `closed`, `timeout` or the system's code. */
  dial(host: string, port: number): Promise<string> {
    return this.node(DIAL, host, String(port));
  }

  /** What becomes of one datagram: `sent` or the system's code. */
  send(host: string, port: number): Promise<string> {
    return this.node(SEND, host, String(port));
  }

  /** Reads a masked column all the time, on one connection, while `during` happens. @returns `lived True`, or how its session ended. */
  async readingWhile(mark: string, during: () => Promise<unknown>): Promise<string> {
    const live = this.python(`import os, psycopg2, time
connection = psycopg2.connect("host=orders-db dbname=orders user=bot")
connection.autocommit = True
cursor = connection.cursor()
turns = 0
while not os.path.exists("/tmp/${mark}.stop"):
    try:
        cursor.execute("select ssn from customers where id = 1")
        assert cursor.fetchone()[0] == "*******6789"
        turns += 1
    except psycopg2.Error as error:
        print("ended", str(error).splitlines()[0]); raise SystemExit
    if turns == 1: open("/tmp/${mark}", "w").close()
    time.sleep(0.1)
print("lived", turns > 1)
`);
    const begun = async (): Promise<number | null> => (await this.run('test', '-e', `/tmp/${mark}`)).status;
    await eventually('a first row', async () => ((await begun()) === 0 ? true : undefined));
    try {
      await during();
    } finally {
      await this.run('touch', `/tmp/${mark}.stop`);
    }
    const { stdout, stderr } = await live;
    return stdout + stderr;
  }

  /** Waits until its database answers. */
  async serves(): Promise<void> {
    await eventually(
      `${this.name} to be served`,
      async () => {
        const { status, stderr } = await this.psql('select 1');
        if (status !== 0) throw new Error(stderr.slice(-1_000));
        return true;
      },
      SERVED_MS,
    );
  }
}
