/**
 * `make demo`: a real PostgreSQL with a small shop, Chaperone before it, and an agent that uses a stock client.
 * Everything happens in one temporary folder and on loopback. Nothing of it outlives the demo, however it ends, but a copy of
 * PostgreSQL's programs that the next one uses again; with --keep it runs until Ctrl-C.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startPostgres, testAuthority, type TestPostgres } from '@chaperone/testing';
import { Client, type QueryResult } from 'pg';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'cli/bin/chaperone');
const colour = process.stdout.isTTY && !process.env['NO_COLOR'];
const { values: flags } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });

const AGENT_PASSWORD = 'what-the-agent-was-given';
const CREDENTIAL = { username: 'support_agent', password: 'only-the-proxy-knows-this' };

function say(text = ''): void {
  process.stdout.write(`${text}\n`);
}
function step(text: string): void {
  say(colour ? `\n\u001b[1m${text}\u001b[0m` : `\n${text}`);
}
/** What the demo shows is not so. */
class Failed extends Error {}
function fail(what: string): never {
  throw new Failed(what);
}
/** The demo is a test too: what it shows must be so. */
function must(condition: boolean, what: string): void {
  if (!condition) fail(what);
}

async function shop(server: TestPostgres): Promise<void> {
  const admin = new Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    password: server.superuser.password,
    database: 'postgres',
    ssl: { rejectUnauthorized: false },
  });
  await admin.connect();
  await admin.query('create database orders');
  await admin.query(`create role ${CREDENTIAL.username} login password '${CREDENTIAL.password}'`);
  // The trees that the server prints for lineage go to the session only, not to the server's log.
  await admin.query(`alter role ${CREDENTIAL.username} set log_min_messages = fatal`);
  await admin.end();
  const owner = new Client({
    host: server.host,
    port: server.port,
    user: 'postgres',
    password: server.superuser.password,
    database: 'orders',
    ssl: { rejectUnauthorized: false },
  });
  await owner.connect();
  await owner.query(readFileSync(join(root, 'examples/quickstart/shop.sql'), 'utf8'));
  await owner.end();
}

function table(result: QueryResult): void {
  const names = result.fields.map((field) => field.name);
  const rows = result.rows.map((row: Record<string, string | number | null>) =>
    names.map((name) => (row[name] === null ? '' : String(row[name]))),
  );
  const widths = names.map((name, at) => Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: string[]): string => `   ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd();
  say(line(names));
  for (const row of rows) say(line(row));
}

interface Ready {
  readonly resources: readonly { resource: string; address: string }[];
  readonly collector: string;
  readonly console: string;
}

async function up(manifests: string, data: string): Promise<{ child: ChildProcess; ready: Ready }> {
  const agent = ['--agent', 'agents/support-agent', '--labels', 'app=support-agent'];
  const child = spawn(bin, ['up', '--manifests', manifests, ...agent, '--data', data, '--output', 'json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Ctrl-C is for the demo, which then ends what it started.
    detached: true,
  });
  cleanup.defer(async () => {
    await end(child);
  });
  process.once('exit', () => child.kill('SIGKILL'));
  const ready = new Promise<Ready>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Failed(`chaperone up ended with ${code} before it was ready`)));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line) as Ready));
  });
  return { child, ready: await ready };
}

/** Asks a process to end, insists after a while, and tells its exit code. */
async function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await ended;
  clearTimeout(timer);
  return child.exitCode;
}

/** A command as it works in this folder, while the demo runs. */
function pasted(args: readonly string[]): string {
  const program = relative(process.cwd(), bin).replace(/^(?![./])/, './');
  return [program, ...args].map((arg) => (/^[\w./:=-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`)).join(' ');
}

function chaperone(...args: string[]): string {
  say(`   $ ${pasted(args)}`);
  const run = spawnSync(bin, args, { encoding: 'utf8' });
  say((run.stdout + run.stderr).trimEnd().replace(/^/gm, '   '));
  must(run.status === 0, `chaperone ${args[0]} ended with ${run.status}`);
  return run.stdout;
}

async function agentsDay(address: string): Promise<void> {
  const [host = '', port = ''] = address.split(':');
  const agent = new Client({
    host,
    port: Number(port),
    user: 'bot',
    password: AGENT_PASSWORD,
    database: 'orders',
    application_name: 'support-bot',
  });
  agent.on('error', () => undefined);
  await agent.connect();
  const ask = async (sql: string): Promise<QueryResult> => {
    say(`\n   agent> ${sql}`);
    const result = await agent.query(sql);
    if (result.fields.length > 0) table(result);
    else say(`   ${result.command} ${result.rowCount}`);
    const text = JSON.stringify(result.rows);
    must(!/123-45-6789|987-65-4320|4111111111111111|5500005555555559/.test(text), 'a masked value was delivered');
    return result;
  };
  step('3. The agent reads customers: SSN and card stay masked, whatever it tries');
  await ask('select id, name, email, ssn, card from customers order by id');
  await ask('select ssn as note from customers where id = 1');
  await ask('select t.subject, c.ssn from tickets t join customers c on c.id = t.customer_id where t.id = 1');
  await ask("select 'ssn is ' || ssn as sentence from customers where id = 1");
  await ask('select row_to_json(c) as everything from customers c where id = 1');
  step('4. It closes a ticket: that is what it is for');
  await ask("update tickets set status = 'closed' where id = 1");
  step('5. It tries what is forbidden');
  say('\n   agent> drop table tickets');
  const refused = await agent.query('drop table tickets').then(
    () => fail('DROP TABLE was not refused'),
    (error: Error) => error.message,
  );
  say(`   ERROR:  ${refused}`);
  must(refused.includes('Schema changes go through the migration pipeline.'), "the policy's own message is missing");
  say('\n   … and the connection is still usable:');
  await ask('select count(*) from tickets');
  await agent.end();
}

/** A person at another terminal answers what a rule holds: exactly what was shown, once. */
async function refunds(address: string, data: string): Promise<void> {
  const [host = '', port = ''] = address.split(':');
  const agent = new Client({ host, port: Number(port), user: 'bot', password: AGENT_PASSWORD, database: 'orders' });
  agent.on('error', () => undefined);
  await agent.connect();
  /** Sends a statement that is held, and gives its request once there is one. */
  const held = async (sql: string): Promise<{ request: Held; answer: Promise<string> }> => {
    say(`\n   agent> ${sql}`);
    const notice = once(agent, 'notice') as Promise<[{ message: string }]>;
    const answer = agent.query(sql).then(
      ({ command, rowCount }) => `${command} ${rowCount}`,
      (error: Error) => `ERROR:  ${error.message}`,
    );
    const [{ message }] = await Promise.race([notice, answer.then((text) => fail(`it was not held: ${text}`))]);
    say(`   NOTICE:  ${message}\n`);
    const name = /\bar-[a-z2-7]{16}\b/.exec(message)?.[0] ?? fail('the notice names no request');
    const shown = spawnSync(bin, ['requests', 'show', name, '--data', data, '-o', 'json'], { encoding: 'utf8' });
    return { request: JSON.parse(shown.stdout) as Held, answer };
  };
  const refund = 'update orders set total = 0 where id = 102';
  const first = await held(refund);
  const { name } = first.request.metadata;
  const digest = `${first.request.spec.digest.slice(0, 4)}-${first.request.spec.digest.slice(4, 8)}`;
  chaperone('requests', 'ls', '--data', data);
  const approved = chaperone('approve', name, '--digest', digest, '--reason', 'ticket 2', '--data', data);
  must(approved.includes('UPDATE 1'), 'what was approved did not run');
  const ran = await first.answer;
  say(`   agent> ${ran}`);
  must(ran === 'UPDATE 1', 'the agent did not get its answer');

  const second = await held(refund);
  chaperone('deny', second.request.metadata.name, '--reason', 'refunded already', '--data', data);
  const refused = await second.answer;
  say(`   agent> ${refused}`);
  must(refused.includes('refunded already'), 'the agent was not told why it was denied');
  await agent.end();
}

interface Held {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly digest: string };
}

/** Writes the quickstart's manifests for this server. */
function writeManifests(directory: string, server: TestPostgres, authority: string): void {
  cpSync(join(root, 'examples/quickstart'), directory, { recursive: true });
  const ca = authority.trimEnd().replaceAll('\n', '\n    ');
  for (const name of readdirSync(directory).filter((file) => file.endsWith('.yaml'))) {
    const file = join(directory, name);
    const text = readFileSync(file, 'utf8')
      .replaceAll('127.0.0.1:54329', `127.0.0.1:${server.port}`)
      .replace('password: change-me', `password: ${CREDENTIAL.password}`)
      .replace(/ca\.crt: replace with .*/, `ca.crt: |\n    ${ca}`);
    writeFileSync(file, text, { mode: 0o600 });
  }
}

/** The agent's own password at the database itself. */
async function triesPastTheProxy(server: TestPostgres, ca: string): Promise<void> {
  const { host, port } = server;
  const direct = new Client({ host, port, user: 'bot', password: AGENT_PASSWORD, database: 'orders', ssl: { ca } });
  const opened = await direct.connect().then(
    () => true,
    (error: Error) => {
      say(`   ERROR:  ${error.message}`);
      return false;
    },
  );
  must(!opened, 'the agent could log in directly');
}

/** What somebody may do next, as it works when it is pasted. */
function goOn({ address, data, manifests, link }: { address: string; data: string; manifests: string; link: string }): void {
  const [host, port] = address.split(':');
  const client = `psql "host=${host} port=${port} dbname=orders user=you password=any"`;
  const here = (...args: string[]): string => `   ${pasted([...args, '--data', data])}`;
  const waiting = `"$(${here('requests', 'ls', '--state', 'Pending', '-o', 'name').trim()})"`;
  say(
    [
      '',
      'It goes on running. Connect with your own client:',
      '',
      `   ${client}`,
      here('sessions', 'ls'),
      '',
      'Ask for what a person has to approve; it waits:',
      '',
      `   ${client} -c "update orders set total = 0 where id = 103"`,
      '',
      'Answer it at another terminal, in this folder; docs/guides/approvals.md goes on from there:',
      '',
      here('requests', 'ls'),
      here('approve', 'NAME').replace('NAME', waiting),
      here('deny', 'NAME', '--reason', 'not today').replace('NAME', waiting),
      '',
      `The rules are in ${manifests}; a change of them counts within a second.`,
      '',
      'Look at it in a browser; the link works once, for ten minutes, and the command prints another:',
      '',
      `   ${link}`,
      here('console'),
      '',
      'Ctrl-C ends it.',
    ].join('\n'),
  );
}

async function demo(folder: string): Promise<void> {
  const began = performance.now();
  step('1. A real PostgreSQL 18 with a small shop: customers, tickets, orders');
  const authority = await testAuthority('shop CA');
  const tls = await authority.issue(['localhost', '127.0.0.1']);
  const server = await startPostgres({ tls, directory: join(folder, 'postgres') });
  cleanup.defer(() => server.stop());
  await shop(server);
  say(`   listening on ${server.host}:${server.port}, TLS, passwords by SCRAM-SHA-256`);

  step('2. Chaperone before it, from the two YAML kinds in examples/quickstart');
  const [manifests, data] = [join(folder, 'manifests'), join(folder, 'data')];
  writeManifests(manifests, server, authority.ca);
  const { child, ready } = await up(manifests, data);
  const address = ready.resources[0]?.address ?? fail('no resource is served');
  say(`   ready   data/orders-db   postgres   ${address}`);
  await agentsDay(address);

  step('6. It wants to refund an order: a rule holds that until a person approves exactly this, once');
  await refunds(address, data);

  step('7. The same password at the database itself opens nothing');
  await triesPastTheProxy(server, authority.ca);

  step('8. What is left behind: sessions, a replay, and the proof');
  const listed = chaperone('sessions', 'ls', '--data', data);
  const recorded = listed.match(/\bs-[a-z2-7]+/g) ?? [];
  must(recorded.length === 2, 'not every session was recorded');
  chaperone('sessions', 'replay', recorded[0] ?? '', '--data', data);
  for (const session of recorded)
    must(chaperone('verify', session, '--data', data).includes('complete'), 'the evidence is not complete');
  if (flags.keep) {
    goOn({ address, data, manifests, link: ready.console });
    kept = true;
    await interrupted;
  }
  must((await end(child)) === 0, 'chaperone up did not end cleanly');
  if (!flags.keep) step(`Done in ${((performance.now() - began) / 1000).toFixed(0)} s. KEEP=1 make demo leaves it running.`);
}

const stop = new AbortController();
const cleanup = new AsyncDisposableStack();
const interrupted = once(stop.signal, 'abort');
/** Whether all was shown, and the demo only waits to be ended. */
let kept = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
const folder = mkdtempSync(join(tmpdir(), 'chaperone-demo-'));
const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
process.once('exit', remove);
// PostgreSQL will not run as root, and its own user must reach its folder; it can read nothing else in here.
chmodSync(folder, 0o711);

const ended = demo(folder).then(
  () => 0,
  (error: unknown) => {
    if (stop.signal.aborted) return 130;
    say(`\nFAIL  ${error instanceof Error ? error.message : String(error)}`);
    if (error instanceof Error && !(error instanceof Failed)) process.stderr.write(`${error.stack}\n`);
    return 1;
  },
);
// Interrupted before its end, the demo does not go on: what it waits for is ended beneath it.
process.exitCode = await Promise.race([ended, interrupted.then(() => (kept ? ended : 130))]);
await cleanup.disposeAsync();
// Once more behind the handlers that kill what is left, since that may still write.
process.once('exit', remove);
process.exit();
