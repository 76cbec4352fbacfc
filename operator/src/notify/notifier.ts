import type { AccessRequest } from '@chaperone/api';
import type { NotifyConfig } from './config.ts';
import { createAddressGuard } from './guard.ts';
import { newsOf, Told } from './news.ts';
import { readSecret } from './secrets.ts';
import { SlackNotices } from './slack.ts';
import { SlackActions, type SlackActionsOptions } from './slack-actions.ts';
import { SlackClient } from './slack-client.ts';
import { type Outcome, Webhook } from './webhook.ts';

export interface NotifyMetrics {
  told(channel: 'webhook' | 'slack', outcome: Outcome): void;
  /** Whether Slack takes what we write. */
  slackUp(up: boolean): void;
  pressed(result: string): void;
}

/** Where tests serve. */
export interface NotifyTransport {
  readonly allowLoopback?: boolean;
  readonly ca?: string;
  readonly slackApi?: string;
  readonly slackHooks?: string;
}

export interface NotifierOptions {
  readonly config: NotifyConfig;
  /** Addresses and CIDRs that nothing is sent to, beside loopback and link-local. */
  readonly forbidden: readonly string[];
  readonly metrics: NotifyMetrics;
  readonly onError: (error: unknown) => void;
  /** Notes an annotation on a request, for the next leader. */
  readonly remember?: ((request: AccessRequest, mark: string) => Promise<void>) | undefined;
  readonly transport?: NotifyTransport | undefined;
}

/** Tells people outside the cluster what requests became. The leader has one: two would tell everything twice. */
export class Notifier {
  readonly #webhooks: readonly Webhook[];
  readonly #slack: SlackNotices | undefined;
  readonly #told = new Told(Date.now());
  readonly #stop = new AbortController();
  readonly #metrics: NotifyMetrics;
  readonly #onError: (error: unknown) => void;

  constructor(options: NotifierOptions) {
    const { config, forbidden, metrics, onError, remember, transport = {} } = options;
    const mayDial = createAddressGuard({ forbidden, allowLoopback: transport.allowLoopback ?? false });
    this.#metrics = metrics;
    this.#onError = onError;
    this.#webhooks = config.webhooks.map(
      ({ url, secretFile }) =>
        new Webhook({
          url,
          secret: () => readSecret(secretFile, `the secret of the webhook to ${new URL(url).host}`),
          mayDial,
          ca: transport.ca,
          onOutcome: (outcome) => metrics.told('webhook', outcome),
          onError,
        }),
    );
    if (config.slack !== undefined)
      this.#slack = new SlackNotices({
        ...config.slack,
        client: slackClient(config.slack.tokenFile, options, this.#stop.signal),
        onOutcome: (outcome) => metrics.told('slack', outcome),
        onUp: (up) => metrics.slackUp(up),
        onError,
        remember,
      });
  }

  /** Call it with every request, whenever it changes; what was told is not told again. Never throws, never waits. */
  changed(request: AccessRequest): void {
    try {
      if (this.#told.take(request)) for (const webhook of this.#webhooks) webhook.send(newsOf(request, Date.now()));
      this.#slack?.changed(request);
    } catch (error) {
      this.#onError(error);
    }
  }

  /** Gives up what waits. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#webhooks.map((webhook) => webhook.stop()), this.#slack?.stop()]);
    // Whoever tells nobody fails at nothing.
    if (this.#slack !== undefined) this.#metrics.slackUp(true);
  }
}

export type PressOptions = Pick<SlackActionsOptions, 'read' | 'decide'> &
  Pick<NotifierOptions, 'forbidden' | 'metrics' | 'onError' | 'transport'> & { readonly signal: AbortSignal };

/** What answers buttons in Slack. Every replica may have one. */
export function createSlackActions(config: NonNullable<NotifyConfig['slack']>, options: PressOptions): SlackActions {
  const { read, decide, metrics, onError, signal } = options;
  return new SlackActions({
    config,
    signingSecret: () => readSecret(config.signingSecretFile, 'the signing secret of Slack'),
    client: slackClient(config.tokenFile, options, signal),
    read,
    decide,
    onResult: (result) => metrics.pressed(result),
    onError,
  });
}

function slackClient(
  tokenFile: string,
  { forbidden, transport = {} }: Pick<NotifierOptions, 'forbidden' | 'transport'>,
  signal: AbortSignal,
): SlackClient {
  return new SlackClient({
    token: () => readSecret(tokenFile, 'the token of Slack'),
    mayDial: createAddressGuard({ forbidden, allowLoopback: transport.allowLoopback ?? false }),
    signal,
    apiUrl: transport.slackApi,
    hooksOrigin: transport.slackHooks,
  });
}
