import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chartPeer, temporaryDirectory } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';

/** The chart's alert rules, judged by Prometheus's own program over series as the parts export them, a sample a minute. */
const promtool = chartPeer('promtool');
const FILE = join(import.meta.dirname, '../helm/files/monitoring/rules.yaml');

interface Rule {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
const rules = (parse(readFileSync(FILE, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

/** Series and their values in promtool's notation: `1x60` stays 1 for an hour, `0+60x60` rises by 60 a minute, `_` is no sample. */
type Series = Readonly<Record<string, string>>;
const POD = '{namespace="agents", pod="bot-1"}';
const HEALTHY: Series = {
  'chaperone_sidecars{state="connected"}': '3x60',
  'chaperone_sidecars{state="unproven"}': '0x60',
  'chaperone_node_pods_waiting{pod="chaperone-node-a"}': '0x60',
  'chaperone_leader{pod="operator-a"}': '1x60',
  'chaperone_leader{pod="operator-b"}': '0x60',
  'chaperone_webhook_requests_total{webhook="pods", result="allowed"}': '0+3x60',
  'chaperone_webhook_requests_total{webhook="pods", result="denied"}': '0+1x60',
  [`chaperone_spool_fill_ratio${POD}`]: '0.05x60',
  [`chaperone_evidence_unreceipted_seconds${POD}`]: '3x60',
  [`chaperone_policy_fresh${POD}`]: '1x60',
  [`chaperone_receipts_refused{namespace="agents", pod="bot-1", reason="CheckpointOld"}`]: '1x60',
  chaperone_evidence_missing_pods: '0x60',
  chaperone_counters_fill_ratio: '0.1x60',
  chaperone_log_quorum_behind_seconds: '5x60',
  'chaperone_witness_failing_seconds{witness="security"}': '5x60',
  chaperone_evidence_not_compared_seconds: '5x60',
  chaperone_webhook_cert_expiry_timestamp_seconds: '604800x60',
  'chaperone_informer_last_event_timestamp_seconds{kind="Pod"}': '0+60x60',
  chaperone_slack_failing: '0x60',
  'chaperone_sink_lag_seconds{sink="siem"}': '2x60',
  'chaperone_sink_dead_letters{sink="siem"}': '0x60',
};

interface Story {
  readonly alert: string;
  readonly series: Series;
  /** Between two samples and evaluations. Default: 1m; of longer stories nothing is asked but their alert. */
  readonly interval?: string;
  /** When nothing is said yet, and when it is, in promtool's notation. */
  readonly quiet: string;
  readonly fires: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly summary: string;
  /** What is told beside it, of the same series. */
  readonly beside?: readonly string[];
}
const BOT = { namespace: 'agents', pod: 'bot-1' };
const ORDERS = { object_namespace: 'shop', object_name: 'orders' };
const condition = (kind: string, type: string, reason: string): string =>
  `chaperone_condition_unhealthy{kind="${kind}", object_namespace="shop", object_name="orders", type="${type}", reason="${reason}"}`;
const STORIES: Readonly<Record<string, Story>> = {
  'a pod whose rules were flushed': {
    alert: 'ChaperoneCaptureNotProven',
    series: { 'chaperone_sidecars{state="unproven"}': '0x9 1x50' },
    quiet: '10m',
    fires: '12m',
    summary: '1 sidecars cannot prove that nothing goes around them',
  },
  'a node agent that writes nothing': {
    alert: 'ChaperoneNodeAgentBehind',
    series: { 'chaperone_node_pods_waiting{pod="chaperone-node-a"}': '0x9 2x50' },
    quiet: '11m',
    fires: '13m',
    summary: '2 pods wait for the agent of their node to write their rules',
  },
  'two operators of which none leads': {
    alert: 'ChaperoneNoLeader',
    series: { 'chaperone_leader{pod="operator-a"}': '1x9 0x50' },
    quiet: '11m',
    fires: '13m',
    summary: 'no operator leads',
  },
  'no operator at all': {
    alert: 'ChaperoneNoLeader',
    series: { 'chaperone_leader{pod="operator-a"}': '1x9 stale', 'chaperone_leader{pod="operator-b"}': '0x9 stale' },
    quiet: '11m',
    fires: '13m',
    summary: 'no operator leads',
  },
  'a webhook that throws': {
    alert: 'ChaperoneAdmissionFailing',
    series: { 'chaperone_webhook_requests_total{webhook="pods", result="error"}': '0x9 1+1x50' },
    quiet: '12m',
    fires: '20m',
    summary: 'the webhook cannot judge pods',
  },
  'a webhook that the API server does not reach': {
    alert: 'ChaperoneAdmissionFailing',
    series: {
      'apiserver_admission_webhook_rejection_count{name="pods.chaperone.dev", error_type="calling_webhook_error", rejection_code="0"}':
        '0x9 2+2x50',
    },
    quiet: '12m',
    fires: '20m',
    summary: 'the webhook cannot judge pods',
  },
  'a spool that is nearly full': {
    alert: 'ChaperoneSpoolFull',
    series: { [`chaperone_spool_fill_ratio${POD}`]: '0.05x9 0.9x50' },
    quiet: '10m',
    fires: '25m',
    labels: BOT,
    summary: 'the spool of bot-1 is 90% full',
    beside: ['ChaperoneSpoolFilling'],
  },
  'a spool that fills': {
    alert: 'ChaperoneSpoolFilling',
    series: { [`chaperone_spool_fill_ratio${POD}`]: '0.05x9 0.7x50' },
    quiet: '15m',
    fires: '25m',
    labels: BOT,
    summary: 'the spool of bot-1 is 70% full',
  },
  'evidence without a receipt': {
    alert: 'ChaperoneEvidenceStalled',
    series: { [`chaperone_evidence_unreceipted_seconds${POD}`]: '3x9 0+60x50' },
    quiet: '19m',
    fires: '25m',
    labels: BOT,
    summary: 'evidence of bot-1 has waited for 15m 0s for its receipt',
  },
  'a log that was replaced': {
    alert: 'ChaperoneLogForked',
    series: { 'chaperone_receipts_refused{namespace="agents", pod="bot-1", reason="LogForked"}': '_x9 1x50' },
    quiet: '8m',
    fires: '10m',
    labels: BOT,
    summary: 'the log of evidence contradicts what bot-1 saw of it before',
  },
  'evidence of a pod that is gone': {
    alert: 'ChaperoneEvidenceMissing',
    series: { chaperone_evidence_missing_pods: '0x9 2x50' },
    quiet: '9m',
    fires: '10m',
    summary: 'evidence of 2 pods that are gone or silent has not arrived',
  },
  'a namespace that makes very many pods': {
    alert: 'ChaperoneCountersFull',
    series: { chaperone_counters_fill_ratio: '0.1x9 0.85x50' },
    quiet: '10m',
    fires: '12m',
    summary: 'there is hardly room for what pods count of their evidence',
  },
  'counters that are refused': {
    alert: 'ChaperoneCountersFull',
    series: { 'chaperone_counters_refused_total{namespace="agents"}': '0x9 1+1x50' },
    quiet: '9m',
    fires: '12m',
    summary: 'there is hardly room for what pods count of their evidence',
  },
  'too few witnesses': {
    alert: 'ChaperoneQuorumBehind',
    series: { chaperone_log_quorum_behind_seconds: '5x9 0+60x50' },
    quiet: '14m',
    fires: '18m',
    summary: 'fewer witnesses than are asked for have cosigned the log for 8m 0s',
  },
  'a witness that does not answer': {
    alert: 'ChaperoneWitnessFailing',
    series: { 'chaperone_witness_failing_seconds{witness="security"}': '5x9 0+60x50' },
    quiet: '24m',
    fires: '30m',
    labels: { witness: 'security' },
    summary: 'witness security has not cosigned for 20m 0s',
  },
  'a collector that does not answer': {
    alert: 'ChaperoneEvidenceNotCompared',
    series: { chaperone_evidence_not_compared_seconds: '5x9 0+60x50' },
    quiet: '19m',
    fires: '25m',
    summary: 'the collector has not said what it has for 15m 0s',
  },
  'a sidecar whose policy ran out': {
    alert: 'ChaperonePolicyStale',
    series: { [`chaperone_policy_fresh${POD}`]: '1x9 0x50' },
    quiet: '13m',
    fires: '16m',
    labels: BOT,
    summary: 'bot-1 has no policy in force',
  },
  'a certificate that nobody renews': {
    alert: 'ChaperoneCertificateExpiring',
    series: { chaperone_webhook_cert_expiry_timestamp_seconds: '87600x60' },
    quiet: '19m',
    fires: '40m',
    summary: 'the operator’s certificate ends in 23h 40m 0s',
  },
  'a watch that died': {
    alert: 'ChaperoneWatchStalled',
    series: { 'chaperone_informer_last_event_timestamp_seconds{kind="Pod"}': '0+60x9 540x50' },
    quiet: '24m',
    fires: '31m',
    labels: { kind: 'Pod' },
    summary: 'nothing was heard of Pod for 22m 0s',
  },
  'Slack that takes nothing': {
    alert: 'ChaperoneNoticesFailing',
    series: { chaperone_slack_failing: '0x9 1x50' },
    quiet: '18m',
    fires: '21m',
    summary: 'Slack takes no notices',
  },
  'a receiver that is down': {
    alert: 'ChaperoneSinkBehind',
    series: { 'chaperone_sink_lag_seconds{sink="siem"}': '2x9 0+60x50' },
    quiet: '25m',
    fires: '40m',
    labels: { sink: 'siem' },
    summary: 'the receiver of sink siem is 30m 0s behind',
  },
  'a receiver that refuses': {
    alert: 'ChaperoneSinkRefused',
    series: { 'chaperone_sink_dead_letters{sink="siem"}': '0x9 7x50' },
    quiet: '10m',
    fires: '12m',
    labels: { sink: 'siem' },
    summary: 'the receiver of sink siem has refused 7 events',
  },
  'a policy that a sidecar does not take': {
    alert: 'ChaperonePolicyNotProgrammed',
    series: { [condition('AccessPolicy', 'Programmed', 'Programming')]: '_x9 1x50' },
    quiet: '10m',
    fires: '13m',
    labels: { kind: 'AccessPolicy', ...ORDERS },
    summary: 'policy shop/orders is not in force in every sidecar',
  },
  'a password that the server refuses': {
    alert: 'ChaperoneCredentialsRejected',
    series: { [condition('ProtectedResource', 'CredentialsAvailable', 'CredentialsRejected')]: '_x9 1x50' },
    quiet: '13m',
    fires: '16m',
    labels: { kind: 'ProtectedResource', ...ORDERS, reason: 'CredentialsRejected' },
    summary: 'resource shop/orders has no credentials that work: CredentialsRejected',
  },
  'a database that is down': {
    alert: 'ChaperoneUpstreamUnreachable',
    series: { [condition('ProtectedResource', 'Reachable', 'UpstreamRefused')]: '_x9 1x50' },
    quiet: '13m',
    fires: '16m',
    labels: { kind: 'ProtectedResource', ...ORDERS, reason: 'UpstreamRefused' },
    summary: 'sidecars do not get to resource shop/orders: UpstreamRefused',
  },
  'pods that nobody restarts after an upgrade': {
    alert: 'ChaperoneSidecarsOutdated',
    interval: '1h',
    series: { [condition('AccessPolicy', 'Programmed', 'SidecarsOutdated')]: '1x200' },
    quiet: '6d',
    fires: '8d',
    labels: { kind: 'AccessPolicy', ...ORDERS },
    summary: 'agents of policy shop/orders have run the sidecar of another release for a week',
  },
};

/** What is no reason to wake anybody. */
const CALM: Readonly<Record<string, Series>> = {
  'all is well': {},
  'another operator leads after a gap': {
    'chaperone_leader{pod="operator-a"}': '1x9 0x50',
    'chaperone_leader{pod="operator-b"}': '0x10 1x49',
  },
  'a pod ended': Object.fromEntries(
    ['spool_fill_ratio', 'evidence_unreceipted_seconds', 'policy_fresh'].map((name) => [`chaperone_${name}${POD}`, '1x9 stale']),
  ),
  'a policy that takes a minute to come into force': {
    [condition('AccessPolicy', 'Programmed', 'Programming')]: '_x9 1 1 stale',
  },
  'an error now and then': { 'chaperone_webhook_requests_total{webhook="pods", result="error"}': '0x9 1x50' },
  'a pod that starts': { 'chaperone_node_pods_waiting{pod="chaperone-node-a"}': '0x9 1 0x49' },
  'pods are refused for what they are': {
    'apiserver_admission_webhook_rejection_count{name="pods.chaperone.dev", error_type="no_error", rejection_code="403"}':
      '0+5x60',
  },
  'somebody else’s webhook does not answer': {
    'apiserver_admission_webhook_rejection_count{name="pods.other.dev", error_type="calling_webhook_error", rejection_code="0"}':
      '0+5x60',
  },
  'nothing but the API server is read': Object.fromEntries(
    Object.keys(HEALTHY)
      .filter((name) => !name.startsWith('chaperone_leader'))
      .map((name) => [name, '_x60']),
  ),
};

const input = (series: Series): object[] =>
  Object.entries({ ...HEALTHY, ...series }).map(([name, values]) => ({ series: name, values }));

function fired({ alert, labels, summary }: Story): object {
  const rule = rules.find((each) => each.alert === alert);
  return { exp_labels: { ...rule?.labels, ...labels }, exp_annotations: { ...rule?.annotations, summary } };
}

/** The stories that are told by samples so far apart. */
const told = (every: string): object[] =>
  Object.entries(STORIES)
    .filter(([, { interval = '1m' }]) => interval === every)
    .map(([name, story]) => ({
      name,
      interval: every,
      input_series: input(story.series),
      alert_rule_test: [
        { eval_time: story.quiet, alertname: story.alert, exp_alerts: [] },
        { eval_time: story.fires, alertname: story.alert, exp_alerts: [fired(story)] },
        ...(every === '1m' ? rules : [])
          .filter(({ alert }) => alert !== story.alert && story.beside?.includes(alert) !== true)
          .map(({ alert }) => ({ eval_time: story.fires, alertname: alert, exp_alerts: [] })),
      ],
    }));

/** @param every - between two evaluations */
async function judge(tests: readonly object[], every = '1m'): Promise<string> {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'tests.yaml');
  writeFileSync(file, stringify({ rule_files: [FILE], evaluation_interval: every, tests }));
  const { status, stdout, stderr } = spawnSync(promtool ?? '', ['test', 'rules', file], { encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}

describe.skipIf(promtool === undefined)('alerts', () => {
  test('are rules that Prometheus takes', () => {
    const { status, stdout, stderr } = spawnSync(promtool ?? '', ['check', 'rules', '--lint=all', '--lint-fatal', FILE], {
      encoding: 'utf8',
    });
    expect([status, stderr], stdout).toEqual([0, '']);
  });

  test('each has its story', () => {
    expect([...new Set(Object.values(STORIES).map(({ alert }) => alert))].toSorted()).toEqual(
      rules.map(({ alert }) => alert).toSorted(),
    );
  });

  test('fire on their story, in these words, and not before; nothing else does', async () => {
    expect(await judge(told('1m'))).toBe('');
    expect(await judge(told('1h'), '1h')).toBe('');
  });

  test('are silent while nothing is wrong', async () => {
    const times = ['0m', '11m', '30m', '60m'];
    const tests = Object.entries(CALM).map(([name, series]) => ({
      name,
      interval: '1m',
      input_series: input(series),
      alert_rule_test: times.flatMap((at) => rules.map(({ alert }) => ({ eval_time: at, alertname: alert, exp_alerts: [] }))),
    }));
    expect(await judge(tests)).toBe('');
  });

  test('that would not fire are found by these stories', async () => {
    const story = STORIES['a spool that fills'];
    if (story === undefined) throw new Error('no such story');
    const asked = {
      name: 'x',
      interval: '1m',
      input_series: input({}),
      alert_rule_test: [{ eval_time: story.fires, alertname: story.alert, exp_alerts: [fired(story)] }],
    };
    expect(await judge([asked])).toContain('FAILED');
  });
});
