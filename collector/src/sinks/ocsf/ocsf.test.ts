import { SessionRecord } from '@chaperone/evidence';
import { describe, expect, test } from 'vitest';
import { CLASSES, type OcsfEvent, timeOf } from './classes.ts';
import { HOSTILE, otherEvents, PROTOCOLS, records, sessionEvents } from './samples.test-support.ts';
import { faultsOf } from './schema.test-support.ts';
import { CONTENTS } from './subject.ts';

const said = ({ class_uid: uid, metadata, activity_name: activity }: OcsfEvent): string =>
  `${uid} ${activity} ${metadata.event_code}`;

describe('an event', () => {
  test.each(PROTOCOLS.flatMap((protocol) => CONTENTS.map((content) => ({ protocol, content }))))(
    'of $protocol with its $content is of its class in OCSF 1.8, whatever its strings are',
    ({ protocol, content }) => {
      for (const text of ['', HOSTILE]) {
        const events = sessionEvents(protocol, content, text);
        expect(events.map(faultsOf).filter((faults) => faults.length > 0)).toEqual([]);
        expect(new Set(events.map(({ metadata }) => metadata.uid)).size).toBe(events.length);
        // What is JSON is read again as it was.
        expect(JSON.parse(JSON.stringify(events))).toEqual(events);
      }
    },
  );

  test('of an order, an erasure, a gap, and of what cannot be read or is not known, too', () => {
    const events = [...otherEvents(), ...otherEvents(HOSTILE)];
    expect(events.flatMap(faultsOf)).toEqual([]);
    expect(new Set(events.map(({ class_uid }) => class_uid))).toEqual(new Set([2004, 3002, 3003, 3004, 4001, 6003]));
  });

  test('is judged by a schema that refuses what is not of its class', () => {
    const [event] = sessionEvents('postgres', 'commands').filter(({ class_uid }) => class_uid === 6005);
    const changed: Record<string, unknown>[] = [
      { ...event, extra: 1 },
      { ...event, actor: undefined },
      { ...event, activity_id: 77 },
      { ...event, activity_name: 'Something' },
      { ...event, type_uid: 1 },
      { ...event, time: 1.5 },
      { ...event, database: undefined },
      { ...event, class_uid: 1 },
    ];
    expect(changed.filter((each) => faultsOf(each as OcsfEvent).length === 0)).toEqual([]);
  });

  test('is of these classes for each kind of record', () => {
    expect(sessionEvents('postgres', 'commands').map(said)).toMatchInlineSnapshot(`
      [
        "3002 Logon session.open",
        "6005 Query Allowed",
        "6005 Delete NoRuleAllows",
        "2004 Create NoRuleAllows",
        "6005 Write MaskedValueWrite",
        "2004 Create MaskedValueWrite",
        "6005 Update ApprovalPending",
        "6005 Create Allowed",
        "2004 Create NoRuleAllows",
        "6005 Other Allowed",
        "6005 Delete Allowed",
        "3003 Assign Privileges Approve",
        "3003 Other Deny",
        "3003 Other Expired",
        "3003 Other Pending",
        "6005 Query done",
        "6005 Unknown 42601",
        "6005 Other file.read",
        "6005 Other file.mkdir",
        "4001 Traffic bytes",
        "2004 Create ClockJumped",
        "3002 Logoff CaptureNotProven",
        "2004 Create CaptureNotProven",
        "2004 Create Interrupted",
      ]
    `);
    const ssh = sessionEvents('ssh', 'commands').map(({ class_uid }) => class_uid);
    expect(ssh.filter((uid) => uid === CLASSES.ssh.uid).length).toBeGreaterThan(8);
    const calls = sessionEvents('kubernetes', 'commands').filter(({ class_uid }) => class_uid === CLASSES.api.uid);
    expect(calls.map(said)).toEqual(expect.arrayContaining(['6003 Read Allowed', '6003 Delete Allowed']));
  });

  test('has a result, and what would have changed, only for whom it was asked; and no text at all where metadata is enough', () => {
    expect(new Set(records('postgres').map(({ type }) => type)).size).toBe(SessionRecord.options.length);
    const texts = CONTENTS.map((content) => JSON.stringify(sessionEvents('postgres', content)));
    expect(texts.map((text) => text.includes('SECRET'))).toEqual([false, false, true]);
    expect(texts.map((text) => text.includes('+ a'))).toEqual([false, false, true]);
    for (const word of ['select 1', 'public.t', '/etc/passwd', 'a rule allows it', '$1', 'fine', 'syntax error'])
      expect(texts.map((text) => text.includes(word))).toEqual([false, true, true]);
  });

  test('says where a text was cut', () => {
    const [, action] = sessionEvents('postgres', 'commands', 'x'.repeat(5_000));
    expect(action?.metadata).toMatchObject({ is_truncated: true, untruncated_size: 5_008 });
    expect(JSON.stringify(action).length).toBeLessThan(20_000);
  });

  test.each([
    [1.9, 1],
    [-5, 0],
    [Number.NaN, 0],
    [1e300, 253_402_300_799_999],
  ])('that happened at %d by some pod’s clock has a time that receivers can read', (at, time) => {
    expect(timeOf(at)).toBe(time);
    expect(new Date(timeOf(at)).toISOString()).toMatch(/^\d{4}-/);
  });
});
