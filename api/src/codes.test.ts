import { describe, expect, test } from 'vitest';
import { CODE_GROUPS, CODES, explain } from './codes.ts';
import type { CodeEntry } from './codes/entry.ts';

const entries = Object.entries<CodeEntry>(CODES);

// PostgreSQL 18, Appendix A, Table A.1: those of its codes that make sense from a proxy.
const STANDARD_SQLSTATES = new Set(
  '00000 08000 08001 08004 08006 08P01 0A000 22023 25006 25P02 28000 3D000 3F000 40001 42501 42601 42602 42622 42704 42P01 53000 53100 53200 53300 53400 54000 54001 55000 55006 55P02 55P03 57000 57014 57P01 57P02 57P03 57P04 57P05 58000 58030 XX000'.split(
    ' ',
  ),
);

describe('the table of codes', () => {
  test('holds each code once', () => {
    const all = CODE_GROUPS.flatMap(({ codes }) => Object.keys(codes));
    expect(all.toSorted()).toEqual([...new Set(all)].toSorted());
    expect(all.toSorted()).toEqual(Object.keys(CODES).toSorted());
    expect(new Set(all.map((code) => code.toLowerCase())).size).toBe(all.length);
  });

  test.each(entries)('%s has every column', (code, entry) => {
    expect(code).toMatch(/^([A-Z]+[a-z]*)+$/);
    expect(code.length).toBeLessThanOrEqual(64);
    expect(entry.audience.length).toBeGreaterThan(0);
    for (const sentence of [entry.what, entry.why]) expect(sentence).toMatch(/^\S.{10,}[.]$/);
    expect(entry.fix).toMatch(/^.{10,}$/);
    expect(entry.example).toMatch(/^.{10,}$/);
  });

  test.each(entries.filter(([, entry]) => entry.postgres !== undefined))(
    '%s tells PostgreSQL clients a standard code',
    (_, entry) => {
      expect(STANDARD_SQLSTATES).toContain(entry.postgres?.sqlstate);
      // asyncpg and others take class 28P01 for "your password is wrong", which is never the agent's fault.
      expect(entry.postgres?.sqlstate).not.toBe('28P01');
      expect(entry.postgres?.severity === 'NOTICE').toBe(entry.postgres?.sqlstate === '00000');
      expect(entry.audience).toContain('agent');
    },
  );

  test('gives an advice to whoever gets an error', () => {
    for (const [code, { postgres, retry }] of entries) if (postgres !== undefined) expect(retry, code).not.toBe('none');
  });

  test('holds every code that the first version can say', () => {
    const said =
      'DeniedByRule NoRuleAllows NotGranted MaskedValueWrite LabelledValueWrite InferenceLimited NotAnalysable StatementSyntax LimitReached ApprovalUnavailable SettingPinned ProtocolViolation StatementTooLarge ResourceNotReady RecordingBlocked SessionEnded PolicyStale TooManyConnections DatabaseNotServed ProtocolNotSupported HostConflict HostNotOwned CANotFound CredentialsNotFound CredentialsRejected CredentialsInvalid NotBoundToUpstream CredentialsReachableByAgents AddressesExhausted UpstreamRefused UpstreamUnreachable TLSUntrusted TLSNameMismatch UpstreamAuthUnsupported NotDialledYet UpstreamIsSuperuser UpstreamBypassesRLS UpstreamOwnsLabelledTables UpstreamHasFileRoles PoolerDropsOptions ServerLogVolume ApproversMissing ResourceNotFound RuleShadowed Programming NoAgentsYet SidecarsOutdated Ready Accepted AgentMustSetUser ReservedUser EscalationAllowed CapabilityAdded HostNetwork TokenProjected ReservedName NotInjected DebugRejected SidecarClosed AgentPodRejected ManifestInvalid AgentNotSelected PortInUse NoContext ClusterUnreachable NotInstalled NotPermitted CollectorUnreachable EvidenceAltered EvidenceIncomplete NotFound Usage OperatorUnreachable CaptureNotProven';
    expect(said.split(' ').filter((code) => !(code in CODES))).toEqual([]);
  });
});

describe('explain', () => {
  test('finds a code whatever its case', () => {
    expect(explain('credentialsnotfound')).toMatchObject({
      found: true,
      code: 'CredentialsNotFound',
      entry: CODES.CredentialsNotFound,
    });
  });

  test('suggests the code that was meant', () => {
    expect(explain('NoRuleAlows')).toEqual({ found: false, suggestion: 'NoRuleAllows' });
    expect(explain('CredentialNotFound')).toEqual({ found: false, suggestion: 'CredentialsNotFound' });
  });

  test.each(['Banana', '', 'constructor', 'toString'])('says nothing of %j', (word) => {
    expect(explain(word)).toEqual({ found: false });
  });
});
