import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, request as requestHttps } from 'node:https';
import { json } from 'node:stream/consumers';
import {
  type FakeSlack,
  type Message,
  type PressedRequest,
  type PressMods,
  startFakeSlack,
  TEAM,
} from '../../../operator/src/notify/fake-slack.test-support.ts';

/** What the pod is given, as JSON: it runs alone, from these two sources. */
export interface SlackPodConfig {
  /** Of Slack's names. */
  readonly tls: { readonly cert: string; readonly key: string };
  readonly token: string;
  readonly signingSecret: string;
  readonly users: Readonly<Record<string, Record<string, unknown>>>;
  readonly usergroups: Readonly<Record<string, string[]>>;
  /** The app's Request URL, and who vouches for it. */
  readonly requestUrl: string;
  readonly ca: string;
}
/** What Slack was told so far. */
export interface Told {
  readonly messages: readonly Message[];
  readonly calls: FakeSlack['calls'];
  /** To whoever pressed, alone. */
  readonly whispers: readonly { readonly text: string }[];
}
export interface Press {
  readonly ts: string;
  readonly action: string;
  readonly user: string;
  readonly mods?: PressMods;
  /** How often the same bytes are sent. */
  readonly times?: number;
}

const SLACK_PORT = 8443;
/** Answers whoever reaches it through the API server: what was told, and presses of buttons. */
const LOOK_PORT = 8080;

function forward(slack: FakeSlack, request: IncomingMessage, response: ServerResponse): void {
  const { method, headers, url = '' } = request;
  const onward = requestHttp(`${slack.origin}${url}`, { method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

function post({ requestUrl, ca }: SlackPodConfig, { headers, body }: PressedRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = requestHttps(requestUrl, { method: 'POST', headers, ca, agent: false });
    sent.on('response', (response) => resolve(response.resume().statusCode ?? 0)).on('error', reject);
    sent.end(body);
  });
}

/** @returns The status of each answer. */
async function press(config: SlackPodConfig, slack: FakeSlack, { ts, action, user, mods, times = 1 }: Press): Promise<number[]> {
  const payload = { response_url: `https://hooks.slack.com/actions/${TEAM}/1/abc`, ...mods?.payload };
  const pressed = slack.press(ts, action, user, { secret: config.signingSecret, ...mods, payload });
  const statuses: number[] = [];
  for (let sent = 0; sent < times; sent += 1) statuses.push(await post(config, pressed));
  return statuses;
}

const config = JSON.parse(readFileSync('/etc/slack/config.json', 'utf8')) as SlackPodConfig;
const slack = await startFakeSlack();
slack.token = config.token;
for (const [id, user] of Object.entries(config.users)) slack.users.set(id, user);
for (const [id, members] of Object.entries(config.usergroups)) slack.usergroups.set(id, members);

createTlsServer(config.tls, (request, response) => forward(slack, request, response)).listen(SLACK_PORT);
createServer((request, response) => {
  const { messages, calls, whispers } = slack;
  const answer = async (): Promise<unknown> =>
    request.url === '/press' ? await press(config, slack, (await json(request)) as Press) : { messages, calls, whispers };
  answer().then(
    (said) => response.end(JSON.stringify(said)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
}).listen(LOOK_PORT);
