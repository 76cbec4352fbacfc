import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CODES } from '@chaperone/api';
import { findProgram } from '@chaperone/testing';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';

const CHART = join(import.meta.dirname, '../helm');
const helm = findProgram('helm');
const rules = readFileSync(join(CHART, 'files/monitoring/rules.yaml'), 'utf8');
const dashboard = readFileSync(join(CHART, 'files/monitoring/dashboard.json'), 'utf8');

const PARTS = [
  'operator/src/metrics.ts',
  'sidecar/src/health/metrics.ts',
  'sidecar/src/node/main.ts',
  'collector/src/sinks/metrics.ts',
  'collector/src/log/metrics.ts',
].map((file) => join(CHART, '..', file));

/** Names that operator, sidecar and sinks register, series of histograms included. Their packages are not to be imported from here. */
function exported(): ReadonlySet<string> {
  const names = PARTS.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/'(chaperone_[a-z_]+)'/g)].map(([, name = '']) => name),
  );
  return new Set(names.flatMap((name) => [name, ...['_bucket', '_sum', '_count'].map((suffix) => `${name}${suffix}`)]));
}

test.each([
  ['an alert rule', rules],
  ['the dashboard', dashboard],
])('every metric that %s names is exported by a part that runs', (_what, text) => {
  const named = [...new Set(text.match(/chaperone_[a-z_]+/g))];
  const known = exported();
  expect(named.length).toBeGreaterThan(7);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});

/** At least three words. */
const SENTENCE = /^\S+(?: \S+){2,}$/;

test('every alert says what it is about, what it means for people, and a code that explains it', () => {
  const { groups } = (parseAllDocuments(rules)[0]?.toJS() ?? {}) as {
    groups: { rules: { alert: string; labels: { severity: string }; annotations: Record<string, string> }[] }[];
  };
  const alerts = groups.flatMap((group) => group.rules);
  expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  for (const { alert, labels, annotations } of alerts) {
    expect(alert).toMatch(/^Chaperone[A-Z]/);
    expect(['page', 'ticket']).toContain(labels.severity);
    expect(annotations['summary'], alert).toMatch(SENTENCE);
    expect(annotations['impact'], alert).toMatch(SENTENCE);
    expect(annotations['impact'], alert).not.toBe(annotations['summary']);
    expect(Object.keys(CODES)).toContain(annotations['runbook']?.replace('chaperone explain ', ''));
  }
});

const render = (...set: string[]): string => {
  const args = ['template', 'chaperone', CHART, '-n', 'chaperone-system', '--kube-version', '1.34.4', ...set];
  return spawnSync(helm ?? '', args, { encoding: 'utf8', maxBuffer: 1 << 26 }).stdout;
};

describe.skipIf(helm === undefined)('the chart', () => {
  test('has rules and a dashboard where they are asked for, whole, and else neither', () => {
    const objects = parseAllDocuments(render('--set', 'monitoring.rules=true,monitoring.dashboard=true'), { logLevel: 'silent' })
      .map((document) => document.toJS() as { kind?: string; spec?: object; data?: Record<string, string> } | null)
      .filter((object) => object !== null);
    expect(objects.find(({ kind }) => kind === 'PrometheusRule')?.spec).toEqual(parseAllDocuments(rules)[0]?.toJS());
    const shown = objects.find(({ data }) => data?.['chaperone.json'] !== undefined)?.data?.['chaperone.json'] ?? '';
    expect(JSON.parse(shown)).toEqual(JSON.parse(dashboard));
    expect(render()).not.toMatch(/PrometheusRule|grafana_dashboard/);
  });
});
