/**
 * `make demo`: a real PostgreSQL with a small shop, Chaperone before it, and an agent that uses a stock client.
 * Everything happens in one temporary folder and on loopback; nothing outlives it unless --keep is given.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startPostgres, temporaryDirectory, testAuthority, type TestPostgres } from '@chaperone/testing';
import pg from 'pg';

const root = join(import.meta.dirname, '..');
const cli = join(root, 'cli/src/main.ts');
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
function fail(what: string): never {
  say(`\nFAIL  ${what}`);
  process.exit(1);
}
/** The demo is a test too: what it shows must be so. */
function must(condition: boolean, what: string): void {
  if (!condition) fail(what);
}

async function shop(server: TestPostgres): Promise<void> {
  const admin = new pg.Client({
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
  const owner = new pg.Client({
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

function table(result: pg.QueryResult): void {
  const names = result.fields.map((field) => field.name);
  const rows = result.rows.map((row: Record<string, unknown>) =>
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
}

function up(manifests: string, data: string): Promise<{ child: ChildProcess; ready: Ready }> {
  const child = spawn(
    process.execPath,
    [
      cli,
      'up',
      '--manifests',
      manifests,
      '--agent',
      'agents/support-agent',
      '--labels',
      'app=support-agent',
      '--data',
      data,
      '--output',
      'json',
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`chaperone up ended with ${code}`)));
    const lines = createInterface({ input: child.stdout });
    lines.once('line', (line) => resolve({ child, ready: JSON.parse(line) as Ready }));
  });
}

function chaperone(...args: string[]): string {
  say(`   $ chaperone ${args.filter((arg, at) => !['--data'].includes(arg) && args[at - 1] !== '--data').join(' ')}`);
  const run = spawnSync(process.execPath, [cli, ...args], { encoding: 'utf8' });
  say((run.stdout + run.stderr).trimEnd().replace(/^/gm, '   '));
  must(run.status === 0, `chaperone ${args[0]} ended with ${run.status}`);
  return run.stdout;
}

async function agentsDay(address: string): Promise<void> {
  const [host = '', port = ''] = address.split(':');
  const agent = new pg.Client({
    host,
    port: Number(port),
    user: 'bot',
    password: AGENT_PASSWORD,
    database: 'orders',
    application_name: 'support-bot',
  });
  agent.on('error', () => undefined);
  await agent.connect();
  const ask = async (sql: string): Promise<pg.QueryResult> => {
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

async function main(): Promise<void> {
  const began = Date.now();
  await using folder = await temporaryDirectory('chaperone-demo-');
  step('1. A real PostgreSQL 18 with a small shop: customers, tickets, orders');
  const authority = await testAuthority('shop CA');
  const server = await startPostgres({ tls: await authority.issue(['localhost', '127.0.0.1']) });
  try {
    await shop(server);
    say(`   listening on ${server.host}:${server.port}, TLS, passwords by SCRAM-SHA-256`);
    step('2. Chaperone before it, from the two YAML kinds in examples/quickstart');
    const manifests = join(folder.path, 'manifests');
    cpSync(join(root, 'examples/quickstart'), manifests, { recursive: true });
    const ca = authority.ca.trimEnd().replaceAll('\n', '\n    ');
    for (const name of readdirSync(manifests).filter((file) => file.endsWith('.yaml'))) {
      const file = join(manifests, name);
      const text = readFileSync(file, 'utf8')
        .replaceAll('127.0.0.1:54329', `127.0.0.1:${server.port}`)
        .replace('password: change-me', `password: ${CREDENTIAL.password}`)
        .replace(/ca\.crt: replace with .*/, `ca.crt: |\n    ${ca}`);
      writeFileSync(file, text, { mode: 0o600 });
    }
    const data = join(folder.path, 'data');
    const { child, ready } = await up(manifests, data);
    const insist = (): void => void child.kill('SIGKILL');
    process.once('exit', insist);
    const address = ready.resources[0]?.address ?? fail('no resource is served');
    say(`   ready   data/orders-db   postgres   ${address}`);
    await agentsDay(address);
    step('6. The same password at the database itself opens nothing');
    const direct = new pg.Client({
      host: server.host,
      port: server.port,
      user: 'bot',
      password: AGENT_PASSWORD,
      database: 'orders',
      ssl: { ca: authority.ca },
    });
    const opened = await direct.connect().then(
      () => true,
      (error: Error) => {
        say(`   ERROR:  ${error.message}`);
        return false;
      },
    );
    must(!opened, 'the agent could log in directly');
    step('7. What is left behind: sessions, a replay, and the proof');
    const listed = chaperone('sessions', 'ls', '--data', data);
    const session = /\bs-[a-z2-7]+/.exec(listed)?.[0] ?? fail('no session was recorded');
    chaperone('sessions', 'replay', session, '--data', data);
    chaperone('verify', session, '--data', data);
    step(`Done in ${((Date.now() - began) / 1000).toFixed(0)} s.`);
    if (flags.keep) {
      const [host, port] = address.split(':');
      say(
        `It goes on running. Connect with your own client, any password:\n\n   psql "host=${host} port=${port} dbname=orders user=you"\n\n   chaperone sessions ls --data ${data}\n\nCtrl-C ends it.`,
      );
      await new Promise<void>((resolve) => process.once('SIGINT', resolve).once('SIGTERM', resolve));
    }
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    must((await ended) === 0, 'chaperone up did not end cleanly');
  } finally {
    await server.stop();
  }
}

await main();
