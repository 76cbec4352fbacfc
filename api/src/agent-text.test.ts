import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AgentCode, agentText, type Refusal, requestText, sshText, sshTimeText } from './agent-text.ts';
import { CODES } from './codes.ts';
import type { CodeEntry } from './codes/entry.ts';

const AGENT = Object.entries<CodeEntry>(CODES)
  .filter(([, entry]) => entry.postgres !== undefined)
  .map(([code]) => code as AgentCode);

describe('what an agent is told', () => {
  test('when no rule covers its statement', () => {
    expect(
      agentText({
        code: 'NoRuleAllows',
        verb: 'update',
        object: 'public.customers',
        policy: 'agents/support-agent',
        reference: 's-7hq2/118',
        allowedHere: ['SELECT on public.tickets, public.customers', 'UPDATE on public.tickets after approval'],
      }),
    ).toEqual({
      severity: 'ERROR',
      sqlstate: '42501',
      message:
        'chaperone: UPDATE on public.customers is not covered by any rule (NoRuleAllows). Do not retry: other wording with the same effect gets the same answer.',
      detail: 'Policy agents/support-agent. Reference s-7hq2/118.',
      hint: 'Allowed here: SELECT on public.tickets, public.customers; UPDATE on public.tickets after approval. The connection stays usable.',
    });
  });

  test('when a rule denies it, in the words of the policy', () => {
    const { message, detail, hint } = agentText({
      code: 'DeniedByRule',
      verb: 'drop',
      object: 'public.tickets',
      rule: 'never',
      message: 'Schema changes go through the migration pipeline.',
      inTransaction: true,
    });
    expect(message).toBe(
      'chaperone: DROP on public.tickets is denied by rule "never" (DeniedByRule). Do not retry: Schema changes go through the migration pipeline.',
    );
    expect(detail).toBeUndefined();
    expect(hint).toBe('The connection stays usable. Send ROLLBACK first.');
  });

  test('when it cannot be judged, and why', () => {
    const { message, sqlstate } = agentText({ code: 'NotAnalysable', reason: 'it calls a function that is not known.' });
    expect(sqlstate).toBe('0A000');
    expect(message).toBe(
      'chaperone: this statement cannot be judged: it calls a function that is not known (NotAnalysable). Change it: another statement may be; this one never runs, whatever the policy says.',
    );
  });

  test.each<[string, AgentCode, object, string, string, string]>([
    [
      'while people are asked',
      'ApprovalPending',
      {},
      'NOTICE',
      '00000',
      'chaperone: waiting for approval ar-7f3k of UPDATE on public.tickets, at most 5 min (ApprovalPending). Keep the connection open, do not resend; the result follows by itself.',
    ],
    [
      'while people are asked and it may not wait',
      'ApprovalPending',
      { repeat: true, timeoutMs: 89_001 },
      'ERROR',
      '55000',
      'chaperone: UPDATE on public.tickets waits for approval ar-7f3k (ApprovalPending). It has not run. Repeat it unchanged within 90 s: it runs then if it was approved.',
    ],
    [
      'when one of them denied it',
      'ApprovalDenied',
      { reviewer: 'wrong ticket, 4412 is meant' },
      'ERROR',
      '42501',
      'chaperone: ar-7f3k was denied by a reviewer (ApprovalDenied); UPDATE on public.tickets did not run. Do not retry. Reviewer: "wrong ticket, 4412 is meant"',
    ],
    [
      'when nobody decided',
      'ApprovalExpired',
      { timeoutMs: 60_000 },
      'ERROR',
      '57014',
      'chaperone: ar-7f3k expired after 1 min without a decision (ApprovalExpired); it did not run. Repeat unchanged once to ask again, or go on without it.',
    ],
    [
      'when something changed meanwhile',
      'ApprovalVoided',
      { why: 'its policy changed' },
      'ERROR',
      '55000',
      'chaperone: ar-7f3k is void, since its policy changed (ApprovalVoided); UPDATE on public.tickets did not run. Repeat unchanged once to ask again.',
    ],
  ])('%s', (_, code, approval, severity, sqlstate, message) => {
    const news = { request: 'ar-7f3k', timeoutMs: 300_000, ...approval };
    expect(agentText({ code, verb: 'update', object: 'public.tickets', approval: news })).toMatchObject({
      severity,
      sqlstate,
      message,
    });
  });

  test.each([
    [2, ''],
    [3, ' (3rd time; the answer will not change)'],
    [11, ' (11th time; the answer will not change)'],
    [22, ' (22nd time; the answer will not change)'],
  ])('the %d. time in a row', (repeated, ending) => {
    const { message } = agentText({ code: 'NoRuleAllows', verb: 'update', object: 'a.b', repeated });
    expect(message).toBe(
      `chaperone: UPDATE on a.b is not covered by any rule (NoRuleAllows). Do not retry: other wording with the same effect gets the same answer.${ending}`,
    );
  });

  test.each(AGENT)('by %s: what, which code and one of five advices', (code) => {
    const text = agentText({ code, verb: 'select', object: 'public.tickets', rule: 'r' });
    expect(text.message).toMatch(
      new RegExp(`^chaperone: [^()]+ \\(${code}\\)[.] (Do not retry|Wait|Repeat unchanged|Change it|Try later): .+[.]$`),
    );
    expect({ sqlstate: text.sqlstate, severity: text.severity }).toEqual(CODES[code].postgres);
    // A connection that ends has nothing to offer, and no ROLLBACK to wait for.
    expect(text.hint !== undefined).toBe(text.severity === 'ERROR');
  });

  test.each(AGENT.filter((code) => CODES[code].example.startsWith('chaperone: ')))('by %s as the table shows it', (code) => {
    const { example } = CODES[code];
    const [, verb, object] = / ([A-Z]+) on ([a-z.]+) /.exec(example) ?? [];
    const rule = /rule "([a-z]+)"/.exec(example)?.[1];
    const request = /ar-[a-z2-7]{16}/.exec(example)?.[0];
    const own = code === 'DeniedByRule' ? { message: 'Schema changes go through the migration pipeline.' } : {};
    const reason = code === 'ApprovalUnavailable' ? { reason: 'it asked people 10 times within a minute' } : {};
    const news = { reviewer: 'wrong ticket, 4412 is meant', why: 'its policy changed', timeoutMs: 300_000 };
    expect(
      agentText({
        code,
        ...(verb === undefined || object === undefined ? {} : { verb: verb.toLowerCase(), object }),
        ...(rule === undefined ? {} : { rule }),
        ...own,
        ...reason,
        ...(request === undefined ? {} : { approval: { request, ...news } }),
      }).message,
    ).toBe(example);
  });

  test('is one visible line of bounded length, whatever names and policies hold', () => {
    const foreign = fc.string({ unit: 'binary', maxLength: 3000 });
    fc.assert(
      fc.property(
        fc.constantFrom(...AGENT),
        foreign,
        foreign,
        foreign,
        fc.array(foreign, { maxLength: 9 }),
        (code, verb, object, message, allowedHere) => {
          const text = agentText({
            code,
            verb,
            object,
            rule: object,
            reason: object,
            message,
            policy: message,
            reference: verb,
            allowedHere,
          });
          for (const part of [text.message, text.detail ?? '', text.hint ?? '']) {
            expect(part).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
            expect(part.length).toBeLessThan(4096);
          }
        },
      ),
    );
  });
});

describe('what a client of SSH reads', () => {
  const SHORT = { verb: 'exec', object: 'systemctl restart nginx', reference: 's-7hq2/118' } as const;
  test.each<[string, Refusal, string, number]>([
    [
      'a rule that denies, with its message',
      { ...SHORT, code: 'DeniedByRule', rule: 'no-services', message: 'Services are restarted by the web team.' },
      'chaperone: systemctl restart nginx is denied by rule "no-services" (DeniedByRule). Do not retry: Services are restarted by the web team. Reference s-7hq2/118. The connection stays usable.',
      126,
    ],
    [
      'what is allowed instead',
      { ...SHORT, code: 'NoRuleAllows', allowedHere: ['EXEC systemctl status *'], policy: 'agents/ops' },
      'chaperone: systemctl restart nginx is not covered by any rule (NoRuleAllows). Do not retry: other wording with the same effect gets the same answer. Allowed here: EXEC systemctl status *. Policy agents/ops. Reference s-7hq2/118. The connection stays usable.',
      126,
    ],
    [
      'a text that nobody can judge',
      { code: 'NotAnalysable', reason: 'it holds a variable' },
      'chaperone: this command cannot be judged: it holds a variable (NotAnalysable). Change it: write it with plain words and quotes, without variables, substitutions and patterns; this text never runs. The connection stays usable.',
      126,
    ],
    [
      'that people are asked',
      { ...SHORT, code: 'ApprovalPending', approval: { request: 'ar-7f3k', timeoutMs: 300_000 } },
      'chaperone: waiting for approval ar-7f3k of systemctl restart nginx, at most 5 min (ApprovalPending). Keep the connection open, do not resend; the result follows by itself.',
      75,
    ],
    [
      'that it is to ask again',
      { ...SHORT, code: 'ApprovalPending', approval: { request: 'ar-7f3k', timeoutMs: 90_000, repeat: true } },
      'chaperone: systemctl restart nginx waits for approval ar-7f3k (ApprovalPending). It has not run. Repeat it unchanged within 90 s: it runs then if it was approved. Reference s-7hq2/118. The connection stays usable.',
      75,
    ],
    [
      'that the server is away',
      { code: 'ResourceNotReady', reason: 'it does not answer' },
      'chaperone: this resource cannot be used now: it does not answer (ResourceNotReady). Try later: it is not the fault of the command. The connection stays usable.',
      75,
    ],
    [
      'a file, and a shell',
      { code: 'DeniedByRule', unit: 'shell', verb: 'shell', object: '' },
      'chaperone: this shell is denied by a rule (DeniedByRule). Do not retry: the answer stays the same for as long as the policy does. The connection stays usable.',
      126,
    ],
    [
      'what to change, in place of what a rule says to whoever means what it denies',
      { ...SHORT, code: 'DeniedByRule', rule: 'never', reason: 'it holds a variable', message: 'Ask.', instead: 'leave it out' },
      'chaperone: systemctl restart nginx is denied by rule "never": it holds a variable (DeniedByRule). Change it: leave it out. Reference s-7hq2/118. The connection stays usable.',
      126,
    ],
  ])('%s', (_, refusal, line, exit) => {
    expect(sshText(refusal)).toEqual({ line, exit });
  });

  test('is one line, whatever a policy or a command says', () => {
    const { line } = sshText({ code: 'DeniedByRule', verb: 'exec', object: 'a\n\u001b[2J\u202eb', message: 'x\ny\u0007' });
    expect(line).toMatch(/^[ -~\u00a0-\uffff]+$/);
  });
});

test('tells a terminal until when it goes on, and warns it', () => {
  const now = Date.UTC(2026, 0, 1, 13, 5);
  expect(sshTimeText('begins', 'terminal', now + 3_600_000, now)).toBe(
    'chaperone: this terminal is recorded. It ends at 14:05:00 UTC, in 60 min.',
  );
  expect(sshTimeText('ends', 'shell', now + 45_000, now)).toBe(
    'chaperone: this shell ends at 13:05:45 UTC, in 45 s. Save what is to stay.',
  );
});

describe('what a client of the Kubernetes API reads', () => {
  test.each<[string, Refusal, string]>([
    [
      'what no rule can allow',
      {
        code: 'NeverAllowed',
        verb: 'create',
        object: 'pods web in shop',
        reason: 'a container in it is privileged',
        reference: 's-7hq2/1',
      },
      'chaperone: CREATE on pods web in shop is never allowed to an agent: a container in it is privileged (NeverAllowed). Do not retry: no rule and no approval can allow it. Reference s-7hq2/1. The connection stays usable.',
    ],
    [
      'that a request cannot be read',
      { code: 'NotAnalysable', reason: 'its path has an encoded character' },
      'chaperone: this request cannot be judged: its path has an encoded character (NotAnalysable). Change it: ask as kubectl does; this request never runs. The connection stays usable.',
    ],
    [
      'what a person wrote, which ends as it likes, apart from what follows',
      {
        code: 'DeniedByRule',
        verb: 'delete',
        object: 'pods',
        rule: 'never',
        message: 'Ask the vault',
        allowedHere: ['GET on pods'],
      },
      'chaperone: DELETE on pods is denied by rule "never" (DeniedByRule). Do not retry: Ask the vault. Allowed here: GET on pods. The connection stays usable.',
    ],
    [
      'that it is over',
      { code: 'SessionEnded', reason: 'an operator ended it' },
      'chaperone: this session was ended: an operator ended it (SessionEnded). Do not retry: ask whoever runs this agent before connecting again.',
    ],
  ])('%s', (_, refusal, text) => {
    expect(requestText(refusal)).toBe(text);
  });
});
