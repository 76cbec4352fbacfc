import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, request as requestHttps } from 'node:https';
import { json, text } from 'node:stream/consumers';
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
  /** Windows that were opened. */
  readonly views: FakeSlack['views'];
  /** To whoever pressed, alone. */
  readonly whispers: readonly { readonly text: string }[];
}
interface Sent {
  readonly mods?: PressMods;
  /** How often the same bytes are sent. */
  readonly times?: number;
}
export interface Press extends Sent {
  readonly ts: string;
  readonly action: string;
  readonly user: string;
}
export interface Submission extends Sent {
  readonly view: string;
  /** What is written into its inputs, by block. */
  readonly values: Readonly<Record<string, string>>;
}

const SLACK_PORT = 8443;
/** Answers whoever reaches it through the API server: what was told, presses of buttons, and windows that are sent. */
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

type Answer = Parameters<FakeSlack['answered']>[1];

async function post({ requestUrl, ca }: SlackPodConfig, { headers, body }: PressedRequest): Promise<Answer> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    requestHttps(requestUrl, { method: 'POST', headers, ca, agent: false }).on('response', resolve).on('error', reject).end(body);
  });
  return { status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body: await text(response) };
}

async function sendAll(config: SlackPodConfig, request: PressedRequest, times = 1): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let sent = 0; sent < times; sent += 1) answers.push(await post(config, request));
  return answers;
}

/** @returns The status of each answer. */
async function press(config: SlackPodConfig, slack: FakeSlack, { ts, action, user, mods, times }: Press): Promise<number[]> {
  const payload = { response_url: `https://hooks.slack.com/actions/${TEAM}/1/abc`, ...mods?.payload };
  const pressed = slack.press(ts, action, user, { secret: config.signingSecret, ...mods, payload });
  return (await sendAll(config, pressed, times)).map(({ status }) => status);
}

/** The person sees the first answer. @returns The status of each. */
async function submit(config: SlackPodConfig, slack: FakeSlack, { view, values, mods, times }: Submission): Promise<number[]> {
  const answers = await sendAll(config, slack.submit(view, values, { secret: config.signingSecret, ...mods }), times);
  const [first] = answers;
  if (first !== undefined) slack.answered(view, first);
  return answers.map(({ status }) => status);
}

const config = JSON.parse(readFileSync('/etc/slack/config.json', 'utf8')) as SlackPodConfig;
const slack = await startFakeSlack();
slack.token = config.token;
for (const [id, user] of Object.entries(config.users)) slack.users.set(id, user);
for (const [id, members] of Object.entries(config.usergroups)) slack.usergroups.set(id, members);

createTlsServer(config.tls, (request, response) => forward(slack, request, response)).listen(SLACK_PORT);
createServer((request, response) => {
  const answer = async (): Promise<unknown> => {
    if (request.url === '/press') return await press(config, slack, (await json(request)) as Press);
    if (request.url === '/submit') return await submit(config, slack, (await json(request)) as Submission);
    const { messages, calls, views, whispers } = slack;
    return { messages, calls, views, whispers };
  };
  answer().then(
    (said) => response.end(JSON.stringify(said)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
}).listen(LOOK_PORT);
