import type { Seen } from './model.ts';

/** What agents ask, one after the other, all the time. */
const QUERIES = {
  masked: 'select ssn from customers where id = 1',
  shown: 'select email from customers where id = 1',
  counted: 'select count(*) from tickets',
  written: "update tickets set status = 'seen' where id = 1 returning status",
  denied: 'drop table tickets',
  uncovered: 'delete from tickets',
  wrapped: "select 'it is ' || ssn from customers where id = 1",
} as const;

/** What is said of each where nothing is changed. */
export const ANSWERS: Readonly<Record<keyof typeof QUERIES, string>> = {
  masked: '= *******6789',
  shown: '= ada@example.com',
  counted: '= 3',
  written: '= seen',
  denied: 'refused DeniedByRule',
  uncovered: 'refused NoRuleAllows',
  wrapped: '= *****',
};

/**
 * Keeps one session open as long as it may and opens short ones beside it. Prints a line for each statement, and each session that
 * could not be opened: ms of beginning and end, and `QUERY = VALUE`, `QUERY refused CODE`, `QUERY lost CODE` or `unopened CODE`, with
 * the words themselves where they name no code. It ends after SECONDS, or when it is told to.
 */
const PROGRAM = `
import json, os, psycopg2, re, signal, threading, time
queries = json.loads(os.environ["QUERIES"])
until = time.time() + float(os.environ["SECONDS"])
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
lock = threading.Lock()
def say(began, what):
    with lock: print(json.dumps([int(began * 1000), int(time.time() * 1000), what]), flush=True)
def words(error):
    text = " ".join(str(error).split())
    code = re.search(r"\\(([A-Z]\\w+)\\)", text)
    return code.group(1) if code else text[:200]
def connect():
    began = time.time()
    try:
        connection = psycopg2.connect("host=orders-db dbname=orders user=bot connect_timeout=20")
        connection.autocommit = True
        return connection
    except psycopg2.Error as error:
        say(began, "unopened " + words(error))
        time.sleep(0.5)
def ask(connection, name):
    began = time.time()
    try:
        with connection.cursor() as cursor:
            cursor.execute(queries[name])
            say(began, f"{name} = {cursor.fetchone()[0]}")
    except psycopg2.Error as error:
        say(began, f"{name} {'lost' if connection.closed else 'refused'} {words(error)}")
    time.sleep(0.3)
    return not connection.closed
def work(pause, rounds):
    while time.time() < until:
        connection = connect()
        if connection is None: continue
        for name in list(queries) * rounds:
            if time.time() > until or not ask(connection, name): break
        connection.close()
        time.sleep(pause)
both = [threading.Thread(target=work, args=args, daemon=True) for args in [(0.1, 1 << 16), (3, 1)]]
for each in both: each.start()
for each in both:
    while each.is_alive(): each.join(0.2)
`;

/** A container of an agent that does this for so many seconds. */
export const traffic = (seconds: number): object => ({
  command: ['python3', '-u', '-c', PROGRAM],
  env: [
    { name: 'PGPASSWORD', value: 'what-the-agent-was-given' },
    { name: 'QUERIES', value: JSON.stringify(QUERIES) },
    { name: 'SECONDS', value: String(seconds) },
  ],
});

/** What a line of its output says; undefined for what it did not say. */
export function seenBy(pod: string, line: string): Seen | undefined {
  try {
    const [from, to, what] = JSON.parse(line) as [number, number, string];
    return { source: 'agent', name: pod, what, from, to };
  } catch {
    return undefined;
  }
}
